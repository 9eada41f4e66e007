"""Ray's address and temporary folder are checked within seconds, before anything is written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cluster import reach
from tuner import search


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (None, "no answer within 0.2 s"),
        (b"", "what listens there is not Ray"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what listens there is not Ray"),
        (bytes(3) + b"\x04" + bytes(5), None),
    ],
)
@pytest.mark.parametrize("form", ["127.0.0.1:{}", "ray://127.0.0.1:{}"])
def test_only_what_answers_as_ray_is_joined(
    answer: bytes | None, said: str | None, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server's first frame holds its settings, as Ray's do (RFC 9113, 3.4)."""
    monkeypatch.setattr(reach, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = form.format(server.getsockname()[1])
        if answer is None:  # it listens but accepts no connection
            with pytest.raises(ConnectionError, match=str(said)):
                reach.check(address)
            return
        with monkeypatch.context() as patched:
            connect = socket.create_connection

            def answered(*arguments: object) -> socket.socket:
                made = connect(*arguments)  # type: ignore[arg-type]
                peer, _ = server.accept()
                peer.sendall(answer)
                peer.shutdown(socket.SHUT_WR)
                peers.append(peer)
                return made

            peers: list[socket.socket] = []
            patched.setattr(socket, "create_connection", answered)
            if said is None:
                reach.check(address)
            else:
                with pytest.raises(ConnectionError, match=said):
                    reach.check(address)
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("address", ["host", ":6379", "ray://", "http://host:6379", "host:99999", "host:port"])
def test_what_is_no_address_is_a_sentence(address: str) -> None:
    with pytest.raises(ValueError, match="an address is HOST:PORT"):
        reach.check(address)


def test_a_long_temporary_folder_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    reach.check(None)
    monkeypatch.delenv("RAY_TMPDIR")
    monkeypatch.setenv("TMPDIR", f"/{'x' * 60}")
    with pytest.raises(ValueError, match=r"TMPDIR is \d+ characters too long .* RAY_TMPDIR=/tmp"):
        reach.check("local")


def test_a_dead_cluster_is_named_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("cluster.connect.is_connected", lambda: False)  # as in a process of its own
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    assert search.main(["--profile", "laptop", "--runs-dir", str(tmp_path / "runs")]) == search.WRONG_USAGE
    assert capsys.readouterr().err.startswith("no Ray cluster answers at 127.0.0.1:1 (from RAY_ADDRESS); start one there")
    assert not (tmp_path / "runs").exists()
