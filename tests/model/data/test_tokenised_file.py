"""Tokenised data round-trips through its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model.data import tokenised
from model.data.tokenised import TokenizedData
from tests.support import tiny


def arrays_of(data: TokenizedData) -> list[tuple[str, np.ndarray]]:
    return [
        (f"{task} {split} {name}", array)
        for task, splits in data.tasks.items()
        for split, own in splits.items()
        for name, array in [
            ("labels", own.labels),
            *(
                (f"{side} {part}", getattr(texts, part))
                for side, texts in enumerate(own.texts)
                for part in ("values", "offsets")
            ),
        ]
    ]


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    """Bit for bit, in the same order, with the same types; sentences and pairs alike."""
    made = tiny.data()
    tokenised.save(tmp_path / "tokens.npz", made)
    found = tokenised.load(tmp_path / "tokens.npz")
    assert found is not None
    assert (found.cls_id, found.sep_id, found.pad_id, found.vocab_size) == (101, 102, 0, 30522)
    assert found.summary == made.summary
    there, here = arrays_of(found), arrays_of(made)
    assert [name for name, _ in there] == [name for name, _ in here]
    for (_, one), (_, other) in zip(there, here, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert [path.name for path in tmp_path.iterdir()] == ["tokens.npz"]


@pytest.mark.parametrize("content", [b"", b"PK", b"no archive at all", None], ids=["empty", "cut", "other", "truncated"])
def test_a_damaged_file_is_none(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "tokens.npz"
    tokenised.save(path, tiny.data())
    path.write_bytes(path.read_bytes()[:5000] if content is None else content)
    assert tokenised.load(path) is None
    assert tokenised.load(tmp_path / "none.npz") is None


def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no-folder"):
        tokenised.save(tmp_path / "no-folder" / "tokens.npz", tiny.data())
