"""Parameters that change nothing somewhere are named, with the `when` that a space lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tuner.space import Space, available, load, void_notes

LOOSE = """\
name: loose
search:
  mixture: {choice: [[sst], [sts], [sst, sts]]}
  mixing.strategy: {choice: [loop_to_max, temperature, sqrt]}
  mixing.temperature: {float: [1.0, 5.0]}
  smart.enabled: {choice: [true, false]}
  smart.steps: {int: [0, 3]}
  smart.eta: {float: [1.0e-5, 1.0e-1], log: true, when: {smart.enabled: true}}
  optim.lr: {float: [1.0e-5, 1.0e-3]}
"""

NOTES = {
    "mixing.strategy": "where mixture is sst or sts: give it `when: {mixture: sst+sts}`",
    "mixing.temperature": "`when: {mixture: sst+sts, mixing.strategy: temperature}`",
    "smart.steps": "where smart.enabled is false: give it `when: {smart.enabled: true}`",
    "smart.eta": "where smart.steps is 0: give it `when: {smart.enabled: true, smart.steps: [1, 2, 3]}`",
}


def space_of(folder: Path, text: str) -> Space:
    (folder / "space.yaml").write_text(text, encoding="utf-8")
    return load(folder / "space.yaml")


def test_each_is_named_with_the_condition_it_lacks(tmp_path: Path) -> None:
    notes = {note.partition(" ")[0]: note for note in void_notes(space_of(tmp_path, LOOSE))}
    assert notes.keys() == NOTES.keys()
    for name, end in NOTES.items():
        assert notes[name].startswith(f"{name} is searched, but changes nothing where ")
        assert notes[name].endswith(end), notes[name]


def test_with_the_conditions_there_is_nothing_to_say(tmp_path: Path) -> None:
    text = LOOSE
    for name, note in NOTES.items():
        when = note.partition("`")[2].rstrip("`")
        line = next(line for line in text.splitlines() if line.startswith(f"  {name}:"))
        text = text.replace(line, f"{line.partition(', when')[0].rstrip('}')}, {when}}}")
    assert void_notes(space_of(tmp_path, text)) == []


def test_what_is_void_everywhere_should_not_be_searched(tmp_path: Path) -> None:
    fixed = space_of(tmp_path, LOOSE).fix({"smart.enabled": False, "mixture": ["sst"]})
    names = [note.partition(" ")[0] for note in void_notes(fixed) if note.endswith("take it out of `search`")]
    assert names == ["mixing.strategy", "mixing.temperature", "smart.steps"]


def test_a_continuous_cause_has_no_when(tmp_path: Path) -> None:
    """β counts for nothing at μ = 0; a draw of exactly 0 from a range with steps is no choice that a `when` could name."""
    text = "name: x\nsearch:\n  smart.mu: {float: [0.0, 1.0], step: 0.5}\n  smart.beta: {float: [0.5, 0.9]}\n"
    (note,) = void_notes(space_of(tmp_path, text))
    assert note.startswith("smart.beta is searched, but changes nothing in ")
    assert note.endswith("random configurations: a `when` can exclude it there")


@pytest.mark.parametrize("profile", ["laptop", "gpu"])
@pytest.mark.parametrize("name", available())
def test_the_spaces_that_come_with_the_project_search_nothing_in_vain(name: str, profile: str) -> None:
    assert void_notes(load(name, profile)) == []
