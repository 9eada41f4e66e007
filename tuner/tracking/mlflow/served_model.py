"""The registered champion as MLflow serves it, from an exported model and without this project's code.

A request has the columns `task`, `text` and, for tasks of pairs, `text2`; the answer has `label` and `score`: the probability
of the label, or the value of a regression. MLflow runs this file when the model is loaded.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class Champion(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Predicts for all tasks of the model."""

    def load_context(self, context: Any) -> None:
        folder = Path(context.artifacts["model"])
        spec = importlib.util.spec_from_file_location("exported_predict", folder / "predict.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(f"{folder} has no predict.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.model = module.Model(folder)

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        answers: dict[Any, tuple[str, float]] = {}
        for task, rows in model_input.groupby("task", sort=False):
            answers |= zip(rows.index, self.model.predict(task, self._texts(str(task), rows)), strict=True)
        return pd.DataFrame([answers[index] for index in model_input.index], columns=["label", "score"])

    def _texts(self, task: str, rows: pd.DataFrame) -> list[tuple[str, ...]]:
        tasks = self.model.record["tasks"]
        if task not in tasks:
            raise ValueError(f"there is no task {task}; this model knows {', '.join(tasks)}")
        columns = ["text", "text2"][: tasks[task]["texts"]]
        lacking = [name for name in columns if name not in rows or rows[name].isna().any()]
        if lacking:
            raise ValueError(f"{task} needs the column {lacking[0]}")
        return list(rows[columns].itertuples(index=False, name=None))


mlflow.models.set_model(Champion())
