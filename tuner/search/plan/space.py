"""The space that a command line names, under its profile and with what is fixed."""

from __future__ import annotations

import yaml

from model.config import ConfigError
from tuner.config.options import Options
from tuner.space import Space
from tuner.space import load as load_space


def space_of(options: Options, has_gpu: bool) -> Space:
    """The space under its profile, with `--set` and `--backbone` fixed."""
    usual = "gpu" if has_gpu else "laptop"
    profile = options.profile or (usual if usual in load_space(options.space).profiles else None)
    settings = dict(_setting(text) for text in options.settings)
    for unit, other in (("budget.epochs", "budget.examples"), ("budget.examples", "budget.epochs")):
        if settings.get(unit) is not None:
            settings.setdefault(other, None)  # one budget takes the place of the other
    if options.backbone is not None:
        settings["backbone"] = options.backbone
    return load_space(options.space, profile).fix(settings)


def _setting(text: str) -> tuple[str, object]:
    """Name and value of a `--set NAME=VALUE`; the value is read as YAML."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ConfigError([f"--set {text} is not NAME=VALUE, such as --set budget.examples=4000"])
    try:
        return name.strip(), yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError([f"--set {text}: {value} cannot be read as a value"]) from None
