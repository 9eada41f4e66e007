"""The select split and the order of evaluated splits, against an independent computation."""

from __future__ import annotations

import hashlib
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from model.data.example import Example, is_select, stratified_order


def test_decisions_follow_sha256_of_task_and_id() -> None:
    decisions = set()
    for task in ("sst", "quora"):
        for example_id in (f"id{i}" for i in range(200)):
            first_bytes = hashlib.sha256(f"{task}/{example_id}".encode()).hexdigest()[:16]
            expected = int(first_bytes, 16) / 2**64 < 0.1
            assert is_select(task, example_id) == expected
            decisions.add(expected)
    assert decisions == {True, False}


def test_known_decisions() -> None:
    """From `sha256sum` of `sst/id0`, `sst/id1`, ...: a change of the rule would move examples between splits."""
    assert [i for i in range(60) if is_select("sst", f"id{i}")] == [0, 3, 7, 8, 13, 14, 44, 47, 48, 55]


def test_a_tenth_is_held_out_and_tasks_are_independent() -> None:
    ids = [str(i) for i in range(20_000)]
    chosen = {task: {i for i in ids if is_select(task, i)} for task in ("sst", "sts")}
    for each in chosen.values():
        assert abs(len(each) / len(ids) - 0.1) < 0.01  # 4.7 standard errors
    assert abs(len(chosen["sst"] & chosen["sts"]) / len(ids) - 0.01) < 0.003


def test_every_prefix_is_stratified_and_not_in_file_order() -> None:
    examples = [Example(f"e{i}", (f"text {i}",), float(i >= 300)) for i in range(400)]
    ordered = stratified_order("quora", examples)
    assert sorted(e.id for e in ordered) == sorted(e.id for e in examples)
    for n in (4, 40, 100, 397):
        counts = Counter(e.label for e in ordered[:n])
        assert abs(counts[1.0] - n / 4) <= 1
    assert [e.id for e in ordered if e.label == 0] != [e.id for e in examples[:300]]
    assert stratified_order("quora", examples[::-1]) == ordered


@given(st.lists(st.tuples(st.text(min_size=1), st.floats(0, 5)), unique_by=lambda pair: pair[0]))
def test_order_is_a_permutation_that_ignores_file_order(rows: list[tuple[str, float]]) -> None:
    examples = [Example(example_id, ("x",), label) for example_id, label in rows]
    ordered = stratified_order("sts", examples)
    assert Counter(ordered) == Counter(examples)
    assert stratified_order("sts", ordered) == ordered
