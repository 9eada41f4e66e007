"""What a finished search prints: its trials by rank, the champion, and the exact commands to go on with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from model.smart.alarms import MEANINGS
from model.tasks import TASKS
from tuner.config import command_lines as commands
from tuner.results import confirmation_text as words
from tuner.results.confirmation_text import champion_name
from tuner.results.facts import GENERATED_SOURCE
from tuner.results.registered import describe
from tuner.results.results_json import commonest_reason, missed_by, rank
from tuner.results.text import (
    GENERATED_NOTE,
    REPORT,
    SETTINGS,
    UNBOUNDED,
    WORDS,
    controls_text,
    number_text,
    one_line,
    settings,
)

MAX_ROWS = 30
"""Trials that the table shows; all of them are in results.json."""
ENDING = ("state", "s")


def print_summary(console: Console, results: Mapping[str, Any]) -> None:
    """Print `summary`; commands longer than a line stay whole, so that they can be copied."""
    console.print(summary(results, console.width), soft_wrap=True)


def summary(results: Mapping[str, Any], width: int) -> RenderableType:
    """Tables of at most `width` columns, champion and commands of the contents of results.json. Nothing is read as markup."""
    trials = rank(_counted(results))
    parts: list[RenderableType] = [*trial_tables(trials[:MAX_ROWS], results["champion"], width)] if trials else []
    if len(trials) > MAX_ROWS:
        parts.append(Text(f"and {len(trials) - MAX_ROWS} more in results.json"))
    parts += [*_lines(_outcome(results)), *_confirmation(results), *_lines([*_champion(results), *_commands(results)])]
    return Group(*parts)


def _lines(texts: Sequence[str]) -> list[Text]:
    return [Text(text, overflow="ignore", no_wrap=True) for text in texts]


def _counted(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The trials that were trained."""
    return [trial for trial in results["trials"] if trial.get("same_as") is None]


def trial_tables(trials: Sequence[Mapping[str, Any]], champion: Mapping[str, Any] | None, width: int) -> list[RenderableType]:
    """One row per trial, best first; only complete trials have a rank. The champion's row is bold.

    Where there are requirements, `missed` is by how much a trial misses them in all, `-` where it meets them.

    Where one table is wider than `width`, a second one holds the settings.
    """
    tasks = [task for task in TASKS.values() if any(task.metric in trial["metrics"] for trial in trials)]
    has_requirements = any(trial.get("requirements") for trial in trials)
    scores = ["rank", "trial", "score", *(["missed"] if has_requirements else []), *(task.name for task in tasks)]
    rows = []
    for position, trial in enumerate(trials, start=1):
        metrics = [number_text(missed_by(trial) or None)] if has_requirements else []
        metrics += [number_text(trial["metrics"].get(task.metric)) for task in tasks]
        place = str(position) if trial["state"] == "COMPLETE" else "-"
        outcome = [place, str(trial["number"]), number_text(trial["score"]), *metrics]
        rows.append((outcome, settings(trial["config"]), [trial["state"], f"{trial['seconds']:.0f}"]))
    bold = next((i for i, trial in enumerate(trials) if champion and trial["number"] == champion["number"]), None)
    whole = _table([*scores, *SETTINGS, *ENDING], [[*a, *b, *c] for a, b, c in rows], bold)
    if Measurement.get(UNBOUNDED, UNBOUNDED.options, whole).maximum <= width:
        return [whole]
    outcomes = _table([*scores, *ENDING], [[*a, *c] for a, _, c in rows], bold)
    return [outcomes, Text(), _table(["trial", *SETTINGS], [[a[1], *b] for a, b, _ in rows], bold)]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], bold: int | None) -> Table:
    """Words to the left, numbers to the right; no cell is read as markup."""
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name, justify="left" if name in WORDS else "right")
    for index, cells in enumerate(rows):
        table.add_row(*(Text(cell) for cell in cells), style="bold" if index == bold else "")
    return table


def _outcome(results: Mapping[str, Any]) -> list[str]:
    trials = _counted(results)
    counts = {state: sum(trial["state"] == state for trial in trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
    lines = [
        "smart is ε/λ/K; the score is " + results["metric"],
        f"{counts['COMPLETE']} complete, {counts['PRUNED']} pruned, {counts['FAIL']} failed",
    ]
    if results.get("stopped_by"):
        lines.append(f"stopped: {results['stopped_by']}")
    n_repeats = sum(trial.get("same_as") is not None for trial in results["trials"])
    if n_repeats:
        lines.append(f"{n_repeats} repeated: told from the trial that had the same configuration, not trained again")
    if results["unfinished"]:
        lines.append(f"{len(results['unfinished'])} unfinished: a resumed search goes on with them")
    if counts["FAIL"]:
        reason = commonest_reason([trial["reason"] for trial in trials if trial["state"] == "FAIL"])
        lines.append(f"commonest failure: {one_line(reason or '')}")
    lines += _alarms(trials)
    lines += _warm_start(results)
    lines += (results.get("preflight") or {}).get("said", [])
    if results["data"]["source"] == GENERATED_SOURCE:
        lines.append(GENERATED_NOTE)
    lines += _requirements(results, trials)
    lines += _front(results)
    return lines


def _champion(results: Mapping[str, Any]) -> list[str]:
    champion = results["champion"]
    if not champion:
        return ["no champion: no trial was completed"]
    metrics = "  ".join(f"{name} {number_text(value)}" for name, value in champion["metrics"].items())
    seed = f", seed {champion['confirmed']['seed']} (its best on select)," if champion.get("confirmed") else ""
    lines = [f"champion: {champion_name(champion)}{seed}  score {number_text(champion['score'])}  {metrics}"]
    if champion.get("dev"):
        on_dev = "  ".join(f"{name} {number_text(value)}" for name, value in champion["dev"].items())
        lines.append(f"on dev, which nothing was chosen on:  {on_dev}")
    if champion.get("registered"):
        lines.append(describe(champion["registered"]))
    return lines


def _confirmation(results: Mapping[str, Any]) -> list[RenderableType]:
    """The finalists and what their confirmation says; nothing without one."""
    told = results.get("confirmation")
    if not told:
        return []
    lines = _lines([one_line(line) for line in words.sentences(told)])
    if not told["finalists"]:
        return [Text(), *lines]
    place = next((i for i, one in enumerate(told["finalists"]) if one["rank"] == 1), None)
    return [Text(), *_lines([words.heading(told)]), _table(words.COLUMNS, words.rows(told), place), *lines, Text()]


def _warm_start(results: Mapping[str, Any]) -> list[str]:
    """What was taken from earlier searches, and whether it proved right."""
    warm = results.get("warm_start")
    if not warm:
        return []
    lines = [one_line(sentence) for sentence in warm["sentences"]]
    if not warm["n_remembered"]:
        return [*lines, f"{warm['n_started']} earlier configurations were tried first; no earlier score was used"]
    if warm["agreement"] is None:
        verdict = "too few trials ended to compare the rankings"
    else:
        verb = "agreed" if warm["trusted"] else "did not agree"
        verdict = (
            f"the earlier ranking {verb} with this search's (Kendall's tau {warm['agreement']:.2f}, p {warm['p_value']:.2g})"
        )
    guided = f"{warm['n_guided']} further trials were drawn with earlier scores"
    return [*lines, f"{warm['n_started']} earlier configurations were tried first, {guided}; {verdict}"]


def _requirements(results: Mapping[str, Any], trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """How many trials meet the requirements; where none does, that the champion is only the nearest, and what it misses."""
    asked, champion = results.get("requirements", []), results["champion"]
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    if not asked or not complete:
        return []
    n_met = sum(missed_by(trial) == 0 for trial in complete)
    told = controls_text(results.get("controls", {}))
    lines = [f"required: {', '.join(asked)}{told}; {n_met} of {len(complete)} complete trials meet that"]
    if champion and not champion["feasible"]:
        missed = {text: found["missed_by"] for text, found in champion["requirements"].items() if not found["met"]}
        told = ", ".join(f"{text} by {number_text(by)}" for text, by in missed.items())
        who, where = ("FINALIST", " on fresh seeds") if champion.get("confirmed") else ("TRIAL", "")
        lines.append(f"NO {who} MEETS THE REQUIREMENTS{where}: the champion is only the nearest; it misses {told}")
    return lines


def _front(results: Mapping[str, Any]) -> list[str]:
    """Under several goals a line for each trial that none dominates."""
    by_number = {trial["number"]: trial for trial in results["trials"]}
    lines = []
    for number in results.get("front", []):
        scores = "  ".join(f"{goal} {number_text(value)}" for goal, value in by_number[number]["scores"].items())
        lines.append(f"  trial {number}  {scores}")
    return ["front, the trials that no other beats in one goal without losing in another:", *lines] if lines else []


def _alarms(trials: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each alarm that trials raised: `smart-no-op in 2 trials, such as 3 (sst, sts): R_s is 0 …`."""
    lines = []
    for alarm, meaning in MEANINGS.items():
        raised = [(trial["number"], trial["alarms"][alarm]) for trial in trials if alarm in trial.get("alarms", {})]
        if raised:
            number, tasks = min(raised)
            where = f"trial {number}" if len(raised) == 1 else f"{len(raised)} trials, such as {number}"
            lines.append(f"{alarm} in {where} ({', '.join(tasks)}): {meaning}")
    return lines


def _commands(results: Mapping[str, Any]) -> list[str]:
    mlflow, champion = results["mlflow"], results["champion"]
    lines = ["MLflow:   " + commands.mlflow_ui(mlflow["tracking_uri"], mlflow["experiment_id"], mlflow["run_id"])]
    if champion and champion["path"]:
        lines.append("use it:   " + commands.predict(Path(champion["path"]), champion["config"]["mixture"]))
    lines.append("report:   " + shlex.quote(commands.near(Path(results["folder"]) / REPORT)))
    if results["finished"] is None:
        lines.append("go on:    " + commands.resume(Path(results["folder"])))
    return lines
