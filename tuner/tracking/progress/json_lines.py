"""The progress display of `--json`: one JSON object per event and line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import IO, Any

from model.config import TrialConfig
from model.training.evaluation import Evaluation
from tuner.artifacts.addresses import mask_credentials
from tuner.results.facts import SearchFacts
from tuner.results.results_json import finite
from tuner.results.trial_record import TrialRecord
from tuner.tracking.events import Observer


class JsonProgress(Observer):
    """Writes only JSON lines to the stream. NaN and infinity become null."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def search_started(self, plan: SearchFacts) -> None:
        names = [field.name for field in fields(plan) if field.name not in ("finished", "unfinished")]
        facts = {name: getattr(plan, name) for name in names} | {"n_unfinished": len(plan.unfinished)}
        facts["tracking_uri"] = mask_credentials(plan.tracking_uri)
        facts["datasets"] = {task: asdict(dataset) for task, dataset in plan.datasets.items()}
        self._emit("search_started", **facts | {"run_dir": str(plan.run_dir), "n_finished": len(plan.finished)})

    def trial_started(self, number: int, config: TrialConfig) -> None:
        self._emit("trial_started", number=number, config=config.to_dict())

    def evaluated(self, number: int, evaluation: Evaluation, score: float) -> None:
        self._emit("evaluated", number=number, score=score, **evaluation.to_dict())

    def trial_noted(self, number: int, note: str) -> None:
        self._emit("trial_noted", number=number, note=note)

    def trial_paused(self, record: TrialRecord) -> None:
        evaluation = record.evaluations[-1]["index"]
        self._emit("trial_paused", number=record.number, score=record.score, evaluation=evaluation, reason=record.reason)

    def trial_finished(self, record: TrialRecord) -> None:
        names = ("number", "state", "score", "metrics", "requirements", "seconds", "reason", "note")
        self._emit("trial_finished", **{name: getattr(record, name) for name in names})

    def search_finished(self, results: dict[str, Any]) -> None:
        self._emit("search_finished", results=results)

    def aside(self, kind: str, names: Mapping[int, str]) -> Observer:
        return JsonSideTrainings(self._stream, kind, names)

    def _emit(self, event: str, **values: Any) -> None:
        line = json.dumps(finite({"event": event} | values), ensure_ascii=False, allow_nan=False)
        self._stream.write(f"{line}\n")
        self._stream.flush()


class JsonSideTrainings(JsonProgress):
    """Writes the events of controls or finalists as `finalist_started`, `finalist_evaluated` and so on, with a name."""

    def __init__(self, stream: IO[str], kind: str, names: Mapping[int, str]) -> None:
        super().__init__(stream)
        self._kind, self._names = kind, names

    def _emit(self, event: str, **values: Any) -> None:
        name = self._names[values["number"]]
        super()._emit(f"{self._kind}_{event.removeprefix('trial_')}", name=name, **values)
