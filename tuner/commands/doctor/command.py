"""Check what a search needs: `python -m tuner doctor` takes the options of a search.

Without `--address` it checks this machine, on a temporary Ray; with it, every node of the cluster.

Exit status: 0 nothing failed; 1 something did; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

from tuner.artifacts.addresses import mask_credentials
from tuner.commands.doctor.finding import FAIL, Finding, failed, passed, skipped
from tuner.commands.run_command import execute, print_lines
from tuner.config.options import Options, from_arguments
from tuner.config.options import parser as search_parser

WELL, ILL = 0, 1
NEED_RAY = ("versions", "code", "gpus", "clock", "disk", "storage", "data", "all-reduce", "backbone", "smart")


def parser() -> argparse.ArgumentParser:
    """The parser of a search, whose options say what is checked."""
    command = search_parser()
    command.prog = "python -m tuner doctor"
    command.description = "Check what a search with these options needs: this machine, or every node of --address."
    return command


def main(argv: list[str] | None = None) -> int:
    return execute(parser(), run, argv)


def run(arguments: argparse.Namespace) -> int:
    options = from_arguments(arguments)
    findings: list[Finding] = []
    for finding in checks(options):
        findings.append(finding)
        if not options.json and not (options.quiet and finding.status != FAIL):
            print_lines([mask_credentials(finding.line())])
            sys.stdout.flush()
    is_well = all(finding.status != FAIL for finding in findings)
    if options.json:
        report = {"well": is_well, "findings": [finding.to_json() for finding in findings]}
        print_lines([mask_credentials(json.dumps(report, ensure_ascii=False))])
    return WELL if is_well else ILL


def checks(options: Options) -> Iterator[Finding]:
    """Run all checks; yields each finding as soon as it is known."""
    from cluster import connect, reach
    from tuner.commands.doctor.cluster_checks import cluster_checks
    from tuner.commands.doctor.subject import subject

    checked, findings = subject(options)
    yield from findings
    was_connected = connect.is_connected()
    try:
        connect.connect(options.address)
    except (ConnectionError, ValueError, RuntimeError) as error:
        advice = "start it with ray start --head, or omit --address to check this machine alone"
        yield failed("ray", f"no Ray cluster answers at {reach.describe(options.address)}: {error}", advice)
        yield from (skipped(check, "Ray is not reachable") for check in NEED_RAY)
        return
    try:
        nodes = connect.nodes()
        cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
        yield passed("ray", f"{len(nodes)} node(s) with {cpus:g} CPUs and {gpus:g} GPUs in all")
        yield from cluster_checks(checked)
    finally:
        if not was_connected:
            connect.disconnect()
