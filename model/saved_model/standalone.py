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
logging.set_verbosity_error()  # a pooler that the heads do not use is not in the weights


class Model:
    """An encoder and its heads, loaded from a folder, in eval mode on the CPU."""

    def __init__(self, folder: str | Path) -> None:
        folder = Path(folder)
        self.record: dict[str, Any] = json.loads((folder / "heads.json").read_text(encoding="utf-8"))
        self.heads = load_file(folder / "heads.safetensors")
        self.frame: dict[str, Any] = self.record["frame"]
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.encoder = AutoModel.from_pretrained(folder, **self.record["encoder_options"]).eval()

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
        inputs = self.inputs(*columns)
        words = self.encoder.get_input_embeddings()(inputs.pop("input_ids"))
        output = self.encoder(inputs_embeds=words, **inputs)
        if self.record["pooling"] == "cls":
            return output.pooler_output if self.frame["pooler"] else output.last_hidden_state[:, 0]  # type: ignore[no-any-return]
        mask = inputs["attention_mask"].unsqueeze(-1).float()
        return (output.last_hidden_state * mask).sum(1) / mask.sum(1).clamp_min(1)  # type: ignore[no-any-return]

    def inputs(self, *columns: list[str]) -> dict[str, Tensor]:
        """The encoder's inputs as in training, (B, L) int64 each: [CLS] a [SEP], or [CLS] a [SEP] b [SEP], padded at the end.

        The tokenizer only splits the texts. Its own template, truncation and padding may be others.
        """
        room = self.record["max_length"] - 2
        split = [
            self.tokenizer(column, add_special_tokens=False, truncation=True, max_length=room)["input_ids"]
            for column in columns
        ]
        rows = [self._row(texts) for texts in zip(*split, strict=True)]
        width = max(len(ids) for ids, _ in rows)
        n_padding = [width - len(ids) for ids, _ in rows]
        inputs = {
            "input_ids": [ids + [self.frame["pad_id"]] * n for (ids, _), n in zip(rows, n_padding, strict=True)],
            "attention_mask": [[1] * (width - n) + [0] * n for n in n_padding],
        }
        if self.frame["segments"]:
            inputs["token_type_ids"] = [types + [0] * n for (_, types), n in zip(rows, n_padding, strict=True)]
        return {name: torch.tensor(values) for name, values in inputs.items()}

    def _row(self, texts: Sequence[list[int]]) -> tuple[list[int], list[int]]:
        """Token ids and segments of a sequence; of a pair the longer text is cut first."""
        room = self.record["max_length"] - 1 - len(texts)
        kept = [min(len(texts[0]), room)] if len(texts) == 1 else _longest_first(len(texts[0]), len(texts[1]), room)
        ids, types = [self.frame["cls_id"]], [0]
        for segment, (text, n) in enumerate(zip(texts, kept, strict=True)):
            ids += [*text[:n], self.frame["sep_id"]]
            types += [segment] * (n + 1)
        return ids, types


def _longest_first(n_a: int, n_b: int, room: int) -> list[int]:
    """Tokens of a and of b to keep: the longer is cut to the other's length, then both; the odd token is the longer's."""
    if n_a + n_b <= room:
        return [n_a, n_b]
    short = min(n_a, n_b, room // 2)
    return [room - short, short] if n_a > n_b else [short, room - short]


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        for label, score in Model(Path(__file__).parent).predict(sys.argv[1], [tuple(sys.argv[2:])]):
            print(f"{label}\t{score:.4f}")
    except ValueError as error:
        sys.exit(str(error))
