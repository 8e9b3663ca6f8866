"""CachedClient: what is purged while it is asked for, or written, does not come back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import pytest

from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.testing import Reply
from support.chains import HI, turns
from support.keeping import ALWAYS, Saved, ask, listen

OLD = Reply("old", delay_s=5.0)
Call: TypeAlias = Callable[[Saved, LLMRequest], "asyncio.Future[LLMResponse[str]]"]


async def purge(saved: Saved, namespace: str | None = "planner") -> None:
    """Do what a container does when it is told to purge a client."""
    saved.purges.note(namespace)
    await saved.place.clear(namespace)


@pytest.mark.parametrize("begin", [ask, listen])
@pytest.mark.parametrize("join", [ask, listen])
@pytest.mark.parametrize("namespace", ["planner", None])
async def test_what_was_asked_for_before_a_purge_is_handed_out_and_neither_kept_nor_shared_after_it(
    begin: Call, join: Call, namespace: str | None
) -> None:
    saved = Saved([OLD, "new"])
    first = begin(saved, HI)
    await turns()
    await purge(saved, namespace)
    assert (await join(saved, HI)).text == "new"
    await saved.clock.advance(5.0)
    assert (await first).text == "old"
    again = await saved.client.generate(HI)
    assert (again.text, again.cached, saved.sent) == ("new", True, 2)
    assert saved.counts == {"hits": 1, "misses": 2, "kept": 1, "refused": 1}


async def test_a_purge_of_another_namespace_changes_nothing() -> None:
    saved = Saved([OLD, "new"])
    first = ask(saved, HI)
    await turns()
    await purge(saved, "writer")
    await saved.clock.advance(5.0)
    assert (await first).text == (await saved.client.generate(HI)).text == "old"


async def test_what_is_renewed_behind_during_a_purge_is_not_kept() -> None:
    saved = Saved(["first", OLD, "new"], replace(ALWAYS, swr_s=50.0))
    await saved.client.generate(HI)
    await saved.clock.advance(120.0)
    assert (await saved.client.generate(HI)).text == "first"
    await turns()
    await purge(saved)
    await saved.clock.advance(5.0)
    assert (saved.place.kept, saved.sent) == ({}, 2)
    assert (await saved.client.generate(HI)).text == "new"


async def test_what_is_purged_on_its_way_to_a_slow_level_is_taken_back() -> None:
    saved = Saved(["old"])
    saved.place.gate = asyncio.Event()
    call = ask(saved, replace(HI, cache="refresh"))
    await turns()
    await purge(saved)
    saved.place.gate.set()
    assert ((await call).text, saved.place.kept, saved.counts) == ("old", {}, {"misses": 1})
