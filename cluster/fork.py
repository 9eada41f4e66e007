"""Workers that are forked from a process which has imported what they need: they start in under a second, not in six or more.

Ray starts a worker by running Python. `runtime_env` has it run this file instead, which asks the node's fork server, a process
of this file too, to fork: the child takes over the worker's arguments, environment, folder and open files, and does what
Python would have done. Ray knows a worker by what that says of itself when it registers, its process included.

A search has one fork server on each node it trains on, begun by the first worker there. It ends with the process it belongs
to, which is the node's raylet or the driver, and when nobody has needed it for a minute. It imports neither Ray, whose
settings are read once in a process, nor anything that would touch a GPU: neither survives a fork.

Where there can be none (no Linux, a socket that another user holds), a worker starts as it always would.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).resolve()
PROJECT = FILE.parent.parent
BEGUN_WITHIN_S = 20.0
"""How long a worker waits for a fork server to listen, before it starts by itself."""
FORKED_WITHIN_S = 120.0
"""How long it waits for its turn: the server has to import first."""
IDLE_S = 60.0
TICK_S = 5.0
BACKLOG = 1024
SAFE = {"OMP_NUM_THREADS": "1", "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
"""For the server alone: a pool of threads does not survive a fork, nor does a driver of GPUs that was asked for them."""


_kept: dict[str, subprocess.Popen[bytes]] = {}
"""The fork servers that `keep` has begun, by their keys."""


class Work(NamedTuple):
    """What a worker was started with."""

    argv: list[str]
    environment: dict[str, str]
    folder: str


def python(key: str, modules: Iterable[str]) -> str:
    """What Ray runs in place of Python, as `py_executable` of a `runtime_env`: a shell's words.

    `key` names the search, and no other process may know it before; `modules` are imported before the fork. They, this file
    and Python must lie on the worker's node where they lie here.
    """
    return shlex.join([sys.executable, "-I", "-S", str(FILE), "worker", key, ",".join(modules)])


@contextmanager
def ahead(modules: Iterable[str]) -> Iterator[Callable[[str | None], None]]:
    """Within, a process imports beside this one. It is this node's fork server from when it is given its key, and ends where it
    is given None."""
    if sys.platform != "linux":
        yield lambda key: None
        return
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            server = _begin("", ",".join(modules), os.getpid(), theirs)

        def give(key: str | None) -> None:
            if key is None:
                ours.close()
                return
            with suppress(OSError), _listener(key) as listener:  # from now on no worker begins a server of its own
                socket.send_fds(ours, [b"1"], [listener.fileno()])

        try:
            yield give
        finally:
            server.kill()
            server.wait()


def keep(key: str, modules: Iterable[str]) -> None:
    """Have this node's fork server begun beside this process, whose searches share it: it ends with this process, and when
    it has been idle for a minute. Does nothing where a server with this key runs already."""
    if sys.platform == "linux" and (key not in _kept or _kept[key].poll() is not None):
        if not _kept:
            atexit.register(_end_kept)
        _kept[key] = _begin(key, ",".join(modules), os.getpid())


def _end_kept() -> None:
    """End the fork servers of this process with it; those of a process that is killed notice by themselves."""
    for server in _kept.values():
        server.terminate()
        server.wait()


def _begin(key: str, modules: str, owner: int, stdin: socket.socket | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", str(FILE), "serve", key, modules, str(owner)],
        env={**os.environ, **SAFE},
        stdin=subprocess.DEVNULL if stdin is None else stdin.fileno(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,  # signals to a worker's group, or to the terminal's, are not for it
    )


def _worker(key: str, modules: str, argv: list[str]) -> None:
    """Have the worker forked, and end; else become it."""
    try:
        with _connected(key, modules) as server:
            work = Work(argv, dict(os.environ), str(Path.cwd()))
            socket.send_fds(server, [json.dumps(work).encode() + b"\n"], [0, 1, 2])
            server.settimeout(FORKED_WITHIN_S)
            if server.recv(1):
                return
    except OSError:
        pass
    os.execv(sys.executable, [sys.executable, *argv])


def _connected(key: str, modules: str) -> socket.socket:
    """A connection to this node's fork server, which is begun where there is none. Raises OSError."""
    deadline = time.monotonic() + BEGUN_WITHIN_S
    begun = False
    while True:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            server.connect(_address(key))
            _check_user(server)
            return server
        except ConnectionRefusedError:
            server.close()
            if time.monotonic() > deadline:
                raise
            if not begun:
                _begin(key, modules, os.getppid())
                begun = True
            time.sleep(0.02)


def _address(key: str) -> str:
    """A name and no file: nothing is left of it, and a node in a network namespace of its own has its own."""
    return f"\0{key}"


def _check_user(peer: socket.socket) -> None:
    """Nobody else's process is told this one's environment, or may have this one's user run anything. Raises OSError."""
    _, user, _ = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    if user != os.geteuid():
        raise PermissionError("the other process is another user's")


def _serve(key: str, modules: str, owner: int) -> Work | None:
    """Fork a child for each worker. Returns its work in a child, and None when the server has nothing more to do."""
    try:
        watched = os.pidfd_open(owner)
        listener = _listener(key) if key else None
        _import(modules)
        listener = listener or _given_listener()
    except OSError:  # there is a server already, or nobody who needs one
        return None
    with listener:
        children: set[int] = set()
        last_needed = time.monotonic()
        signal.signal(signal.SIGCHLD, lambda *_: _reap(children))
        while True:
            ready, _, _ = select.select([listener.fileno(), watched], [], [], TICK_S)
            if watched in ready:
                return None
            if children:
                last_needed = time.monotonic()
            if listener.fileno() in ready:
                work = _fork(listener, children)
                if work is not None:
                    os.close(watched)
                    return work
            elif time.monotonic() - last_needed > IDLE_S:
                return None


def _listener(key: str) -> socket.socket:
    """Where workers ask; what connects before they are answered waits. Raises OSError where there is one already."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        listener.bind(_address(key))
        listener.listen(BACKLOG)
        stack.pop_all()
    return listener


def _given_listener() -> socket.socket:
    """The one that the owner has made meanwhile, or makes yet, and hands over on standard input. Raises OSError at its end."""
    with socket.socket(fileno=os.dup(0)) as given:  # 0 itself stays taken: what is opened next must not get that number
        _, files, _, _ = socket.recv_fds(given, 1, 1)
    if not files:
        raise ConnectionResetError
    return socket.socket(fileno=files[0])


def _import(modules: str) -> None:
    sys.path.insert(0, str(PROJECT))
    for module in modules.split(","):
        with suppress(Exception):  # the worker will import it again, and say what is wrong
            importlib.import_module(module)
    gc.collect()
    gc.freeze()  # a collection would write to every page, and so copy it


def _reap(children: set[int]) -> None:
    for child in list(children):
        with suppress(ChildProcessError):
            if os.waitpid(child, os.WNOHANG)[0] == 0:
                continue
        children.discard(child)


def _fork(listener: socket.socket, children: set[int]) -> Work | None:
    """Serve one worker. Returns its work in the child, and None in the server."""
    connection, _ = listener.accept()
    with connection:
        files: list[int] = []
        try:
            _check_user(connection)
            connection.settimeout(TICK_S)
            text, files, _, _ = socket.recv_fds(connection, 2**20, 3)
            while text and not text.endswith(b"\n"):
                text += connection.recv(2**20)
            work = Work(*json.loads(text))
            child = os.fork()
            if child == 0:
                try:
                    _become(work, files)
                    connection.sendall(b"1")
                    return work
                except BaseException:
                    os._exit(1)  # the worker that asked starts by itself
            children.add(child)
            _reap(children)  # one that ended before it was noted
        except (OSError, ValueError):  # the worker that asked is told by the end of the connection
            pass
        for file in files:
            os.close(file)
    return None


def _become(work: Work, files: list[int]) -> None:
    """Take over what a new process is given."""
    os.setpgid(0, 0)  # Ray ends a worker's whole process group with it
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(work.folder)
    os.environ.clear()
    os.environ.update(work.environment)
    sys.argv = list(work.argv)
    given = [path for path in work.environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:0] = [str(Path(work.argv[0]).parent), *(path for path in given if path not in sys.path)]
    gc.unfreeze()


def _main(role: str, key: str, modules: str, *rest: str) -> None:
    if role == "worker":
        _worker(key, modules, list(rest))
        return
    work = _serve(key, modules, int(rest[0]))
    if work is not None:
        runpy.run_path(work.argv[0], run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
