"""Export of a saved model for plain `transformers`: the encoder as transformers saves it, with the heads beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from model.saved_model.folder import SavedModel
from model.tasks import TASKS

HEADS, RECORD, PREDICT = "heads.safetensors", "heads.json", "predict.py"
STANDALONE = Path(__file__).with_name("standalone.py")


def write(folder: Path, model: SavedModel) -> None:
    """Write encoder, tokenizer, heads, their record and a `predict.py` that does not need this project to a folder."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    network = model.network
    network.encoder.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    heads = {name: tensor.contiguous() for name, tensor in network.heads.state_dict().items()}
    save_file(heads, folder / HEADS, metadata={"format": "pt"})
    (folder / RECORD).write_text(json.dumps(record(model), indent=2) + "\n", encoding="utf-8")
    shutil.copyfile(STANDALONE, folder / PREDICT)
    for path in folder.glob("*.safetensors"):  # safetensors writes them readable by their owner only
        path.chmod((folder / RECORD).stat().st_mode)


def record(model: SavedModel) -> dict[str, Any]:
    """The settings needed to apply the heads, as JSON values."""
    config = model.config
    return {
        "pooling": config.pooling,
        "pair_encoding": config.pair_encoding,
        "max_length": config.max_length,
        "frame": {
            "cls_id": model.tokenizer.cls_token_id,
            "sep_id": model.tokenizer.sep_token_id,
            "pad_id": model.tokenizer.pad_token_id,
            "segments": model.network.has_segments,
            "pooler": model.network.has_pooler,
        },
        "encoder_options": {"add_pooling_layer": False} if model.network.drops_pooler else {},
        "tasks": {
            task.name: {
                "kind": task.kind,
                "texts": len(task.text_columns),
                "labels": list(task.label_names),
                "range": list(task.label_range),
            }
            for task in (TASKS[name] for name in config.mixture)
        },
    }
