"""The table of all trials, best first; the page's script sorts it by any column."""

from __future__ import annotations

from xml.etree.ElementTree import Element

from model.tasks import TASKS
from tuner.report.gather import Run, Trial, tasks_of
from tuner.report.html import Child, absent, element, number, scrolled
from tuner.results.results_json import missed_by, rank
from tuner.results.text import settings

SETTINGS = ("mixture", "mixing", "pairs", "SMART ε/λ/K")


def section(run: Run) -> list[Element]:
    if not run.trials:
        return absent("There are no trials yet.")
    tasks = tasks_of(run.trials)
    has_requirements = bool(run.results.get("requirements"))
    names = ["trial", "state", "score", *(["missed"] if has_requirements else []), *(TASKS[task].metric for task in tasks)]
    names += [*SETTINGS, "learning rate", "seconds", "evaluations", "notes", "MLflow run"]
    words = {"state", *SETTINGS, "notes", "MLflow run"}
    head = [
        element("th", element("button", name, type="button"), scope="col", class_=None if name in words else "n")
        for name in names
    ]
    rows = [_row(run, trial, tasks, has_requirements) for trial in rank(run.trials)]
    body = element("table", element("thead", element("tr", head)), element("tbody", rows), id="all-trials")
    note = absent(run.links_note) if run.links_note else []
    order = element("p", class_="sorting none", role="status")  # the script writes the order here
    return [*note, order, scrolled("All trials, best first", body)]


def _row(run: Run, trial: Trial, tasks: list[str], has_requirements: bool) -> Element:
    mixture, mixing, pairs, smart, lr = settings(trial["config"])
    notes = [trial.get("reason"), trial.get("note"), *(trial.get("alarms") or {})]
    if trial.get("same_as") is not None:
        notes.append(f"repeats trial {trial['same_as']}")
    cells = [_cell(trial["state"].lower(), trial["state"]), _number(trial["score"])]
    cells += [_number(missed_by(trial))] if has_requirements else []
    cells += [_number(trial["metrics"].get(TASKS[task].metric)) for task in tasks]
    cells += [_cell(word, word) for word in (mixture, mixing, pairs, smart)]
    cells += [_cell(lr, trial["config"].get("optim", {}).get("lr"), "n"), _number(trial["seconds"], 0)]
    cells += [_number(len(trial["evaluations"]), 0), _cell("; ".join(filter(None, notes))), _cell(_link(run, trial))]
    is_champion = trial["number"] == run.champion_number
    badge = element("span", " champion", class_="badge") if is_champion else None
    title = element("th", str(trial["number"]), badge, scope="row", data_value=trial["number"])
    return element("tr", title, cells, data_trial=trial["number"], class_="champion" if is_champion else None)


def _cell(child: Child, value: str | float | None = None, class_: str | None = None) -> Element:
    """A cell that is sorted by `value`, or by its text."""
    return element("td", child, class_=class_, data_value=None if value is None else str(value))


def _number(value: float | None, digits: int = 4) -> Element:
    return _cell(number(value, digits), value, "n")


def _link(run: Run, trial: Trial) -> Element | str:
    if trial["number"] not in run.links:
        return "–"
    run_id, address = run.links[trial["number"]]
    return element("a", run_id[:8], href=address, rel="noreferrer", title=run_id)
