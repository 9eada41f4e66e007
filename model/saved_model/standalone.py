"""Predict with an exported model; needs only transformers, torch and safetensors. Exported as `predict.py`.

python predict.py sst "a text"
python predict.py quora "first text" "second text"
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

logging.disable_progress_bar()


class Model:
    """An encoder and its heads, loaded from a folder, in eval mode on the CPU."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.record: dict[str, Any] = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        self.heads = load_file(folder / "heads.safetensors")
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        has_pooler = self.record["pooling"] == "cls"
        self.encoder = AutoModel.from_pretrained(folder, add_pooling_layer=has_pooler).eval()

    def predict(self, task: str, texts: Sequence[tuple[str, ...]]) -> list[tuple[str, float]]:
        """Label and probability of each text or pair; for a regression the value, as text and as number."""
        logits = self.logits(task, texts)
        spec = self._spec(task)
        if spec["kind"] == "regression":
            return [(f"{value:.2f}", value) for value in logits[:, 0].clamp(*spec["range"]).tolist()]
        best = torch.softmax(logits, -1).max(-1)
        return [(spec["labels"][i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]

    @torch.no_grad()
    def logits(self, task: str, texts: Sequence[tuple[str, ...]]) -> Tensor:
        """Logits of texts, or of pairs for a pair task, (B, outputs of the head)."""
        spec = self._spec(task)
        columns = [list(column) for column in zip(*texts, strict=True)]
        if len(columns) != spec["texts"]:
            raise ValueError(f"{task} takes {spec['texts']} text(s), given {len(columns)}")
        is_cross = self.record["pair_encoding"] == "cross"
        sides = [self.pool(*columns)] if is_cross else [self.pool(column) for column in columns]
        if f"{task}.scale" in self.heads:
            cosine = torch.nn.functional.cosine_similarity(sides[0], sides[1], dim=-1)
            return cosine.unsqueeze(-1) * self.heads[f"{task}.scale"] + self.heads[f"{task}.bias"]
        return torch.cat(sides, -1) @ self.heads[f"{task}.weight"].T + self.heads[f"{task}.bias"]

    def _spec(self, task: str) -> dict[str, Any]:
        if task not in self.record["tasks"]:
            raise ValueError(f"there is no task {task}; this model has {', '.join(self.record['tasks'])}")
        return self.record["tasks"][task]  # type: ignore[no-any-return]

    def pool(self, *columns: list[str]) -> Tensor:
        """Pooled vectors of texts, or of pairs that share a sequence, (B, D)."""
        max_length = self.record["max_length"]
        inputs = self.tokenizer(*columns, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        output = self.encoder(**inputs)
        if self.record["pooling"] == "cls":
            return output.pooler_output  # type: ignore[no-any-return]
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return (output.last_hidden_state * mask).sum(1) / mask.sum(1).clamp_min(1)  # type: ignore[no-any-return]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        for label, score in Model(Path(__file__).parent).predict(sys.argv[1], [tuple(sys.argv[2:])]):
            print(f"{label}\t{score:.4f}")
    except ValueError as error:
        sys.exit(str(error))
