"""What the user should know of a search that can start, and need not mend."""

from __future__ import annotations

from model.config import TrialConfig
from model.data.source import DataSummary
from tuner.config.objective import OWN_MEAN, Objective
from tuner.config.requirements import Requirements
from tuner.search.confirmation.finalists import Confirmation
from tuner.search.plan.resolve import Choices
from tuner.search.preflight import estimate
from tuner.study import PRUNERS, SAMPLERS


def notes_of(
    objective: Objective,
    requirements: Requirements,
    choices: Choices,
    samples: tuple[TrialConfig, ...],
    summary: DataSummary,
) -> list[str]:
    """What the user should know of the metric, the sampler and the data."""
    notes = []
    if objective.name == OWN_MEAN and len({sample.mixture for sample in samples}) > 1:
        notes.append("the score is the mean over a trial's own tasks: it compares trials of the same mixture, no others")
    if requirements.texts and not SAMPLERS[choices.sampler].constraints:
        able = ", ".join(name for name, sampler in SAMPLERS.items() if sampler.constraints)
        notes.append(f"the sampler {choices.sampler} does not look at the requirements; {able} do")
    if choices.pruner and PRUNERS[choices.pruner].promotes:
        size = estimate.checkpoint_bytes(samples[0].backbone)
        told = "" if size is None else f" of about {size / 1e9:.1f} GB"
        notes.append(f"each paused trial keeps a checkpoint{told} in the run's folder until it is promoted or pruned")
    return notes + [f"{task}: {count} bad row(s) left out" for task, count in summary.skipped.items() if count]


def confirmation_notes(confirmation: Confirmation | None) -> list[str]:
    if confirmation is None or confirmation.without_default is None:
        return []
    return [f"the confirmation has no untuned default: {confirmation.without_default}"]
