"""The registry of samplers by their `--sampler` names. A new one is a module with its entry, and a name in `SAMPLER_NAMES`."""

from importlib import import_module

from tuner.config.options import SAMPLER_NAMES
from tuner.study.samplers.base import Sampler

SAMPLERS: dict[str, Sampler] = {name: import_module(f"{__name__}.{name}").SAMPLER for name in SAMPLER_NAMES}
