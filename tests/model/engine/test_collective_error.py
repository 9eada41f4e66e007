"""Recognising and describing failed collectives."""

from __future__ import annotations

import pytest
import torch

from model.engine.errors import describe_error, is_broken_collective

LATE = "[/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 15000ms for recv operation to complete"
LOST = "[/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [10.0.0.2]:3306"


@pytest.mark.parametrize("said", [LATE, LOST])
def test_gloo_errors_are_recognised(said: str) -> None:
    assert is_broken_collective(RuntimeError(said))


def test_other_errors_are_not_recognised() -> None:
    assert is_broken_collective(torch.distributed.DistStoreError("Timed out after 15 seconds waiting for clients"))
    assert not is_broken_collective(RuntimeError("The size of tensor a (3) must match the size of tensor b (4)"))
    assert not is_broken_collective(OSError(28, "No space left on device"))


def test_description_of_an_error() -> None:
    assert describe_error(RuntimeError(LATE), 15.0) == "a rank did not answer the others for 15 s (--collective-timeout)"
    assert describe_error(RuntimeError(LOST), 15.0) == "the ranks lost connection (Connection closed by peer [10.0.0.2]:3306)"
    assert describe_error(RuntimeError("no brackets"), 15.0) == "the ranks lost connection (no brackets)"
