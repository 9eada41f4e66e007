"""The table of all trials. Every column can be sorted by, where scripts run."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from model.tasks import TASKS
from tuner.report.drawing.elements import Child, element
from tuner.report.drawing.figure import number, scrolled
from tuner.report.gather import Run, Trial, tasks_of
from tuner.results.results_json import missed_by, rank
from tuner.results.text import settings

WORDS = ("mixture", "mixing", "pairs", "SMART ε/λ/K")


def section(run: Run) -> list[Element]:
    if not run.trials:
        return [element("p", "There are no trials yet.", class_="none")]
    tasks = tasks_of(run.trials)
    has_requirements = bool(run.results.get("requirements"))
    names = ["trial", "state", "score", *(["missed"] if has_requirements else []), *(TASKS[task].metric for task in tasks)]
    names += [*WORDS, "learning rate", "seconds", "evaluations", "what was said", "MLflow run"]
    words = {"state", *WORDS, "what was said", "MLflow run"}
    head = [
        element("th", element("button", name, type="button"), scope="col", class_=None if name in words else "n")
        for name in names
    ]
    rows = [_row(run, trial, tasks, has_requirements) for trial in rank([dict(trial) for trial in run.trials])]
    label = "All trials, best first"
    made = element("table", element("thead", element("tr", head)), element("tbody", rows), id="all-trials")
    notes = [element("p", run.links_note, class_="none")] if run.links_note else []
    order = element("p", class_="sorting none", role="status")  # the script says how it is sorted
    return [*notes, order, scrolled(label, made)]


def _row(run: Run, trial: Trial, tasks: list[str], has_requirements: bool) -> Element:
    mixture, mixing, pairs, smart, lr = settings(trial["config"])
    said = [trial.get("reason"), trial.get("note"), *(trial.get("alarms") or {})]
    if trial.get("same_as") is not None:
        said.append(f"repeats trial {trial['same_as']}")
    cells = [_cell(trial["state"].lower(), trial["state"]), _number(trial["score"])]
    cells += [_number(missed_by(trial))] if has_requirements else []
    cells += [_number(trial["metrics"].get(TASKS[task].metric)) for task in tasks]
    cells += [_cell(word, word) for word in (mixture, mixing, pairs, smart)]
    cells += [_cell(lr, trial["config"].get("optim", {}).get("lr"), "n"), _number(trial["seconds"], 0)]
    cells += [_number(len(trial["evaluations"]), 0), _cell("; ".join(filter(None, said))), _cell(_link(run, trial))]
    is_champion = trial["number"] == run.champion_number
    title = element(
        "th", str(trial["number"]), element("span", " champion", class_="badge") if is_champion else None, scope="row"
    )
    title.set("data-value", str(trial["number"]))
    row = element("tr", title, cells, class_="champion" if is_champion else None)
    row.set("data-trial", str(trial["number"]))
    return row


def _cell(child: Child, value: str | float | None = None, class_: str | None = None) -> Element:
    made = element("td", child, class_=class_)
    if value is not None:
        made.set("data-value", repr(value) if isinstance(value, float) else str(value))
    return made


def _number(value: float | None, digits: int = 4) -> Element:
    return _cell(number(value, digits), value, "n")


def _link(run: Run, trial: Trial) -> Element | str:
    if trial["number"] not in run.links:
        return "–"
    run_id, address = run.links[trial["number"]]
    return element("a", run_id[:8], href=address, rel="noreferrer", title=run_id)
