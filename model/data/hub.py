"""`--data hub`: the public hub's SST-5, QQP, STS-B and IMDB through the `datasets` library, which caches them.

`--data hub=DIR` reads the same repositories from a local mirror, `DIR/nyu-mll/glue/qqp/train.parquet` and so on: a clone of the
repository, or files named for their splits in a folder for each configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from model.config import ConfigError
from model.data.example import Example, RowProblem, parse_example
from model.section import shown
from model.tasks import HubSource, Task

HINT = "download it where the network is and pass the folder as --data hub=DIR, or use --data demo or --data DIR"


class HubUnreachableError(ConfigError):
    """No connection to the hub. Requests for further repositories would only repeat the time-out."""


def read_rows(task: Task, part: str, mirror: Path | None = None) -> Iterator[Example | RowProblem]:
    """The rows of one split, in the hub's order; `part` is `train` or `dev`.

    The split is loaded immediately. Raises `HubUnreachableError` without a connection, and `ConfigError` if the split cannot be
    read or lacks a column.
    """
    source = task.hub
    split = source.splits[("train", "dev").index(part)]
    table = _load(source, split, mirror)
    wanted = (*source.text_columns, source.label_column, *([source.id_column] if source.id_column else []))
    missing = [column for column in wanted if column not in table.column_names]
    if missing:
        raise ConfigError(
            [f"{_name(source)} {split} has no column {', '.join(missing)}; its columns are {', '.join(table.column_names)}"]
        )
    return _rows(task, table, f"{_name(source)} {split}")


def _rows(task: Task, table: Any, name: str) -> Iterator[Example | RowProblem]:
    source = task.hub
    for number, row in enumerate(table, start=1):
        texts = [row[column] for column in source.text_columns]
        example_id = row[source.id_column] if source.id_column else None
        example = parse_example(task, source.text_columns, texts, source.label_column, row[source.label_column], example_id)
        yield example if isinstance(example, Example) else RowProblem(name, number, example)


def _load(source: HubSource, split: str, mirror: Path | None) -> Any:
    """One split as a `datasets.Dataset`."""
    import datasets

    path, config = source.path, source.config
    if mirror is not None:
        folder = mirror / source.path
        if config is not None and (folder / config).is_dir():
            folder, config = folder / config, None
        if not folder.is_dir():
            raise ConfigError([f"the mirror has no {_name(source)}: {folder} is not a folder; download it there"])
        path = str(folder)
    try:
        with _no_progress_bars():
            return datasets.load_dataset(path, config, split=split)
    except Exception as error:  # of datasets, its parsers and the hub's client, which share no base class
        reason = shown(" ".join(f"{error}: {error.__cause__ or type(error).__name__}".split()))
        kind = HubUnreachableError if isinstance(error, ConnectionError) else ConfigError
        advice = HINT if mirror is None else _mirror_advice(Path(path), error)
        raise kind([f"cannot load {_name(source)} {split} from {mirror or 'the hub'} ({reason}); {advice}"]) from None


def _mirror_advice(folder: Path, error: Exception) -> str:
    """Advice for a folder of a mirror that cannot be loaded."""
    scripts = sorted(folder.glob("*.py"))
    if scripts and "script" in str(error):
        return f"loading scripts are not run: remove {scripts[0]}, and keep the data files"
    if isinstance(error, yaml.YAMLError):
        return f"the YAML at the top of {folder / 'README.md'} is broken: correct it, or remove the file"
    return f"download {folder} again, or use --data demo or --data DIR"


def _name(source: HubSource) -> str:
    return f"{source.path}/{source.config}" if source.config else source.path


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Disable the progress bars of `datasets` and of the hub's client, which would disturb the search's own."""
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars

    were_on = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with disable_progress_bars():
            yield
    finally:
        if were_on:
            datasets.enable_progress_bars()
