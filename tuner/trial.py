"""One Tune trial: supervises its gang, holds no tensor. One `step` is one evaluation."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.result import SHOULD_CHECKPOINT

from cluster.shape import GangShape
from model.evaluation import Evaluation, Failure
from tuner.gang import Gang, RankError
from tuner.models import FAILED

REPORT = "report"
"""Key of a result under which the `Evaluation` or `Failure` travels up."""


class GangTrial(tune.Trainable):  # type: ignore[misc]
    """Tune's view of a trial. `config` holds `number`, the trial's `config`, and the folder of the `checkpoint` to go on from
    or None; the rest is the search's own.

    `data` is a one-element list with an object reference, so that the supervisor never fetches what it points to. An
    evaluation makes a checkpoint after `checkpoint_every_s` seconds of work: those of a short trial would cost more than it.
    """

    def setup(self, config: dict[str, Any], shape: GangShape, data: list[Any], checkpoint_every_s: float) -> None:
        self._gang = Gang(shape, data[0])
        self._checkpoint_every_s = checkpoint_every_s
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Serve the next trial with the same processes."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        self._last: Evaluation | None = None
        self._failure: Failure | None = None
        self._saved_at = time.monotonic()
        try:
            self._gang.begin(config["config"])
            self._go_on(config)
        except RankError as error:
            self._failure = Failure(str(error), step=0)

    def _go_on(self, config: dict[str, Any]) -> None:
        """Load the checkpoint, if there is one. One that cannot be read costs time only: the beginning leads to the same."""
        checkpoint = config["checkpoint"]
        if checkpoint is None or not Path(checkpoint).is_dir():
            return
        try:
            self._gang.load(checkpoint)
        except RankError:
            self._gang.begin(config["config"])

    def step(self) -> dict[str, Any]:
        """Train to the next evaluation. The last result asks for a checkpoint, which is the trained model itself."""
        reported = self._failure or self._advance()
        if isinstance(reported, Failure):
            return {REPORT: reported}
        self._last = reported
        due = time.monotonic() - self._saved_at > self._checkpoint_every_s
        return {REPORT: reported, SHOULD_CHECKPOINT: reported.is_last or due}

    def _advance(self) -> Evaluation | Failure:
        try:
            return self._gang.advance()
        except RankError as error:
            return Failure(str(error), step=self._last.step if self._last else 0)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """The model for use when training is over; before, all that is needed to go on.

        What cannot be written ends the trial with the reason: trying again would train it again to no avail.
        """
        assert self._last is not None
        try:
            if self._last.is_last:
                self._gang.export(checkpoint_dir, self._last.metrics)
            else:
                self._gang.save(checkpoint_dir)
        except RankError as error:
            self._failure = Failure(str(error), self._last.step)
            Path(checkpoint_dir, FAILED).write_text(str(error), encoding="utf-8")
        self._saved_at = time.monotonic()

    def load_checkpoint(self, checkpoint: str) -> None:
        self._gang.load(checkpoint)

    def cleanup(self) -> None:
        self._gang.kill()
