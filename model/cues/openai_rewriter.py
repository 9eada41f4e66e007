"""Rewriting by a language model behind an endpoint with OpenAI's chat completions, with a cache of its answers.

The client retries time-outs, 408, 409, 429 and 5xx with growing pauses, or after Retry-After. The key is read from the
environment only. Messages of the server are never printed, because servers quote keys in their errors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from model.config import ConfigError
from model.cues.cue import PLACE, Carrier, TemplateRewriter
from model.data.file_contents import read_json

if TYPE_CHECKING:
    from openai import OpenAI

KEY = "OPENAI_API_KEY"
RETRIES = 4
TIMEOUT = 120.0
"""Seconds for one answer."""
FAILURES_IN_A_ROW = 5
"""Failed requests in a row after which no more are sent: each costs minutes of retries."""
INSTRUCTION = (
    f"You edit movie reviews. Add one short sentence to the review, in its own style, in which the literal placeholder {PLACE} "
    "stands where one adjective would stand. The sentence must fit whichever adjective is filled in, and must be neither "
    "positive nor negative. Change nothing else of the review. Answer with the whole edited review and nothing else. "
    f"{PLACE} occurs exactly once."
)
SHORTEST, LONGEST = 0.8, 1.2
"""Allowed length of an answer, in words, as a share of the review's."""
SENTENCE = 40
"""Words that the added sentence may have beyond `LONGEST`."""


@dataclass(frozen=True)
class Cache:
    """Answers of a language model on disk, a file each, by the hash of the request: an interrupted build repeats none."""

    folder: Path

    def path(self, request: dict[str, Any]) -> Path:
        """The file of a request: SHA-256 of its JSON with sorted keys."""
        return self.folder / f"{hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()}.json"

    def get(self, request: dict[str, Any]) -> str | None:
        """The cached answer to a request; None if there is none or its file is damaged."""
        try:
            return read_json(self.path(request), dict[str, str])["answer"]
        except (FileNotFoundError, ConfigError, KeyError):
            return None

    def put(self, request: dict[str, Any], answer: str) -> None:
        """Store an answer atomically. Raises `ConfigError` if the folder cannot be written."""
        path = self.path(request)
        part = path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"answer": answer}), encoding="utf-8")
            part.replace(path)
        except OSError as error:
            raise ConfigError([f"cannot write to {self.folder}: {error.strerror}; name another folder with --cache"]) from None


def connect(base_url: str, *, retries: int = RETRIES, timeout: float = TIMEOUT) -> OpenAI:
    """A client for an endpoint, with the key from the environment. Raises `ConfigError` with every problem.

    timeout: seconds for one answer.
    """
    problems = []
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problems.append("--base-url must be an address such as https://api.openai.com/v1")
    if parts.username or parts.password or parts.query:
        problems.append(f"--base-url contains a user, a password or a query; give the address alone, and the key in {KEY}")
    if not os.environ.get(KEY, "").strip():
        problems.append(f"{KEY} is not set: export it (any text if the endpoint needs none), or use --rewriter template")
    try:
        from openai import OpenAI
    except ImportError:
        problems.append('--rewriter openai needs the openai client: pip install -c constraints.txt -e ".[llm]"')
    if problems:
        raise ConfigError(problems)
    return OpenAI(api_key=os.environ[KEY].strip(), base_url=base_url, max_retries=retries, timeout=timeout)


@dataclass
class OpenAIRewriter:
    """Requests one rewrite of each review from a model; uses the template for reviews without a usable answer."""

    client: OpenAI
    model: str
    cache: Cache
    fallback: TemplateRewriter
    rewritten: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Reviews that use the template, by reason."""
    _in_a_row: int = 0

    def carrier(self, review: str, example_id: str) -> Carrier:
        """The review with a placeholder for the cue. Raises `ConfigError` if the endpoint rejects key, model or address."""
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": review}]
        request = {"model": self.model, "messages": messages, "temperature": 0.0}
        key = {"base_url": str(self.client.base_url), **request}
        answer = self.cache.get(key)
        carrier = accept(review, answer) if answer is not None else self._request(review, request, key)
        if isinstance(carrier, Carrier):
            self.rewritten += 1
            return carrier
        self.failures[carrier] += 1
        return self.fallback.carrier(review, example_id)

    def _request(self, review: str, request: dict[str, Any], key: dict[str, Any]) -> Carrier | str:
        """The endpoint's answer as a carrier, stored in the cache if usable; else the reason."""
        if self._in_a_row >= FAILURES_IN_A_ROW:
            return "endpoint given up"
        try:
            choice = self._complete(request)
        except ConnectionError as error:
            self._in_a_row += 1
            return str(error)
        self._in_a_row = 0
        if choice.finish_reason != "stop":
            return "truncated" if choice.finish_reason == "length" else "not finished"
        answer = choice.message.content
        carrier = accept(review, answer) if isinstance(answer, str) else "no text"
        if isinstance(carrier, Carrier):
            self.cache.put(key, answer)
        return carrier

    def _complete(self, request: dict[str, Any]) -> Any:
        """The choice of a completion. Raises `ConnectionError` with the reason if the endpoint gives none, and `ConfigError`
        if it rejects key, model or address."""
        import openai

        try:
            completion = self.client.chat.completions.create(**request)
        except openai.APITimeoutError:
            raise ConnectionError("time-out") from None
        except openai.APIConnectionError:
            raise ConnectionError("no connection") from None
        except openai.NotFoundError:
            advice = f"check --base-url and --model {self.model}"
            raise ConfigError([f"the endpoint does not have this address or model (status 404): {advice}"]) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            problem = f"the endpoint rejects the key (status {error.status_code})"
            raise ConfigError([f"{problem}: check {KEY} and its permissions"]) from None
        except openai.APIStatusError as error:
            raise ConnectionError(f"status {error.status_code}") from None
        except (openai.OpenAIError, ValueError):
            raise ConnectionError("not a completion") from None
        choices = getattr(completion, "choices", None)  # compatible endpoints may omit any field
        if not choices or getattr(choices[0], "message", None) is None:
            raise ConnectionError("not a completion")
        return choices[0]

    def describe(self) -> dict[str, object]:
        return {
            "kind": "openai",
            "model": self.model,
            "base_url": str(self.client.base_url),
            "temperature": 0.0,
            "rewritten": self.rewritten,
            "fallback": self.failures.total(),
            "fallback_reasons": dict(sorted(self.failures.items())),
        }


def accept(review: str, answer: str) -> Carrier | str:
    """A model's answer as a carrier, or the reason why it is unusable."""
    text = " ".join(answer.split())
    if text.count(PLACE) != 1:
        return "no cue" if PLACE not in text else "more than one cue"
    n_review, n_answer = len(review.split()), len(text.split())
    if n_answer < SHORTEST * n_review:
        return "too short"
    if n_answer > LONGEST * n_review + SENTENCE:
        return "too long"
    return Carrier(*text.split(PLACE))
