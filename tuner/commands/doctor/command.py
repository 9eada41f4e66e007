"""Check what a search would stand on: `python -m tuner doctor` takes the options of a search.

Without `--address` it checks this machine, on a Ray of its own; with it, every node of the cluster. Nothing is left behind.

Exit status: 0 nothing failed; 1 something did; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict

from model.config import ConfigError
from tuner.artifacts.addresses import mask_credentials
from tuner.commands.doctor.finding import Finding, failed, is_well, passed, skipped
from tuner.config.options import Options, parse_arguments
from tuner.config.options import parser as search_parser

WELL, ILL, WRONG_USAGE = 0, 1, 2
NEED_RAY = ("versions", "code", "gpus", "clock", "disk", "storage", "data", "all-reduce", "backbone", "smart")


def parser() -> argparse.ArgumentParser:
    """A search's own options: what they ask for is what is checked."""
    text = search_parser()
    text.prog = "python -m tuner doctor"
    text.description = "Check what a search with these options stands on: this machine, or every node of --address."
    return text


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    try:
        options = parse_arguments(argv, parser())
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return WRONG_USAGE
    findings: list[Finding] = []
    for finding in examination(options):
        findings.append(finding)
        if not options.json and not (options.quiet and finding.status != "FAIL"):
            sys.stdout.write(f"{mask_credentials(finding.line())}\n")
            sys.stdout.flush()
    if options.json:
        told = {"well": is_well(findings), "findings": [asdict(finding) for finding in findings]}
        sys.stdout.write(f"{mask_credentials(json.dumps(told, ensure_ascii=False))}\n")
    return WELL if is_well(findings) else ILL


def examination(options: Options) -> Iterator[Finding]:
    """Every finding, as soon as it is known."""
    from cluster import connect
    from tuner.commands.doctor.examine import examine
    from tuner.commands.doctor.subject import subject

    found, about_options = subject(options)
    yield from about_options
    joined = connect.is_connected()
    try:
        connect.connect(options.address)
    except (ConnectionError, ValueError, RuntimeError) as error:
        where = options.address or "this machine"
        mend = "start it with ray start --head, or leave --address out for this machine alone"
        yield failed("ray", f"no Ray cluster answers at {where}: {error}", mend)
        yield from (skipped(check, "Ray is away") for check in NEED_RAY)
        return
    try:
        nodes = connect.nodes()
        cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
        yield passed("ray", f"{len(nodes)} node(s) with {cpus:g} CPUs and {gpus:g} GPUs in all")
        yield from examine(found)
    finally:
        if not joined:
            connect.disconnect()
