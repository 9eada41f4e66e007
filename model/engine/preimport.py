"""Import everything that a rank needs before its first step; for the process that ranks are forked from."""

from __future__ import annotations

import torch
import transformers.models.bert.modeling_bert  # noqa: F401

import model.saved_model.folder
import model.training.evaluate
import model.training.features
import model.training.trial  # noqa: F401
from model.engine.deepspeed import import_deepspeed

if torch.version.cuda is None:  # its import initialises the device, and CUDA does not survive a fork
    import_deepspeed("cpu")
