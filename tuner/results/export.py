"""Exports a run's champion: an encoder that plain transformers loads, its heads, and a model card."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.config import ConfigError
from model.metrics import interval
from model.smart.alarms import MEANINGS
from model.tasks import TASKS
from tuner.results import results_json
from tuner.results.confirmation_text import sentences
from tuner.results.text import GENERATED_NOTE, number_text, one_line

CARD = "README.md"
ORIGINS = {"embedded": "sentence-transformers/all-MiniLM-L6-v2"}
"""Hub names of backbones that have another name here."""


def export(run: Path, target: Path) -> None:
    """Write the champion of the run in folder `run` to `target`, atomically.

    Raises `ConfigError` when the run has no champion or no results, or `target` exists and is not empty.
    """
    from tuner.artifacts.models import FOLDER

    results = results_json.read(run / results_json.FILE_NAME)
    problems = []
    if results["champion"] is None:
        problems.append(f"{run.name} has no champion: none of its trials is COMPLETE; continue it with --resume {run.name}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        problems.append(f"--to {target} exists and is not empty; give a new folder")
    if problems:
        raise ConfigError(problems)

    from model.saved_model import export as exported
    from model.saved_model import folder as saved_model

    model = saved_model.read(run / FOLDER)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as partial:
            folder = Path(partial, target.name)
            exported.write(folder, model)
            shutil.copyfile(run / FOLDER / saved_model.CONFIG, folder / saved_model.CONFIG)
            (folder / CARD).write_text(card(results), encoding="utf-8", errors="backslashreplace")
            folder.replace(target)
    except OSError as error:
        raise ConfigError([f"--to {target} cannot be written: {error.strerror or error}; give another folder"]) from None


def card(results: Mapping[str, Any]) -> str:
    """Markdown with the hub's YAML header, from the contents of results.json, which must have a champion."""
    config = results["champion"]["config"]
    parts = [
        f"# {results['name']}",
        f"A BERT encoder with a head for {config['mixture'][0]}."
        if len(config["mixture"]) == 1
        else f"One BERT encoder with a head for each of {', '.join(config['mixture'])}, fine-tuned on all of them at once.",
        _use(config),
        _metrics(results),
        *_confirmation(results),
        _data(results),
        _search(results),
        _limits(results),
    ]
    return f"---\n{_header(results)}\n---\n\n" + "\n\n".join(parts) + "\n"


def _header(results: Mapping[str, Any]) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    config = results["champion"]["config"]
    origin = ORIGINS.get(config["backbone"], config["backbone"])
    dev = results["champion"].get("dev") or {}
    parts = [(*metric.split("/", 1), value) for metric, value in dev.items()]
    return str(
        ModelCardData(
            language="en",
            library_name="transformers",
            base_model=None if origin.startswith((".", "/", "~")) else origin,
            tags=["multitask", *config["mixture"], *(["smart"] if config["smart"]["enabled"] else [])],
            model_name=results["name"],
            eval_results=[
                EvalResult("text-classification", task, task, kind.rpartition("/")[2], value, dataset_split="dev")
                for task, kind, value in parts
            ]
            or None,
        ).to_yaml()
    )


def _use(config: Mapping[str, Any]) -> str:
    task = next((name for name in config["mixture"] if not TASKS[name].is_pair), config["mixture"][0])
    texts = '("first text", "second text")' if TASKS[task].is_pair else '("a text",)'
    pooler = "" if config["pooling"] == "cls" else ", add_pooling_layer=False"
    return f"""## Use

With `transformers`, `torch` and `safetensors` alone. Encoder and heads, from this folder:

```python
from predict import Model

label, score = Model(".").predict("{task}", [{texts}])[0]
```

The encoder by itself:

```python
from transformers import AutoModel

encoder = AutoModel.from_pretrained("."{pooler})
```

Texts are cut to {config["max_length"]} tokens. `heads.json` describes how the encoder's output becomes a prediction
(pooling `{config["pooling"]}`, pairs `{config["pair_encoding"]}`); `config.yaml` holds every setting of the training."""


def _metrics(results: Mapping[str, Any]) -> str:
    champion, rows = results["champion"], results["data"]["rows"]
    dev = champion.get("dev")
    split, metrics = ("dev", dev) if dev else ("select", champion["metrics"])
    source = {
        "dev": "On the *dev* split, which nothing was chosen on.",
        "select": "On the *select* split, which this model was chosen on among others: expect less on new texts. It was not "
        "scored on *dev*, because the search did not finish.",
    }
    lines = [f"## Metrics\n\n{source[split]}\n", "| metric | value | 95 % interval | examples |", "|---|---|---|---|"]
    for metric, value in metrics.items():
        n = rows[metric.partition("/")[0]][split]
        bounds = interval(metric, value, n)
        within = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
        lines.append(f"| {metric} | {value:.4f} | {within} | {n} |")
    note = "Intervals are of the examples (Wilson's for an accuracy, Fisher's for a correlation): another seed of the training "
    return "\n".join(lines) + f"\n\n{note}adds to them."


def _confirmation(results: Mapping[str, Any]) -> list[str]:
    """The configuration's metrics on fresh seeds and its comparisons; empty without a confirmation."""
    confirmed = results["champion"].get("confirmed")
    if not confirmed:
        return []
    rows = [
        f"| {name} | {estimate['mean']:.4f} | {number_text(estimate['sd'])} |"
        for name, estimate in confirmed["dev"].items()
        if name != "score"
    ]
    table = "\n".join(["| metric on *dev* | mean | s.d. |", "|---|---|---|", *rows])
    model = f"This model is the best on *select* of {confirmed['n_seeds']} trainings of its configuration on fresh seeds."
    items = "\n".join(f"- {one_line(sentence)}" for sentence in sentences(results["confirmation"]))
    method = "Intervals of differences are of the Multi-Bootstrap over examples and seeds (Sellam et al. 2022)."
    return [f"## Confirmation\n\n{model}\n\n{table}\n\n{items}\n\n{method}"]


def _data(results: Mapping[str, Any]) -> str:
    data, mixture = results["data"], results["champion"]["config"]["mixture"]
    rows = [f"| {task} | {' | '.join(str(data['rows'][task][s]) for s in ('train', 'select', 'dev'))} |" for task in mixture]
    table = "\n".join(["| task | train | select | dev |", "|---|---|---|---|", *rows])
    kind = {"demo": "a corpus that the project generates", "hub": "the public hub"}.get(data["source"], "files of its user")
    sentence = f"Trained on {kind} (SHA-256 of the examples `{data['sha256']}`). *Select* is a tenth of the training set."
    return f"## Data\n\n{sentence}\n\n{table}"


def _search(results: Mapping[str, Any]) -> str:
    trials, champion = results["trials"], results["champion"]
    counts = {state: sum(trial["state"] == state for trial in trials) for state in ("COMPLETE", "PRUNED", "FAIL")}
    states = ", ".join(f"{n} {state}" for state, n in counts.items() if n)
    smart, optim = champion["config"]["smart"], champion["config"]["optim"]
    how = "without SMART"
    if smart["enabled"]:
        how = f"with SMART (variant {smart['variant']}, ε {smart['epsilon']:g}, λ {smart['lambda']:g}, K {smart['steps']})"
    origin = "The untuned default, beside the trials," if champion["number"] is None else f"Trial {champion['number']}, of"
    return f"""## Search

{origin} {len(trials)} ({states}) of a search over the space `{results["space"]}` with seed
{results["seed"]}; its score, {results["metric"]}, is {champion["score"]:.4f} on *select*. It was trained {how}.

Learning rates {optim["lr"]:.3g} and, of the heads, {optim["head_lr"]:.3g}."""


def _limits(results: Mapping[str, Any]) -> str:
    limits = [
        f"It handles {', '.join(results['champion']['config']['mixture'])}, as its training data define these tasks, and "
        "nothing else.",
        "It was trained on English, and carries the biases of its texts and of its backbone.",
        "Probabilities are those of a softmax and are not calibrated.",
    ]
    if results["data"]["generated"]:
        limits.insert(0, GENERATED_NOTE)
    if not results["champion"].get("feasible", True):
        limits.append(f"It does not meet the search's requirements: {', '.join(results['requirements'])}.")
    alarms = [trial.get("alarms", {}) for trial in results["trials"] if trial["number"] == results["champion"]["number"]]
    limits += [f"{alarm} ({', '.join(tasks)}): {MEANINGS[alarm]}." for raised in alarms for alarm, tasks in raised.items()]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
