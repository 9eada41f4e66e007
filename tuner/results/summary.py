"""Prints the summary of a finished search: its trials by rank, the champion, and the commands to continue with."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.text import Text

from model.smart.alarms import MEANINGS
from model.tasks import TASKS
from tuner.config import command_lines as commands
from tuner.results import confirmation_text
from tuner.results.facts import GENERATED_SOURCE
from tuner.results.results_json import alarms_raised, missed_by, rank, registration_text
from tuner.results.text import (
    GENERATED_NOTE,
    REPORT,
    SETTINGS,
    WORDS,
    champion_name,
    commonest_reason,
    controls_text,
    fits,
    number_text,
    one_line,
    settings,
    text_table,
)

MAX_ROWS = 30
"""Trials that the table shows; all of them are in results.json."""
ENDING = ("state", "s")

Results = Mapping[str, Any]
"""The contents of results.json."""
Trials = Sequence[Mapping[str, Any]]
"""Its `trials` without repeats."""


def print_summary(console: Console, results: Results) -> None:
    """Print `summary`; commands longer than a line stay unbroken, so that they can be copied."""
    console.print(summary(results, console.width), soft_wrap=True)


def summary(results: Results, width: int) -> RenderableType:
    """Tables of at most `width` columns, the champion and the commands. No text of the run is read as markup."""
    trials = rank([trial for trial in results["trials"] if trial.get("same_as") is None])
    parts: list[RenderableType] = [*trial_tables(trials[:MAX_ROWS], results["champion"], width)] if trials else []
    if len(trials) > MAX_ROWS:
        parts.append(Text(f"and {len(trials) - MAX_ROWS} more in results.json"))
    parts += [*_lines(_outcome(results, trials)), *_confirmation(results), *_lines([*_champion(results), *_commands(results)])]
    return Group(*parts)


def _lines(texts: Sequence[str]) -> list[Text]:
    return [Text(text, overflow="ignore", no_wrap=True) for text in texts]


def trial_tables(trials: Trials, champion: Mapping[str, Any] | None, width: int) -> list[RenderableType]:
    """One row per trial, best first; only complete trials have a rank. The champion's row is bold.

    With requirements, the column `missed` has a trial's total shortfall, `-` where it meets them. Where one table is wider than
    `width`, a second one holds the settings.
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
    whole = text_table([*scores, *SETTINGS, *ENDING], WORDS, [[*a, *b, *c] for a, b, c in rows], bold)
    if fits(whole, width):
        return [whole]
    outcomes = text_table([*scores, *ENDING], WORDS, [[*a, *c] for a, _, c in rows], bold)
    return [outcomes, Text(), text_table(["trial", *SETTINGS], WORDS, [[a[1], *b] for a, b, _ in rows], bold)]


def _outcome(results: Results, trials: Trials) -> list[str]:
    counts = {state: sum(trial["state"] == state for trial in trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
    lines = [
        "smart is ε/λ/K; the score is " + results["metric"],
        f"{counts['COMPLETE']} complete, {counts['PRUNED']} pruned, {counts['FAIL']} failed",
    ]
    if results.get("stopped_by"):
        lines.append(f"stopped: {results['stopped_by']}")
    n_repeats = len(results["trials"]) - len(trials)
    if n_repeats:
        lines.append(f"{n_repeats} repeated: results taken from the trial with the same configuration, not trained again")
    if results["unfinished"]:
        lines.append(f"{len(results['unfinished'])} unfinished: a resumed search continues them")
    if counts["FAIL"]:
        reason = commonest_reason([trial["reason"] for trial in trials if trial["state"] == "FAIL"])
        lines.append(f"commonest failure: {one_line(reason or '')}")
    lines += _alarms(trials)
    lines += _warm_start(results.get("warm_start"))
    lines += (results.get("preflight") or {}).get("said", [])
    if results["data"]["source"] == GENERATED_SOURCE:
        lines.append(GENERATED_NOTE)
    return [*lines, *_requirements(results, trials), *_front(results)]


def _champion(results: Results) -> list[str]:
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
        lines.append(registration_text(champion["registered"]))
    return lines


def _confirmation(results: Results) -> list[RenderableType]:
    """The finalists' table and sentences; empty without a confirmation."""
    confirmation = results.get("confirmation")
    if not confirmation:
        return []
    lines = _lines([one_line(line) for line in confirmation_text.sentences(confirmation)])
    if not confirmation["finalists"]:
        return [Text(), *lines]
    first = next((i for i, finalist in enumerate(confirmation["finalists"]) if finalist["rank"] == 1), None)
    table = text_table(confirmation_text.COLUMNS, WORDS, confirmation_text.rows(confirmation), first)
    return [Text(), *_lines([confirmation_text.heading(confirmation)]), table, *lines, Text()]


def _warm_start(warm_start: Mapping[str, Any] | None) -> list[str]:
    """What was taken from earlier searches, and whether their ranking agreed with this search's."""
    if not warm_start:
        return []
    lines = [one_line(sentence) for sentence in warm_start["sentences"]]
    tried = f"{warm_start['n_started']} earlier configurations were tried first"
    if not warm_start["n_remembered"]:
        return [*lines, f"{tried}; no earlier score was used"]
    if warm_start["agreement"] is None:
        verdict = "too few trials ended to compare the rankings"
    else:
        verb = "agreed" if warm_start["trusted"] else "did not agree"
        test = f"Kendall's tau {warm_start['agreement']:.2f}, p {warm_start['p_value']:.2g}"
        verdict = f"the earlier ranking {verb} with this search's ({test})"
    return [*lines, f"{tried}, {warm_start['n_guided']} further trials were drawn with earlier scores; {verdict}"]


def _requirements(results: Results, trials: Trials) -> list[str]:
    """How many trials meet the requirements, and where none does, what the champion misses."""
    required, champion = results.get("requirements", []), results["champion"]
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    if not required or not complete:
        return []
    n_met = sum(missed_by(trial) == 0 for trial in complete)
    controls = controls_text(results.get("controls", {}))
    lines = [f"required: {', '.join(required)}{controls}; {n_met} of {len(complete)} complete trials meet that"]
    if champion and not champion["feasible"]:
        shortfalls = {text: result["missed_by"] for text, result in champion["requirements"].items() if not result["met"]}
        missed = ", ".join(f"{text} by {number_text(shortfall)}" for text, shortfall in shortfalls.items())
        subject, where = ("FINALIST", " on fresh seeds") if champion.get("confirmed") else ("TRIAL", "")
        lines.append(f"NO {subject} MEETS THE REQUIREMENTS{where}: the champion is only the nearest; it misses {missed}")
    return lines


def _front(results: Results) -> list[str]:
    """Under several goals a line for each non-dominated trial."""
    by_number = {trial["number"]: trial for trial in results["trials"]}
    lines = []
    for number in results.get("front", []):
        scores = "  ".join(f"{goal} {number_text(value)}" for goal, value in by_number[number]["scores"].items())
        lines.append(f"  trial {number}  {scores}")
    return ["front, the trials that no other beats in one goal without losing in another:", *lines] if lines else []


def _alarms(trials: Trials) -> list[str]:
    """A line for each alarm: `smart-no-op in 2 trials, such as 3 (sst, sts): R_s is 0 …`."""
    lines = []
    for alarm, raised in alarms_raised(trials).items():
        number, tasks = min(raised.items())
        where = f"trial {number}" if len(raised) == 1 else f"{len(raised)} trials, such as {number}"
        lines.append(f"{alarm} in {where} ({', '.join(tasks)}): {MEANINGS[alarm]}")
    return lines


def _commands(results: Results) -> list[str]:
    mlflow, champion, folder = results["mlflow"], results["champion"], Path(results["folder"])
    lines = ["MLflow:   " + commands.mlflow_ui(mlflow["tracking_uri"], mlflow["experiment_id"], mlflow["run_id"])]
    if champion and champion["path"]:
        lines.append("use it:   " + commands.predict(Path(champion["path"]), champion["config"]["mixture"]))
    lines.append("report:   " + shlex.quote(commands.near(folder / REPORT)))
    if results["finished"] is None:
        lines.append("go on:    " + commands.resume(folder))
    return lines
