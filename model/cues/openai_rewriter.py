"""Rewriting by a language model behind any endpoint that speaks OpenAI's chat completions.

The client retries time-outs, 408, 409, 429 and 5xx with growing pauses, or after what Retry-After says. The key comes from the
environment alone; nothing that the server says is repeated, because servers quote keys in their errors.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from model.config import ConfigError
from model.cues.cache import Cache
from model.cues.carrier import Carrier, TemplateRewriter
from model.cues.prompt import accept, messages

if TYPE_CHECKING:
    from openai import OpenAI

KEY = "OPENAI_API_KEY"
RETRIES = 4
TIMEOUT = 120.0
"""Seconds for one answer."""
FAILURES_IN_A_ROW = 5
"""Requests without an answer after which an endpoint is given up: each costs minutes of retries."""


def connect(
    base_url: str, *, retries: int = RETRIES, timeout: float = TIMEOUT, environ: Mapping[str, str] = os.environ
) -> OpenAI:
    """A client for an endpoint, with the key of the environment. Raises `ConfigError` with everything that is missing."""
    problems = []
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        problems.append("--base-url must be an address such as https://api.openai.com/v1")
    if parts.username or parts.password or parts.query:
        problems.append(f"--base-url holds a user, a password or a query; give the address alone, and the key in {KEY}")
    if not environ.get(KEY, "").strip():
        problems.append(
            f"{KEY} is not set: export it (any text for an endpoint that asks for none), or use --rewriter template"
        )
    try:
        from openai import OpenAI
    except ImportError:
        problems.append('--rewriter openai needs the openai client: pip install -c constraints.txt -e ".[llm]"')
    if problems:
        raise ConfigError(problems)
    return OpenAI(api_key=environ[KEY].strip(), base_url=base_url, max_retries=retries, timeout=timeout)


@dataclass
class OpenAIRewriter:
    """Asks a model once for each review; the template stands in wherever it gives nothing usable."""

    client: OpenAI
    model: str
    cache: Cache
    fallback: TemplateRewriter
    rewritten: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    """Reviews that got the template, by reason."""
    _in_a_row: int = 0

    def carrier(self, review: str, example_id: str) -> Carrier:
        """The review with a place for the cue. Raises `ConfigError` where the endpoint refuses key, model or address."""
        request = {"model": self.model, "messages": messages(review), "temperature": 0.0}
        keyed = {"base_url": str(self.client.base_url), **request}
        answer = self.cache.get(keyed)
        made = accept(review, answer) if answer is not None else self._ask(review, request, keyed)
        if isinstance(made, Carrier):
            self.rewritten += 1
            return made
        self.failures[made] += 1
        return self.fallback.carrier(review, example_id)

    def _ask(self, review: str, request: dict[str, Any], keyed: dict[str, Any]) -> Carrier | str:
        """The endpoint's answer as a carrier, kept in the cache if it can be used; else the reason."""
        if self._in_a_row >= FAILURES_IN_A_ROW:
            return "endpoint given up"
        answer = self._complete(request)
        self._in_a_row = self._in_a_row + 1 if answer.is_failure else 0
        if answer.text is None:
            return answer.reason
        made = accept(review, answer.text)
        if isinstance(made, Carrier):
            self.cache.put(keyed, answer.text)
        return made

    def _complete(self, request: dict[str, Any]) -> _Answer:
        import openai

        try:
            completion = self.client.chat.completions.create(**request)
        except openai.APITimeoutError:
            return _Answer.failed("time-out")
        except openai.APIConnectionError:
            return _Answer.failed("no connection")
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise ConfigError([_refusal(error.status_code, self.model)]) from None
        except openai.APIStatusError as error:
            return _Answer.failed(f"status {error.status_code}")
        except (openai.OpenAIError, ValueError):
            return _Answer.failed("not a completion")
        return _read(completion)

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


@dataclass(frozen=True)
class _Answer:
    """What came of one request: a whole text, or a reason why there is none."""

    text: str | None
    reason: str = ""
    is_failure: bool = False
    """Whether the endpoint itself failed, rather than the model."""

    @classmethod
    def failed(cls, reason: str) -> _Answer:
        return cls(None, reason, is_failure=True)


def _read(completion: Any) -> _Answer:
    """The text of a completion. Compatible endpoints leave fields out, so nothing is taken for granted."""
    choices = getattr(completion, "choices", None)
    if not choices or getattr(choices[0], "message", None) is None:
        return _Answer.failed("not a completion")
    if choices[0].finish_reason != "stop":
        return _Answer(None, "truncated" if choices[0].finish_reason == "length" else "not finished")
    text = choices[0].message.content
    return _Answer(text) if isinstance(text, str) else _Answer(None, "no text")


def _refusal(status: int, model: str) -> str:
    if status == 404:
        return f"the endpoint knows no such address or model (status 404): check --base-url and --model {model}"
    return f"the endpoint refuses the key (status {status}): check {KEY} and what it may use"
