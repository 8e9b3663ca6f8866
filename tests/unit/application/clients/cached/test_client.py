"""CachedClient: what is answered from what was kept, what is kept, and what is not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from typing_extensions import override

from loomwire.application.caching.codec import decoded, encoded
from loomwire.application.caching.terms import Likeness
from loomwire.application.clients.cached.answers import WEEK_S
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import SemanticPolicy
from loomwire.domain.errors import (
    AllTargetsFailedError,
    LLMError,
    LLMTemporaryError,
    LLMTimeoutError,
    LLMValidationError,
)
from loomwire.domain.events import Finished, TextDelta, UsageUpdate
from loomwire.domain.pricing import FREE, NO_USAGE, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest, Parameters
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, ToolCall
from loomwire.testing import Reply
from support.chains import HI, hanging, turns
from support.falling import told
from support.keeping import ALWAYS, TOTAL_S, Alike, Saved, ask, events_of, listen, read

SEMANTIC = replace(ALWAYS, semantic=SemanticPolicy(shadow=False))
REFRESH = replace(HI, cache="refresh")
DOWN = LLMTemporaryError("down").with_step(Step("attempt", "a/x", "failed", "server"))
ELSEWHERE = LLMRequest.of("Hello")


def until(at: float, request: LLMRequest = HI) -> LLMRequest:
    """Return a request whose time is over at an instant."""
    return request.with_bound(Bound(at))


async def test_what_was_answered_is_not_sent_again_and_costs_nothing() -> None:
    saved = Saved(["one", "two"])
    first = await saved.client.generate(HI)
    again = await saved.client.generate(HI)
    assert (first.text, first.cached, again.text, again.cached, saved.sent) == ("one", False, "one", True, 1)
    assert (again.usage, again.cost, again.degraded) == (Usage(), FREE, False)
    assert told(again) == ("cache dict hit",)
    assert saved.counts == {"hits": 1, "misses": 1, "kept": 1}


async def test_plain_calls_and_streams_share_what_was_kept() -> None:
    saved = Saved(["one two", "three"])
    streamed = await read(saved.client, HI)
    plain = await saved.client.generate(HI)
    async with saved.client.stream(HI) as stream:
        events = await events_of(stream)
        assert stream.response == replace(plain, steps=stream.response.steps)
    assert (streamed.text, streamed.cached, plain.cached, saved.sent) == ("one two", False, True, 1)
    assert events == [TextDelta("one two"), UsageUpdate(Usage()), Finished("stop")]


async def test_a_stream_is_kept_only_after_its_end() -> None:
    saved = Saved(["one two", "three"])
    async with saved.client.stream(HI) as stream:
        kept_at = [event async for event in stream if saved.place.kept]
    assert kept_at[-1] == Finished("stop")
    assert saved.scripted.open_streams == 0
    saved = Saved([Reply("one two", cut_after=4), "three"])
    with pytest.raises(LLMError):
        await read(saved.client, HI)
    assert (await saved.client.generate(HI)).text == "three"


@pytest.mark.parametrize("request_", [replace(HI, cache="off"), HI])
async def test_what_is_not_kept_goes_straight_on(request_: LLMRequest) -> None:
    policy = ALWAYS if request_.cache else replace(ALWAYS, mode="deterministic_only")
    saved = Saved(["one", "two", "three"], policy)
    coroutine = saved.client.generate(request_)
    assert "ScriptedClient.generate" in repr(coroutine)
    assert (await coroutine).text == "one"
    assert (await read(saved.client, request_)).text == "two"
    assert (saved.place.looks, saved.place.kept, saved.counts) == (0, {}, {"bypassed": 2})
    steady = replace(request_, parameters=Parameters(temperature=0), cache=None)
    assert (await saved.client.generate(steady)).text == "three"
    assert saved.place.kept


class Odd(Mapping[str, JSON]):
    """A mapping of a host's own, which nobody can look into."""

    @override
    def __getitem__(self, name: str) -> JSON:
        raise KeyError(name)

    @override
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    @override
    def __len__(self) -> int:
        return 1


async def test_what_cannot_be_told_apart_is_not_kept() -> None:
    saved = Saved(["one", "two"])
    odd = replace(HI, extra=Odd())
    assert saved.keys(odd) is None
    assert [(await saved.client.generate(odd)).text for _ in range(2)] == ["one", "two"]


async def test_refresh_reads_nothing_and_writes() -> None:
    saved = Saved(["one", "two"])
    await saved.client.generate(HI)
    assert (await saved.client.generate(REFRESH)).text == "two"
    assert (await saved.client.generate(HI)).text == "two"
    assert saved.counts == {"hits": 1, "misses": 2, "kept": 2}


async def test_another_tenant_asks_for_itself() -> None:
    saved = Saved(["one", "two"])
    await saved.client.generate(HI)
    assert (await saved.client.generate(replace(HI, tenant=""))).text == "two"


CALL = ToolCall("c", "f", {"x": math.nan})
NEVER_KEPT = [
    Reply("cut", finish="length"),
    Reply("no", finish="content_filter"),
    Reply("hm", finish="other"),
    LLMResponse(output="", text="", provider="p", model="m", finish="stop", degraded=True),
    LLMResponse(output="", text="", provider="p", model="m", finish="stop", complete=False),
    LLMResponse(output="", text="", provider="p", model="m", finish="stop", refusal="no"),
    LLMResponse(output="", text="", provider="p", model="m", finish="tool_calls", tool_calls=(CALL,)),
    Reply("x" * 2000),
]


@pytest.mark.parametrize("said", NEVER_KEPT)
@pytest.mark.parametrize("streamed", [False, True])
async def test_what_may_never_be_kept_is_not(said: Reply | LLMResponse[str], streamed: bool) -> None:
    saved = Saved([said], replace(ALWAYS, max_entry=1000))
    _ = await (read(saved.client, HI) if streamed else saved.client.generate(HI))
    assert (saved.place.kept, saved.counts) == ({}, {"misses": 1, "refused": 1})


async def test_an_answer_of_a_model_that_is_no_equal_is_not_kept() -> None:
    saved = Saved(["one"], equals=frozenset({"a/other"}))
    await saved.client.generate(HI)
    assert saved.counts == {"misses": 1, "refused": 1}


async def test_errors_are_not_kept() -> None:
    saved = Saved([DOWN, "one"])
    with pytest.raises(LLMTemporaryError) as raised:
        await saved.client.generate(HI)
    assert told(raised.value) == ("attempt a/x failed server",)
    assert (await saved.client.generate(HI)).text == "one"
    saved = Saved([DOWN, "one"])
    with pytest.raises(LLMTemporaryError):
        await read(saved.client, HI)
    assert (await read(saved.client, HI)).text == "one"


@pytest.mark.parametrize(("draw", "ttl_s"), [(0.0, 90.0), (0.5, 100.0), (1.0, 110.0)])
async def test_lifetimes_are_spread(draw: float, ttl_s: float) -> None:
    saved = Saved(["one"], replace(ALWAYS, swr_s=5.0, stale_if_error_s=7.0), draw=draw)
    await saved.client.generate(HI)
    assert (round(saved.place.lifetimes[0], 6), saved.place.lifetimes[1]) == (ttl_s, 7.0)


async def test_no_spread_ends_a_lifetime_before_it_begins() -> None:
    saved = Saved(["one"], replace(ALWAYS, ttl_jitter=1.0), draw=0.0)
    await saved.client.generate(HI)
    assert saved.place.lifetimes[0] > 0


async def test_an_old_answer_is_a_miss() -> None:
    saved = Saved(["one", "two"])
    await saved.client.generate(HI)
    saved.clock.move(100.0)
    assert (await saved.client.generate(HI)).text == "two"


@pytest.mark.parametrize(("swr_s", "text", "how"), [(0.0, "new", ()), (20.0, "old", ("cache dict stale",))])
async def test_a_lifetime_that_was_made_shorter_holds_for_what_is_kept_already(
    swr_s: float, text: str, how: tuple[str, ...]
) -> None:
    before = Saved(["old"], replace(ALWAYS, ttl_jitter=0.0))
    await before.client.generate(HI)
    after = Saved(["new"], replace(ALWAYS, ttl_s=10.0, ttl_jitter=0.0, swr_s=swr_s), clock=before.clock)
    after.place.kept.update(before.place.kept)
    await before.clock.advance(9.9)
    assert told(await after.client.generate(HI)) == ("cache dict hit",)
    await before.clock.advance(0.1)
    answer = await after.client.generate(HI)
    assert (answer.text, told(answer)) == (text, how)


async def test_an_old_answer_is_given_at_once_while_one_new_one_is_fetched_behind_it() -> None:
    go = asyncio.Event()

    async def slow(_: LLMRequest) -> str:
        await go.wait()
        return "two"

    saved = Saved(["one", slow], replace(ALWAYS, swr_s=10.0))
    await saved.client.generate(HI)
    saved.clock.move(100.0)
    olds = [await saved.client.generate(HI), await read(saved.client, HI), await saved.client.generate(HI)]
    assert [(old.text, *told(old)) for old in olds] == [("one", "cache dict stale")] * 3
    await turns()
    bound = saved.scripted.requests[-1].bound
    assert (saved.sent, bound and bound.at) == (2, 100.0 + TOTAL_S)
    go.set()
    await turns()
    assert told(await saved.client.generate(HI)) == ("cache dict hit",)
    assert saved.counts == {"hits": 1, "stale": 3, "misses": 1, "kept": 2}


async def test_after_that_window_it_is_a_miss_which_waits_for_the_one_that_is_fetched() -> None:
    go = asyncio.Event()

    async def slow(_: LLMRequest) -> str:
        await go.wait()
        return "two"

    saved = Saved(["one", slow], replace(ALWAYS, swr_s=10.0))
    await saved.client.generate(HI)
    saved.clock.move(109.0)
    await saved.client.generate(HI)
    saved.clock.move(1.0)
    late = ask(saved, HI)
    await turns()
    go.set()
    assert ((await late).text, told(await late), saved.sent) == ("two", ("cache shared",), 2)


async def test_a_failure_behind_harms_nobody() -> None:
    saved = Saved(["one", DOWN, "two"], replace(ALWAYS, swr_s=10.0))
    await saved.client.generate(HI)
    saved.clock.move(100.0)
    await saved.client.generate(HI)
    await turns()
    assert (await saved.client.generate(HI)).text == "one"
    await turns()
    assert (await saved.client.generate(HI)).text == "two"


GONE = AllTargetsFailedError("none", errors=[DOWN]).with_step(Step("fallback", "", "failed", "all_targets_failed"))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("late_s", [0.0, 9.0])
async def test_an_old_answer_stands_in_when_no_target_answers(streamed: bool, late_s: float) -> None:
    saved = Saved(["one", GONE], replace(ALWAYS, stale_if_error_s=10.0))
    await saved.client.generate(HI)
    saved.clock.move(100.0 + late_s)
    old = await (read(saved.client, HI) if streamed else saved.client.generate(HI))
    assert (old.text, old.cached, old.degraded, old.cost) == ("one", True, False, FREE)
    assert told(old) == ("fallback failed all_targets_failed", "cache dict stale all_targets_failed")
    assert saved.counts == {"misses": 2, "kept": 1, "stale": 1}


@pytest.mark.parametrize(
    ("error", "late_s"), [(GONE, 10.0), (LLMValidationError("wrong"), 0.0), (asyncio.CancelledError(), 0.0)]
)
async def test_and_otherwise_the_error_goes_on_as_it_came(error: BaseException, late_s: float) -> None:
    saved = Saved(["one", error, error], replace(ALWAYS, stale_if_error_s=10.0))
    await saved.client.generate(HI)
    saved.clock.move(100.0 + late_s)
    with pytest.raises(type(error)):
        await saved.client.generate(HI)
    with pytest.raises(type(error)):
        await read(saved.client, HI)


async def test_without_anything_kept_there_is_nothing_to_stand_in() -> None:
    saved = Saved([GONE], replace(ALWAYS, stale_if_error_s=10.0), last_resort=True)
    with pytest.raises(AllTargetsFailedError):
        await saved.client.generate(HI)


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_last_resort_is_anything_that_was_kept_and_says_so(streamed: bool) -> None:
    saved = Saved(["one", GONE, "two"], last_resort=True)
    await saved.client.generate(HI)
    assert saved.place.lifetimes[1] == WEEK_S
    saved.clock.move(WEEK_S)
    kept = dict(saved.place.kept)
    old = await (read(saved.client, HI) if streamed else saved.client.generate(HI))
    assert (old.text, old.cached, old.degraded, old.cost, old.steps[-1].reason) == (
        *("one", True, True, FREE, "all_targets_failed"),
    )
    assert saved.place.kept == kept
    assert (await saved.client.generate(HI)).text == "two"


async def test_within_its_window_it_is_no_stand_in() -> None:
    saved = Saved(["one", GONE], replace(ALWAYS, stale_if_error_s=10.0), last_resort=True)
    await saved.client.generate(HI)
    old = await saved.client.generate(REFRESH)
    assert (old.text, old.degraded) == ("one", False)


@pytest.mark.parametrize("resort", [False, True])
async def test_garbage_is_a_miss_and_is_thrown_away(resort: bool) -> None:
    saved = Saved([GONE, "one"], last_resort=resort)
    await saved.place.set(saved.key(HI), b"garbage", ttl_s=10.0)
    with pytest.raises(AllTargetsFailedError):
        await saved.client.generate(HI)
    assert saved.place.kept == {}
    await saved.place.set(saved.key(HI), b"garbage", ttl_s=10.0)
    if resort:
        saved.clock.move(10.0)
        saved.scripted.add(GONE)
    assert (await saved.client.generate(HI)).text == "one"
    assert decoded(saved.place.kept[saved.key(HI)][0]).text == "one"


async def test_garbage_is_no_last_resort() -> None:
    saved = Saved([GONE], last_resort=True)
    await saved.place.set(saved.key(HI), b"garbage", ttl_s=10.0)
    saved.clock.move(10.0)
    with pytest.raises(AllTargetsFailedError):
        await saved.client.generate(HI)
    assert saved.place.kept == {}


@pytest.mark.parametrize("streamed", [False, True])
async def test_no_look_takes_longer_than_the_call_may(streamed: bool) -> None:
    saved = Saved(["one"])
    saved.place.slow_s = 0.05
    call = (listen if streamed else ask)(saved, until(0.03))
    await saved.clock.advance(0.03)
    with pytest.raises(LLMTimeoutError) as raised:
        await call
    assert (raised.value.reason, saved.sent, saved.clock.waiting) == ("deadline", 0, 0)


async def test_an_answer_goes_out_in_time_though_it_cannot_be_written() -> None:
    saved = Saved(["one", "two"])
    saved.place.slow_s = 0.06
    call = ask(saved, until(0.05, REFRESH))
    await saved.clock.advance(0.05)
    assert call.done()
    assert ((await call).text, saved.place.kept, saved.counts) == ("one", {}, {"misses": 1})


async def test_what_was_kept_while_somebody_looked_is_found_after_all() -> None:
    saved = Saved(["one", "two"])
    saved.place.slow_s = 0.05
    slow = ask(saved, HI)
    await turns()
    # It was looked for, and not found; the look is about to say so.
    saved.place.slow_s = 0.0
    assert (await saved.client.generate(HI)).text == "one"
    await saved.clock.advance(0.05)
    assert ((await slow).text, saved.sent) == ("one", 1)


async def test_a_question_that_means_the_same_has_been_answered() -> None:
    like = Saved([]).key(ELSEWHERE)
    alike = Alike(None, Likeness(like, 0.99, shadow=False), Likeness(like, 0.99, shadow=False))
    saved = Saved(["one", "two"], SEMANTIC, similar=alike)
    await saved.client.generate(ELSEWHERE)
    near = saved.key(ELSEWHERE)
    alike.found[0] = alike.found[1] = Likeness(near, 0.99, shadow=False)
    answers = [await saved.client.generate(HI), await read(saved.client, HI)]
    assert [(one.text, one.cached, *told(one)) for one in answers] == [("one", True, "cache dict similar")] * 2
    assert (alike.remembered, saved.sent) == ([near], 1)
    assert saved.counts == {"misses": 1, "kept": 1, "similar": 2}
    assert (await saved.client.generate(REFRESH)).text == "two"


@pytest.mark.parametrize("shadow", [False, True])
async def test_a_likeness_whose_answer_is_gone_is_a_miss(shadow: bool) -> None:
    alike = Alike(Likeness(CacheKey("planner", bytes(32)), 0.99, shadow))
    saved = Saved(["one"], SEMANTIC, similar=alike)
    assert (await saved.client.generate(HI)).text == "one"
    assert alike.judged == ([(None, "one")] if shadow else [])
    assert saved.counts == {"misses": 1, "kept": 1}


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_shadow_only_watches(streamed: bool) -> None:
    alike = Alike(None)
    saved = Saved(["one", "two"], SEMANTIC, similar=alike)
    await saved.client.generate(ELSEWHERE)
    alike.found.append(Likeness(saved.key(ELSEWHERE), 0.99, shadow=True))
    answer = await (read(saved.client, HI) if streamed else saved.client.generate(HI))
    assert (answer.text, alike.judged) == ("two", [("one", "two")])
    assert saved.counts == {"misses": 2, "kept": 2, "would_be": 1}


async def test_a_likeness_is_not_sought_for_longer_than_the_call_may_take() -> None:
    alike = Alike()
    alike.gate = asyncio.Event()
    saved = Saved(["one"], SEMANTIC, similar=alike)
    call = ask(saved, until(1.0))
    await saved.clock.advance(1.0)
    with pytest.raises(LLMTimeoutError):
        await call


def test_it_says_what_it_is_and_no_more() -> None:
    assert repr(Saved(hanging()).client) == "Cached > ScriptedClient(scripted/scripted)"


async def test_what_was_kept_is_what_was_answered() -> None:
    saved = Saved([Reply("one", usage=NO_USAGE)])
    answer = await saved.client.generate(HI)
    assert saved.place.kept[saved.key(HI)][0] == encoded(answer)
