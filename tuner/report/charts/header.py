"""What the page begins and ends with: which run it is, how it stands, and how to do it again."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from tuner.report.drawing.elements import element
from tuner.report.drawing.figure import moment, table
from tuner.report.gather import Run
from tuner.results.text import controls_text

STAGES = {
    "finished": "finished",
    "searching": "UNFINISHED: the search runs, and this is its record so far",
    "interrupted": "UNFINISHED: the search was interrupted, and this is its record so far",
}


def header(run: Run) -> Element:
    results = run.results
    data = results["data"]
    facts = [
        ("trials", _counts(run)),
        ("score", results["metric"]),
        ("data", data["source"]),
        ("rows", _rows(run) or "unknown"),
        ("space", str(results["space"])),
        ("began", moment(results["started"]) or "unknown"),
        ("ended", moment(results["finished"]) or "not yet"),
    ]
    if results.get("requirements"):
        facts.insert(2, ("required", ", ".join(results["requirements"]) + controls_text(results.get("controls") or {})))
    items = [element("div", element("dt", name), element("dd", words)) for name, words in facts]
    return element(
        "header",
        element("h1", results["name"]),
        element("p", STAGES[run.stage], class_="stage" if run.stage == "finished" else "stage unfinished", role="status"),
        element("dl", items, class_="facts"),
    )


def _counts(run: Run) -> str:
    states = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")
    word = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "PAUSED": "paused"}
    word["RUNNING"] = "running" if run.stage == "searching" else "unfinished"
    counted = [(sum(trial["state"] == state for trial in run.counted), word[state]) for state in states]
    n_repeats = len(run.trials) - len(run.counted)
    told = [f"{n} {name}" for n, name in (*counted, (n_repeats, "repeated")) if n]
    planned = next((event.get("n_trials") for event in reversed(run.events) if event["event"] == "began"), None)
    within = f", within the compute of {planned} full trials" if planned else ""
    return f"{len(run.counted)} ({', '.join(told)}){within}" if told else f"none yet{within}"


def _rows(run: Run) -> str:
    told = [
        f"{task} {splits.get('train', '?')}/{splits.get('select', '?')}/{splits.get('dev', '?')}"
        for task, splits in run.rows.items()
    ]
    return f"{'; '.join(told)} (train/select/dev)" if told else ""


def footer(run: Run) -> Element:
    return element(
        "footer",
        element(
            "p",
            f"Written {moment(run.written)} by smart-tuner from the record of {run.results['name']}. ",
            "Nothing is loaded from elsewhere.",
        ),
    )


def reproduce(run: Run) -> list[Element]:
    results = run.results
    environment, data = results["environment"], results["data"]
    git = environment.get("git")
    rows = [("data, SHA-256", data["sha256"] or "unknown"), ("seed", str(results["seed"]))]
    rows.append(("code", f"{git['commit']}{' with changes' if git['dirty'] else ''}" if git else "not from a git checkout"))
    rows += [(name, version or "not installed") for name, version in (environment.get("versions") or {}).items()]
    hardware = environment.get("hardware") or {}
    rows += [
        (f"driver, {name}", str(hardware[name])) for name in ("platform", "cpu", "cpus", "memory_gib") if hardware.get(name)
    ]
    rows += [(f"driver, GPU {i}", str(gpu.get("name"))) for i, gpu in enumerate(hardware.get("gpus") or [])]
    return [
        element("p", "The same search again, under a name of its own. Relative paths are those of where it was started."),
        element("pre", element("code", run.command or "unknown"), tabindex="0", aria_label="The command"),
        element(
            "details",
            element("summary", "Data, code, versions and hardware"),
            table(("what", "which"), rows, "Versions", n_words=2),
        ),
    ]
