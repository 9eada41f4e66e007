"""Rewriting by a language model, against a local server that simulates the failures of endpoints."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from model.config import ConfigError
from model.cues.__main__ import main
from model.cues.cue import PLACE, Carrier, TemplateRewriter
from model.cues.openai_rewriter import FAILURES_IN_A_ROW, KEY, Cache, OpenAIRewriter, accept, connect
from model.data import demo

SECRET = "sk-never-to-be-seen-0123456789"
REVIEW = "The plot is thin , but the cast makes up for it and the music is lovely ."


def completion(text: str | None, finish: str = "stop") -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}


def obedient(review: str) -> dict[str, Any]:
    return completion(f"{review} In a word , it was {PLACE} .")


@dataclass
class Reply:
    """What the server does with one request."""

    status: int = 200
    make: Callable[[str], Any] = obedient
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0
    raw: bytes | None = None
    cut: bool = False
    """Whether fewer bytes come than Content-Length says."""


@dataclass
class Endpoint:
    """A chat endpoint with scripted replies; further requests are answered correctly."""

    url: str = ""
    script: list[Reply] = field(default_factory=list)
    always: Reply = field(default_factory=Reply)
    requests: list[dict[str, Any]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)


def handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            endpoint.requests.append(request)
            endpoint.times.append(time.monotonic())
            endpoint.keys.add(self.headers["Authorization"])
            reply = endpoint.script.pop(0) if endpoint.script else endpoint.always
            time.sleep(reply.pause)
            body = reply.raw if reply.raw is not None else json.dumps(reply.make(request["messages"][-1]["content"])).encode()
            try:
                self._send(reply, body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client did not wait

        def _send(self, reply: Reply, body: bytes) -> None:
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if reply.cut else body)
            self.close_connection = reply.cut

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    return Handler


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Endpoint]:
    monkeypatch.setenv(KEY, SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    made = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler(made))
    made.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def rewriter(endpoint: Endpoint, tmp_path: Path) -> Iterator[OpenAIRewriter]:
    client = connect(endpoint.url, retries=1, timeout=0.5)
    yield OpenAIRewriter(client, "tiny", Cache(tmp_path / "cache"), TemplateRewriter(0))
    client.close()


TEMPLATE = TemplateRewriter(0).carrier(REVIEW, "r0")
REWRITTEN = Carrier(f"{REVIEW} In a word , it was ", " .")


def test_requests_once_at_temperature_0_and_caches_the_answer(endpoint: Endpoint, rewriter: OpenAIRewriter) -> None:
    for _ in range(2):
        assert rewriter.carrier(REVIEW, "r0") == REWRITTEN
    (request,) = endpoint.requests
    assert (request["temperature"], request["model"], request["messages"][-1]["content"]) == (0.0, "tiny", REVIEW)
    assert endpoint.keys == {f"Bearer {SECRET}"}
    assert rewriter.carrier(REVIEW + " !", "r0") != REWRITTEN
    assert len(endpoint.requests) == 2
    other = OpenAIRewriter(rewriter.client, "other", rewriter.cache, rewriter.fallback)
    other.carrier(REVIEW, "r0")
    assert len(endpoint.requests) == 3


def test_a_server_error_is_retried(endpoint: Endpoint, rewriter: OpenAIRewriter) -> None:
    endpoint.script = [Reply(status=500)]
    assert rewriter.carrier(REVIEW, "r0") == REWRITTEN
    assert len(endpoint.requests) == 2
    assert rewriter.describe()["fallback"] == 0


def test_retry_after_is_waited_for(endpoint: Endpoint, rewriter: OpenAIRewriter) -> None:
    """1.3 s exceeds the client's default first pause of at most 0.5 s."""
    endpoint.script = [Reply(status=429, headers={"Retry-After": "1.3"})]
    assert rewriter.carrier(REVIEW, "r0") == REWRITTEN
    assert endpoint.times[1] - endpoint.times[0] >= 1.25


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(status=500), "status 500"),
        (Reply(status=429, headers={"Retry-After": "0.05"}), "status 429"),
        (Reply(status=400), "status 400"),
        (Reply(pause=0.7), "time-out"),
        (Reply(make=lambda review: completion(f"{PLACE} {review}", "length")), "truncated"),
        (Reply(make=lambda review: completion(f"{PLACE} {review}", "content_filter")), "not finished"),
        (Reply(make=lambda review: completion(review)), "no cue"),
        (Reply(make=lambda review: completion(f"{PLACE} {review} {PLACE}")), "more than one cue"),
        (Reply(make=lambda review: completion(f"It was {PLACE} .")), "too short"),
        (Reply(make=lambda review: completion(f"{PLACE} {review} {'so ' * 60}")), "too long"),
        (Reply(make=lambda review: completion(None)), "no text"),
        (Reply(make=lambda review: {"choices": []}), "not a completion"),
        (Reply(make=lambda review: {"error": "odd"}), "not a completion"),
        (Reply(raw=b"<html>busy</html>"), "not a completion"),
        (Reply(cut=True), "no connection"),
    ],
)
def test_the_template_is_the_fallback_and_is_counted(
    endpoint: Endpoint, rewriter: OpenAIRewriter, reply: Reply, reason: str
) -> None:
    endpoint.always = reply
    assert rewriter.carrier(REVIEW, "r0") == TEMPLATE
    assert rewriter.failures == {reason: 1}
    assert not rewriter.cache.folder.exists()
    endpoint.always = Reply()
    assert rewriter.carrier(REVIEW, "r0") == REWRITTEN  # what was of no use was not kept


def test_an_endpoint_that_never_answers_is_given_up(endpoint: Endpoint, rewriter: OpenAIRewriter) -> None:
    endpoint.always = Reply(status=503, headers={"Retry-After": "0.01"})
    for number in range(FAILURES_IN_A_ROW + 3):
        rewriter.carrier(REVIEW, f"r{number}")
    assert rewriter.failures == {"status 503": FAILURES_IN_A_ROW, "endpoint given up": 3}
    assert len(endpoint.requests) == 2 * FAILURES_IN_A_ROW


@pytest.mark.parametrize(("status", "sentence"), [(401, "rejects the key"), (403, "rejects the key"), (404, "--model tiny")])
def test_a_rejected_key_or_model_stops_the_build(
    endpoint: Endpoint, rewriter: OpenAIRewriter, status: int, sentence: str
) -> None:
    """Servers quote the key in such errors; the message must not."""
    endpoint.always = Reply(status=status, make=lambda review: {"error": {"message": f"Incorrect API key: {SECRET}"}})
    with pytest.raises(ConfigError, match=sentence) as caught:
        rewriter.carrier(REVIEW, "r0")
    assert SECRET not in str(caught.value)
    assert len(endpoint.requests) == 1


def test_a_review_that_holds_the_placeholder_gets_the_template() -> None:
    review = f"I wrote {PLACE} here ."
    assert accept(review, f"{review} It was {PLACE} .") == "more than one cue"


def test_a_damaged_cache_file_is_requested_again(endpoint: Endpoint, rewriter: OpenAIRewriter) -> None:
    rewriter.carrier(REVIEW, "r0")
    (path,) = rewriter.cache.folder.iterdir()
    path.write_text('{"answer": "half')
    assert rewriter.carrier(REVIEW, "r0") == REWRITTEN
    assert len(endpoint.requests) == 2


@pytest.mark.parametrize(
    ("url", "key", "sentences"),
    [
        ("nonsense", SECRET, ["--base-url must be an address"]),
        ("http://user:pass@127.0.0.1/v1", "", ["contains a user, a password or a query", f"{KEY} is not set"]),
    ],
)
def test_a_wrong_address_and_a_missing_key_are_reported_together(
    url: str, key: str, sentences: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY, key)
    with pytest.raises(ConfigError) as caught:
        connect(url)
    assert [any(sentence in problem for problem in caught.value.problems) for sentence in sentences] == [True] * len(sentences)
    assert len(caught.value.problems) == len(sentences)
    assert "pass@" not in str(caught.value)


def small_folder(path: Path) -> Path:
    """The first reviews of the demo corpus as a data folder."""
    demo.write(path)
    for name, n in (("ids-cfimdb-train.csv", 30), ("ids-cfimdb-dev.csv", 6)):
        lines = (path / name).read_text(encoding="utf-8").splitlines(keepends=True)
        (path / name).write_text("".join(lines[: n + 1]), encoding="utf-8")
    return path


def test_a_whole_build_and_where_the_key_is_not(
    endpoint: Endpoint, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Every third answer is unusable; a second build requests only those, and neither writes the key anywhere.

    Reviews of select are in train and in arms, and yet no review is asked about twice.
    """
    data = small_folder(tmp_path / "data")
    endpoint.script = [Reply(), Reply(), Reply(make=lambda review: completion(review))] * 12
    options = ["--data", str(data), "--rewriter", "openai", "--model", "tiny", "--base-url", endpoint.url]
    caplog.set_level("DEBUG")
    assert main(["build", "--out", str(tmp_path / "one"), *options]) == 0
    manifest = json.loads((tmp_path / "one" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["rewriter"]["rewritten"], manifest["rewriter"]["fallback"]) == (24, 12)
    assert manifest["rewriter"]["fallback_reasons"] == {"no cue": 12}
    printed = capfd.readouterr()
    assert "12 reviews use the template instead" in printed.err

    asked = len(endpoint.requests)
    assert asked == len({request["messages"][-1]["content"] for request in endpoint.requests}) == 36
    assert main(["build", "--out", str(tmp_path / "two"), "--cache", str(tmp_path / "one" / "cache"), *options]) == 0
    assert len(endpoint.requests) - asked == 12
    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 30
    assert [text for text in (*written, printed.out, printed.err, caplog.text, *capfd.readouterr()) if SECRET in text] == []
