"""The live view on a real pseudo-terminal of 80 columns, read back with a terminal emulator: 500 trials, event by event."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import pyte
import pytest

pytestmark = pytest.mark.slow

ROWS, COLUMNS = 24, 80
MARK = b"\x1b]2;look\x07"
"""Written where the screen is to be looked at: a window title, which shows nothing."""
COLOURS = re.compile(rb"\x1b\[(?:\d+;)*(?:3\d|4\d|9\d|10\d)(?:;\d+)*m")

SCRIPT = """
import itertools, os, sys, time
from pathlib import Path
from tests.support import samples
from tuner.tracking import progress
from tuner.artifacts.write_queue import write_stderr

seconds = itertools.count()
facts = samples.facts(Path("/runs/" + "night" * 20), n_trials=500)
shown = progress.make_progress(False, False, sys.stdout)
shown._clock = lambda: 0.06 * next(seconds)
shown.search_started(facts)
records, running = [], []
LONG = "RuntimeError: [red]something[/] went wrong at length, " * 5
for number in range(500):
    shown.trial_started(number, samples.CONFIG)
    running.append(number)
    shown.evaluated(number, samples.evaluation(1, 0.2), 0.2)
    if len(running) == 4:
        ended = running.pop(number % 4)
        failed = ended % 7 == 0
        records.append(samples.record(ended, "FAIL", reason=LONG) if failed else samples.record(ended, score=ended / 1000))
        shown.trial_finished(records[-1])
    if number % 100 == 50:
        write_stderr(f"note {number}: MLflow is away")
    while number == 240 and "PAUSE" in os.environ and not Path(os.environ["PAUSE"]).exists():
        time.sleep(0.2)
        next(seconds)
        shown._redraw(at_once=True)
    if number % 20 == 0:
        shown._redraw(at_once=True) if hasattr(shown, "_redraw") else None
        sys.stdout.flush()
        os.write(1, os.environb[b"MARK"])
    while "RESIZE" in os.environ and Path(os.environ["RESIZE"], str(number)).with_suffix(".wait").exists():
        time.sleep(0.01)
sys.stdout.flush()
os.write(1, os.environb[b"MARK"])
shown.search_finished(samples.results(facts, records, records[-1]))
shown.close()
"""


def without_wishes() -> dict[str, str]:
    """The environment, but for what it wishes of a terminal."""
    return {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES")}


@cache
def shown(stderr: Path | None = None, **environment: str) -> bytes:
    """All that the terminal was sent; what goes to stderr is too, unless it has a file."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**without_wishes(), "TERM": "xterm-256color", "MARK": MARK.decode(), **environment}
    root = Path(__file__).resolve().parents[4]
    errors = theirs if stderr is None else os.open(stderr, os.O_WRONLY | os.O_CREAT)
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=errors, env=env, cwd=root)
    for descriptor in {theirs, errors}:
        os.close(descriptor)
    parts = []
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other side is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(ours)
    assert child.wait(timeout=60) == 0, b"".join(parts)[-2000:].decode(errors="replace")
    return b"".join(parts)


def test_at_every_look_there_is_one_table_and_nothing_stale() -> None:
    screen = pyte.HistoryScreen(COLUMNS, ROWS, history=5000, ratio=0.5)
    stream = pyte.ByteStream(screen)
    *looks, rest = shown().split(MARK)
    assert len(looks) == 26
    for number, look in enumerate(looks[:-1]):
        stream.feed(look)
        lines = [line.rstrip() for line in screen.display]
        heads = [index for index, line in enumerate(lines) if line.split()[:3] == ["trial", "state", "eval"]]
        assert len(heads) == 1, lines
        table = [line for line in lines[heads[0] + 1 :] if line]
        *rows, totals, times = table
        assert all(re.match(r" *\d+  (running|complete|pruned|fail) ", row) for row in rows), rows
        n_started = 20 * number + 1
        n_running = min(n_started, 3)
        assert re.match(rf"\d+\.\d/500 full trials  {n_running} running", totals)
        assert times.startswith("best ")
        assert [row.split()[1] for row in rows[:n_running]] == ["running"] * n_running
        if number > 1:  # the table is as high as the terminal lets it
            assert len(table) >= ROWS - 3
    stream.feed(looks[-1] + rest)
    lines = [line.rstrip() for line in screen.display]
    assert not screen.cursor.hidden
    assert not any(line.split()[:3] == ["trial", "state", "eval"] for line in lines), "the table goes at the end"
    assert any(line.startswith("use it:") for line in lines)


HEADINGS = ["trial", "state", "eval", "step", "score", "best", "ETA", "reason"]
ALIGNED = ("trial", "eval", "step", "score", "best")
"""Columns whose cells end where the heading ends."""


def expected(number: int) -> tuple[list[int], list[int]]:
    """The trials that run after this one began, and those that have ended, in order: what SCRIPT plays."""
    running: list[int] = []
    ended: list[int] = []
    for begun in range(number + 1):
        running.append(begun)
        if len(running) == 4:
            ended.append(running.pop(begun % 4))
    return running, ended


def faults(lines: list[str], number: int, width: int, height: int, above: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with a screen that shows the table after trial `number` began; empty for one table and nothing else.

    `above` are the lines that may stand over it, as beginnings.
    """
    lines = [line.rstrip() for line in lines]
    heads = [index for index, line in enumerate(lines) if line.split() == HEADINGS]
    if len(heads) != 1:
        return [f"{len(heads)} headings"]
    (head,) = heads
    running, ended = expected(number)
    wanted = [*running, *reversed(ended)][: height - 4]
    rows, totals, rest = (
        lines[head + 1 : head + 1 + len(wanted)],
        lines[head + 1 + len(wanted) :][:2],
        lines[head + 3 + len(wanted) :],
    )
    found = []
    cells = [row.split()[:2] for row in rows]
    states = ["running"] * len(running) + ["fail" if one % 7 == 0 else "complete" for one in reversed(ended)]
    if cells != [[str(one), state] for one, state in zip(wanted, states, strict=False)]:
        return [f"rows {cells} instead of {wanted}"]
    for name in ALIGNED:
        edge = re.search(rf"\b{name}\b", lines[head]).end()  # type: ignore[union-attr]
        found += [f"{name}: {row!r}" for row in rows if not re.fullmatch(r"[^ ] ?", row[edge - 1 : edge + 1])]
    cut = [row for row, (_, state) in zip(rows, cells, strict=True) if state == "fail"]
    found += [f"not cut at the edge: {row!r}" for row in cut if len(row) != width or not row.endswith("…")]
    n_failed = sum(one % 7 == 0 for one in ended)
    states = f"{len(running)} running  0 pruned  {n_failed} failed"
    if not re.match(rf"\d+\.\d/500 full trials  {states}", totals[0]) or not totals[1].startswith("best "):
        found.append(f"totals {totals}")
    found += [f"left over below: {line!r}" for line in rest if line]
    found += [f"left over above: {line!r}" for line in lines[:head] if line and not line.startswith(above)]
    found += [f"too wide: {line!r}" for line in lines if len(line) > width]
    return found


def wrapped(screen: pyte.Screen, width: int) -> pyte.Screen:
    """What a terminal makes of its lines when its window gets another width: those that are longer go on in the next."""
    lines = [line.rstrip() for line in screen.display]
    parts = [line[start : start + width] for line in lines for start in range(0, max(len(line), 1), width)]
    made = pyte.Screen(width, screen.lines)
    pyte.Stream(made).feed("\r\n".join(parts[-screen.lines :]))
    return made


def test_a_resized_window_always_shows_one_whole_table(tmp_path: Path) -> None:
    """80 columns, then 60, then 80 again, under 500 trials; lines that are too long are wrapped when it gets narrower."""
    sizes = {200: 60, 360: COLUMNS}
    for number in sizes:
        (tmp_path / f"{number}.wait").touch()
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    env = {**without_wishes(), "TERM": "xterm-256color", "MARK": MARK.decode(), "RESIZE": str(tmp_path)}
    root = Path(__file__).resolve().parents[4]
    child = subprocess.Popen([sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=root)
    screen, sent, wrong = pyte.Screen(COLUMNS, ROWS), b"", []
    for number in range(0, 500, 20):
        above = ("",) if number < 60 else ("note",)  # what the search begins with has scrolled away then
        while MARK not in sent:
            sent += os.read(ours, 65536)
        look, _, sent = sent.partition(MARK)
        pyte.ByteStream(screen).feed(look)
        wrong += [f"{number}: {fault}" for fault in faults(screen.display, number, screen.columns, ROWS, above)]
        if number in sizes:
            screen = wrapped(screen, sizes[number])
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, sizes[number], 0, 0))
            (tmp_path / f"{number}.wait").unlink()
    os.close(theirs)
    with suppress(OSError):  # the other side is closed
        while part := os.read(ours, 65536):
            sent += part
    os.close(ours)
    assert child.wait(timeout=60) == 0, sent[-2000:].decode(errors="replace")
    pyte.ByteStream(screen).feed(sent)
    assert wrong == []
    assert not screen.cursor.hidden
    assert not any(line.split() == HEADINGS for line in screen.display), "the table goes at the end"


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_resized_tmux_window_shows_one_table(tmp_path: Path) -> None:
    """tmux wraps what is there when its window becomes narrower."""
    socket, script, go_on = str(tmp_path / "socket"), tmp_path / "search.py", tmp_path / "go_on"
    script.write_text(SCRIPT, encoding="utf-8")

    def tmux(*arguments: str) -> str:
        command = ["tmux", "-S", socket, *arguments]
        return subprocess.run(command, env=without_wishes(), capture_output=True, text=True, check=True, timeout=30).stdout

    def settled(width: int, height: int, above: tuple[str, ...]) -> list[str]:
        """What is wrong with the window once it was drawn anew, and stays so a few times."""
        end, good, found = time.monotonic() + 20, 0, ["nothing was shown"]
        while good < 6 and time.monotonic() < end:
            time.sleep(0.2)
            found = faults(tmux("capture-pane", "-p").splitlines(), 240, width, height, above)
            good = 0 if found else good + 1
        return found

    root = Path(__file__).resolve().parents[4]
    run = f"cd {root} && PYTHONPATH={root} MARK= PAUSE={go_on} {sys.executable} {script}; sleep 60"
    tmux("new-session", "-d", "-x", "80", "-y", "24", run)
    try:
        assert settled(80, 24, ("note",)) == []
        for width, height in ((60, 24), (80, 24), (80, 40), (120, 12)):
            tmux("resize-window", "-x", str(width), "-y", str(height))
            assert settled(width, height, ()) == []
        go_on.touch()
    finally:
        tmux("kill-server")


def test_lines_on_stderr_scroll_by_unbroken() -> None:
    screen = pyte.HistoryScreen(COLUMNS, ROWS, history=5000, ratio=0.5)
    pyte.ByteStream(screen).feed(shown())
    history = ["".join(line[column].data for column in range(COLUMNS)).rstrip() for line in screen.history.top]
    lines = [*history, *(line.rstrip() for line in screen.display)]
    for number in (50, 150, 250, 350, 450):
        assert lines.count(f"note {number}: MLflow is away") == 1
    assert sum(line.startswith("search night") for line in lines) == 1
    assert sum("/500 full trials" in line for line in lines) == 0


def test_redirected_stderr_goes_to_its_file_and_colours_only_to_terminals(tmp_path: Path) -> None:
    """`NO_COLOR=1 tuner.search 2> errors`: the live table does not take what goes to stderr."""
    assert COLOURS.search(shown())
    plain = shown(tmp_path / "errors", NO_COLOR="1")
    assert not COLOURS.search(plain)
    assert b"MLflow is away" not in plain
    assert (tmp_path / "errors").read_text(encoding="utf-8").count("MLflow is away") == 5


def test_a_dumb_terminal_gets_lines() -> None:
    plain = shown(TERM="dumb").replace(MARK, b"")
    assert b"\x1b" not in plain
    assert plain.count(b"  started  ") == 500


@pytest.mark.parametrize("where", ["pipe", "file"])
def test_elsewhere_there_are_lines_without_codes(where: str, tmp_path: Path) -> None:
    env = {**os.environ, "MARK": "", "TERM": "xterm-256color"}
    root = Path(__file__).resolve().parents[4]
    with (tmp_path / "out").open("w+b") as file:
        out = subprocess.PIPE if where == "pipe" else file
        done = subprocess.run([sys.executable, "-c", SCRIPT], stdout=out, stderr=subprocess.PIPE, env=env, cwd=root, check=True)
        file.seek(0)
        said = done.stdout if where == "pipe" else file.read()
    assert b"\x1b" not in said
    assert said.count(b"  started  ") == 500
    assert done.stderr.count(b"MLflow is away") == 5


def test_a_reader_that_leaves_does_not_end_the_search() -> None:
    """`search | head -1`: the rest is dropped, and the exit status stays the search's."""
    env = {**os.environ, "MARK": ""}
    root = Path(__file__).resolve().parents[4]
    command = [sys.executable, "-c", SCRIPT + "sys.stderr.write('came to its end')"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env, cwd=root)
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.readline().startswith(b"search night")
    child.stdout.close()
    said = child.stderr.read()
    child.stderr.close()
    assert child.wait(timeout=60) == 0, said
    assert said.endswith(b"came to its end")
    assert b"BrokenPipe" not in said
