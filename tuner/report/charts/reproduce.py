"""How to repeat the search: its command, data, code, versions and hardware."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from tuner.report.gather import Run
from tuner.report.html import element, table


def section(run: Run) -> list[Element]:
    environment, data = run.results["environment"], run.results["data"]
    git, hardware = environment.get("git"), environment.get("hardware") or {}
    rows = [("data, SHA-256", data["sha256"] or "unknown"), ("seed", str(run.results["seed"]))]
    rows.append(("code", f"{git['commit']}{' with changes' if git['dirty'] else ''}" if git else "not from a git checkout"))
    rows += [(name, version or "not installed") for name, version in (environment.get("versions") or {}).items()]
    rows += [
        (f"driver, {name}", str(hardware[name])) for name in ("platform", "cpu", "cpus", "memory_gib") if hardware.get(name)
    ]
    rows += [(f"driver, GPU {i}", str(gpu.get("name"))) for i, gpu in enumerate(hardware.get("gpus") or [])]
    return [
        element("p", "The same search again, under a new name. Relative paths start where the search was started."),
        element("pre", element("code", run.command or "unknown"), tabindex="0", aria_label="The command"),
        element(
            "details",
            element("summary", "Data, code, versions and hardware"),
            table(("what", "which"), rows, "Versions", n_words=2),
        ),
    ]
