"""Every kind of file that is read, damaged in some hundred ways: it is read, or refused by a `ConfigError`."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from model import config as trial_config
from model.config import ConfigError
from model.cues import layout
from model.data import files, tokenised
from model.encoder import backbone
from model.saved_model import folder as saved_model
from model.tasks import TASKS
from tests.support import samples, tiny
from tests.support.cases import slow_but
from tests.support.earlier_run import NAME, unpack
from tuner import space
from tuner.artifacts.checkpoints import _key_of
from tuner.config import options, run_folder
from tuner.results import results_json
from tuner.search import consistency, controls, warm_start
from tuner.search.confirmation.trainings import PLAN, ConfirmationRecords
from tuner.search.preflight import stage as preflight
from tuner.search.preflight.forecast import Crowd, Measured
from tuner.study import read_records
from tuner.tracking import timeline

N_DEEP = 1_200
RECORD = asdict(samples.record(0, score=0.5))
CONTROL = controls.Control("sst", samples.CONFIG, "key")
RESULT = controls.ControlResult("sst", "sst/accuracy", 0.5, 3.0, {}, "night", RECORD["evaluations"])
MEASURED = Measured((), 0, 1.0, None, 2.0, Crowd(2, 1.1))
PAIRS = "Sentiment\tText\tbatch_id\nNegative\tbad film\t1\nPositive\tgood film\t1\n"
STS = "id\tsentence1\tsentence2\tsimilarity\n" + "".join(f'p{i}\t"left ""{i}"""\tright\t{i % 6}\n' for i in range(40))


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str
    """Its name in the folder of the test."""
    valid: str | bytes | None
    """What it may hold; None for the file of an earlier run."""
    read: Callable[[Path], Any]
    n: int = 300
    """Random mutations."""


KINDS = (
    Kind(
        "sst.csv", "id\tsentence\tsentiment\n" + "a\tone\t1\nb\ttwo\t2\n" * 9, lambda p: list(files.read_rows(p, TASKS["sst"]))
    ),
    Kind("sts.csv", STS, lambda p: list(files.read_rows(p, TASKS["sts"]))),
    Kind("dev_paired.tsv", PAIRS, layout.read_pairs),
    Kind("small.yaml", None, space.load, 40),
    Kind("search.json", None, lambda p: options.load(p.parent)),
    Kind("state.json", None, lambda p: run_folder.read_state(p.parent)),
    Kind("results.json", None, results_json.read, 150),
    Kind("timeline.jsonl", None, lambda p: timeline.read(p.parent)),
    Kind("study.journal", None, lambda p: read_records(f"journal:{p}", NAME), 100),
    Kind("champion/config.yaml", None, saved_model._record, 10),
    Kind("models/0/config.yaml", None, trial_config.load, 10),
    Kind("models/1/config.yaml", "metrics: {sst/accuracy: 0.5}\n", lambda p: consistency._model_disagreements(p, "it", {}), 20),
    Kind("encoder/config.json", None, lambda p: backbone.architecture(str(p.parent))),
    Kind("champion/encoder/tokenizer.json", None, lambda p: backbone.load_tokenizer(str(p.parent)), 20),
    Kind("warm_start.json", None, lambda p: warm_start.load(p.parent)),
    Kind("preflight.json", json.dumps(asdict(MEASURED)), preflight.read),
    Kind("key.json", json.dumps(asdict(RESULT)), lambda p: controls.Cache(p.parent).get(CONTROL)),
    Kind("7.json", json.dumps(RECORD), lambda p: ConfirmationRecords(p.parent).record(7)),
    Kind(
        "7.dev.json", '{"predictions": {"sst": [1.0]}, "labels": {"sst": [0]}}', lambda p: ConfirmationRecords(p.parent).dev(7)
    ),
    Kind(PLAN, "[1, 2, 3]", lambda p: ConfirmationRecords(p.parent).progress()),
    Kind("checkpoint.json", '{"key": "trial_1/evaluation_1"}', _key_of),
    Kind("manifest.json", '{"format": 1, "files": {}}', lambda p: layout.read_manifest(p.parent)),
    Kind("tokens.npz", None, tokenised.load, 200),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of an earlier version, with the files that only other runs have."""
    folder = tmp_path_factory.mktemp("damaged")
    run = unpack(folder) / NAME
    for name in ("encoder", "small.yaml"):
        (folder / name).rename(run / name)
    (run / "mlflow.db").unlink()
    tokenised.save(run / "tokens.npz", tiny.data())
    warm_start.save([warm_start.from_run(run)], run)
    return run


@pytest.mark.parametrize(
    "kind",
    slow_but(KINDS, *(kind for kind in KINDS if not kind.name.endswith("config.yaml"))),
    ids=[kind.name for kind in KINDS],
)
def test_a_damaged_file_is_read_or_refused(kind: Kind, run: Path) -> None:
    path = run / kind.name
    if kind.valid is not None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(kind.valid.encode() if isinstance(kind.valid, str) else kind.valid)
    valid = path.read_bytes()
    kind.read(path)
    try:
        for content in damaged(valid, Random(kind.name), kind.n):
            path.write_bytes(content)
            try:
                kind.read(path)
            except ConfigError as error:
                assert error.problems
            except Exception as error:
                error.add_note(f"{kind.name} was {content[:300]!r}")
                raise
    finally:
        path.write_bytes(valid)


def damaged(valid: bytes, rng: Random, n: int) -> Iterator[bytes]:
    """Contents that a user may have by mistake, then `n` random mutations."""
    yield from (b"", b"\n", b"null", b"[]", b"{}", b'"text"', b"7", b"9" * 5000, b"\0" * 99, valid * 2, valid[::-1])
    yield from (b"\xef\xbb\xbf" + valid, valid.decode("latin-1").encode("utf-16"), gzip.compress(valid))
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"
    yield from (b"[" * N_DEEP, b'{"a":' * N_DEEP, b"- " * N_DEEP, b"[" * N_DEEP + b"]" * N_DEEP)
    for _ in range(n):
        yield rng.choice((_flip, _cut, _nest, _renumber, _replace))(valid, rng)


def _flip(valid: bytes, rng: Random) -> bytes:
    content = bytearray(valid)
    for _ in range(rng.randint(1, 8)):
        content[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(content)


def _cut(valid: bytes, rng: Random) -> bytes:
    start, end = sorted(rng.sample(range(len(valid) + 1), 2))
    return rng.choice((valid[:end], valid[start:], valid[:start] + valid[end:]))


def _nest(valid: bytes, rng: Random) -> bytes:
    place = rng.randrange(len(valid))
    return valid[:place] + rng.choice((b"[", b'{"a":', b"{", b"- ")) * N_DEEP + valid[place:]


def _renumber(valid: bytes, rng: Random) -> bytes:
    """A number is replaced by an extreme one."""
    number = rng.choice((b"9" * 400, b"9" * 5000, b"-1", b"1e999", b"NaN", b"-Infinity", b"0.5", b"1e-400", b"2147483648"))
    places = list(re.finditer(rb"\d+", valid)) or [re.match(b"", valid)]
    place = rng.choice(places)
    assert place is not None
    return valid[: place.start()] + number + valid[place.end() :]


def _replace(valid: bytes, rng: Random) -> bytes:
    """A value of JSON, or of YAML in block style, is replaced by one of another type."""
    value = rng.choice(
        (b"null", b"[]", b"{}", b'"text"', b"true", b"[[1]]", b'{"a": {"b": 1}}', b"-3", b"!!int ''", b"!!timestamp x", b"*a")
    )
    places = list(re.finditer(rb'(?<=: )("[^"]*"|[^\s,{}\[\]"]+)', valid)) or [re.match(b"", valid)]
    place = rng.choice(places)
    assert place is not None
    return valid[: place.start()] + value + valid[place.end() :]
