"""The values of the connection port."""

from __future__ import annotations

import pickle
from dataclasses import replace

import pytest

from loomwire.domain.ports.pool import PoolStats, WireRequest
from loomwire.domain.requests import Bound

CANARY = "sk-canary-Zx81"
REQUEST = WireRequest("/chat/completions", (("authorization", f"Bearer {CANARY}"),), b'{"prompt": "sk-canary"}')


def test_a_wire_request_shows_neither_key_nor_prompt() -> None:
    shown = "WireRequest(path='/chat/completions', idle_s=None, bound=None, method='POST')"
    assert [repr(REQUEST), str(REQUEST), f"{REQUEST}"] == [shown] * 3


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_wire_request_is_never_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps([REQUEST], protocol)


def test_a_wire_request_can_be_bound_anew() -> None:
    bound = replace(REQUEST, bound=Bound(5.0, "attempt"))
    assert (bound.headers, bound.body, bound.bound) == (REQUEST.headers, REQUEST.body, Bound(5.0, "attempt"))


def test_the_share_of_reused_connections_needs_requests() -> None:
    assert PoolStats() == PoolStats(total=0, successful=0, reused=0, opened=0, active=0, idle=0, waiting=0)
    assert PoolStats().reuse_rate == 0.0
    assert PoolStats(total=8, reused=6).reuse_rate == 0.75
