"""The model card of an exported champion: what it is, how good and how sure of that, how it was found, and where it ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.metrics import interval
from model.smart.alarms import MEANINGS
from model.tasks import TASKS
from tuner.results.confirmation_text import number, sentences
from tuner.results.text import GENERATED_NOTE, one_line

ORIGINS = {"embedded": "sentence-transformers/all-MiniLM-L6-v2"}
"""Hub names of backbones that have another name here."""


def card(results: Mapping[str, Any]) -> str:
    """Markdown with the hub's own header, from the contents of results.json, which must name a champion."""
    champion = results["champion"]
    parts = [
        f"# {results['name']}",
        _what(champion["config"]["mixture"]),
        _use(champion["config"]),
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
    is_path = origin.startswith((".", "/", "~"))
    dev = results["champion"].get("dev") or {}
    found = [
        EvalResult("text-classification", task, task, metric.rpartition("/")[2], value, dataset_split="dev")
        for metric, value in dev.items()
        for task in [metric.partition("/")[0]]
    ]
    return str(
        ModelCardData(
            language="en",
            library_name="transformers",
            base_model=None if is_path else origin,
            tags=["multitask", *config["mixture"], *(["smart"] if config["smart"]["enabled"] else [])],
            model_name=results["name"],
            eval_results=found or None,
        ).to_yaml()
    )


def _what(mixture: Sequence[str]) -> str:
    if len(mixture) == 1:
        return f"A BERT encoder with a head for {mixture[0]}."
    return f"One BERT encoder with a head for each of {', '.join(mixture)}, fine-tuned on all of them at once."


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

Texts are cut to {config["max_length"]} tokens. `heads.json` says how the encoder's output becomes a prediction
(pooling `{config["pooling"]}`, pairs `{config["pair_encoding"]}`); `config.yaml` holds every setting of the training."""


def _metrics(results: Mapping[str, Any]) -> str:
    champion, rows = results["champion"], results["data"]["rows"]
    dev = champion.get("dev")
    split, metrics = ("dev", dev) if dev else ("select", champion["metrics"])
    told = {
        "dev": "On the *dev* split, by which nothing was chosen.",
        "select": "On the *select* split, by which this model was chosen among others: expect less on new texts. It was not "
        "scored on *dev*, because the search did not come to its end.",
    }
    lines = [f"## Metrics\n\n{told[split]}\n", "| metric | value | 95 % interval | examples |", "|---|---|---|---|"]
    for metric, value in metrics.items():
        n = rows[metric.partition("/")[0]][split]
        bounds = interval(metric, value, n)
        within = "" if bounds is None else f"{bounds[0]:.3f} to {bounds[1]:.3f}"
        lines.append(f"| {metric} | {value:.4f} | {within} | {n} |")
    note = "Intervals are of the examples (Wilson's for an accuracy, Fisher's for a correlation): another seed of the training "
    return "\n".join(lines) + f"\n\n{note}adds to them."


def _confirmation(results: Mapping[str, Any]) -> list[str]:
    """How the configuration fared on other seeds, and beside what it had to beat; nothing where nobody confirmed it."""
    confirmed = results["champion"].get("confirmed")
    if not confirmed:
        return []
    dev = {name: found for name, found in confirmed["dev"].items() if name != "score"}
    rows = [f"| {name} | {found['mean']:.4f} | {number(found['sd'])} |" for name, found in dev.items()]
    table = "\n".join(["| metric on *dev* | mean | s.d. |", "|---|---|---|", *rows])
    n = confirmed["n_seeds"]
    what = f"This model is the best on *select* of {n} trainings of its configuration on fresh seeds."
    told = "\n".join(f"- {one_line(sentence)}" for sentence in sentences(results["confirmation"]))
    how = "Intervals of differences are of the Multi-Bootstrap over examples and seeds (Sellam et al. 2022)."
    return [f"## Confirmation\n\n{what}\n\n{table}\n\n{told}\n\n{how}"]


def _data(results: Mapping[str, Any]) -> str:
    data, mixture = results["data"], results["champion"]["config"]["mixture"]
    rows = [
        f"| {task} | {data['rows'][task]['train']} | {data['rows'][task]['select']} | {data['rows'][task]['dev']} |"
        for task in mixture
    ]
    table = "\n".join(["| task | train | select | dev |", "|---|---|---|---|", *rows])
    kind = {"demo": "a corpus that the project generates", "hub": "the public hub"}.get(data["source"], "files of its user")
    sentence = f"Trained on {kind} (SHA-256 of the examples `{data['sha256']}`). *Select* is a tenth of the training set."
    return f"## Data\n\n{sentence}\n\n{table}"


def _search(results: Mapping[str, Any]) -> str:
    trials, champion = results["trials"], results["champion"]
    states = ", ".join(
        f"{n} {state}" for state in ("COMPLETE", "PRUNED", "FAIL") if (n := sum(trial["state"] == state for trial in trials))
    )
    smart = champion["config"]["smart"]
    how = "without SMART"
    if smart["enabled"]:
        how = f"with SMART (variant {smart['variant']}, ε {smart['epsilon']:g}, λ {smart['lambda']:g}, K {smart['steps']})"
    return f"""## Search

{_origin(champion)} {len(trials)} ({states}) of a search over the space `{results["space"]}` with seed
{results["seed"]}; its score, {results["metric"]}, is {champion["score"]:.4f} on *select*. It was trained {how}.

Learning rates {champion["config"]["optim"]["lr"]:.3g} and, of the heads, {champion["config"]["optim"]["head_lr"]:.3g}."""


def _origin(champion: Mapping[str, Any]) -> str:
    return "The untuned default, beside the trials," if champion["number"] is None else f"Trial {champion['number']}, of"


def _limits(results: Mapping[str, Any]) -> str:
    config = results["champion"]["config"]
    limits = [
        f"It answers {', '.join(config['mixture'])}, as its training data put these questions, and nothing else.",
        "It was trained on English, and carries the biases of its texts and of its backbone.",
        "Probabilities are those of a softmax; nobody has calibrated them.",
    ]
    if results["data"]["generated"]:
        limits.insert(0, GENERATED_NOTE)
    if not results["champion"].get("feasible", True):
        limits.append(f"It does not meet what was required of it: {', '.join(results['requirements'])}.")
    raised = [trial.get("alarms", {}) for trial in results["trials"] if trial["number"] == results["champion"]["number"]]
    limits += [f"{alarm} ({', '.join(tasks)}): {MEANINGS[alarm]}." for own in raised for alarm, tasks in own.items()]
    return "## Limits\n\n" + "\n".join(f"- {limit}" for limit in limits)
