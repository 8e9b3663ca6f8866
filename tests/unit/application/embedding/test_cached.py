from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.application.caching.tallies import CacheTally
from loomwire.application.embedding.cached import CachedEmbedder
from loomwire.application.embedding.shelf import AT_ONCE, MANY, PAUSE, Shelf, in_parts
from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.domain.caching.policies import CachePolicy
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMRateLimitError, llm_error
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.pricing import FREE, Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, CacheMode
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Purpose
from loomwire.testing import FakeClock, hashed_vector
from support.chains import turns
from support.embedding import Happens, Watched, for_ever
from support.shelves import DictStore

ABC = EmbedRequest.of("a", "b", "c")


def cached(
    leaf: Watched, store: ICacheStrategy | None = None, policy: CachePolicy | None = None, identity: bytes = b"m"
) -> tuple[CachedEmbedder, Shelf]:
    shelf = Shelf(
        store=store or DictStore(),
        identity=identity,
        policy=policy or CachePolicy(ttl_jitter=0.0),
        tally=CacheTally(),
        clock=FakeClock(),
    )
    return CachedEmbedder(leaf, shelf), shelf


def priced(model: str = "real", size: int = 4) -> Watched:
    def answered(request: EmbedRequest) -> EmbedResponse:
        vectors = tuple(hashed_vector(text, size) for text in request.texts)
        used = Usage(len(vectors))
        return EmbedResponse(vectors, provider="p", model=model, usage=used, cost=Cost(len(vectors)), request_id="r")

    return Watched(answered)


def sent(leaf: Watched) -> list[tuple[str, ...]]:
    return [request.texts for request in leaf.requests]


def steps(response: EmbedResponse) -> list[tuple[str, str, str]]:
    return [(step.layer, step.target, step.outcome) for step in response.steps]


async def test_only_texts_that_nobody_knows_are_sent_each_once_and_the_order_is_kept() -> None:
    leaf = priced()
    embedder, shelf = cached(leaf)
    first = await embedder.embed(EmbedRequest.of("a", "b", "a"))
    assert (first.usage, first.cost, first.cached, first.steps) == (Usage(2), Cost(2), False, ())
    second = await embedder.embed(EmbedRequest.of("c", "b", "d", "a", "b"))
    assert sent(leaf) == [("a", "b"), ("c", "d")]
    assert [list(vector) for vector in second.vectors] == [list(hashed_vector(text, 4)) for text in "cbdab"]
    assert (second.usage, second.cost, second.cached, second.request_id) == (Usage(2), Cost(2), False, "r")
    assert steps(second) == [("cache", "dict", "partial")]
    counts = shelf.tally.counts()
    assert (counts.misses, counts.kept, counts.hits) == (2, 2, 0)


async def test_what_is_wholly_known_costs_nothing_and_says_who_made_it() -> None:
    leaf = priced()
    embedder, shelf = cached(leaf)
    await embedder.embed(ABC)
    again = await embedder.embed(EmbedRequest.of("b"))
    assert len(leaf.requests) == 1
    assert (again.provider, again.model) == ("p", "real")
    assert (again.usage, again.cost, again.cached, again.request_id) == (Usage(), FREE, True, None)
    assert steps(again) == [("cache", "dict", "hit")]
    assert shelf.tally.counts().hits == 1


async def test_a_request_without_known_or_double_texts_goes_on_as_it_is() -> None:
    leaf = priced()
    embedder, _ = cached(leaf)
    await embedder.embed(ABC)
    assert leaf.requests[0] is ABC
    assert repr(embedder) == "Cached > Watched()"


async def test_off_and_refresh_are_heeded() -> None:
    leaf, store = priced(), DictStore()
    embedder, shelf = cached(leaf, store)
    await embedder.embed(replace(ABC, cache="off"))
    assert (store.kept, store.looks) == ({}, 0)
    await embedder.embed(ABC)
    looks = store.looks
    refreshed = await embedder.embed(replace(ABC, cache="refresh"))
    assert (len(leaf.requests), store.looks, refreshed.cached) == (3, looks, False)
    assert (await embedder.embed(replace(ABC, cache="use"))).cached
    assert shelf.tally.counts().bypassed == 1
    never, _ = cached(leaf, store, CachePolicy(mode="off"))
    assert not (await never.embed(ABC)).cached


async def test_what_differs_in_anything_that_changes_vectors_is_another_text() -> None:
    leaf = priced()
    embedder, _ = cached(leaf)
    asked = [
        ABC,
        replace(ABC, tenant="t"),
        replace(ABC, tenant=""),
        replace(ABC, purpose="query"),
        replace(ABC, purpose="document"),
        replace(ABC, dimensions=4),
        replace(ABC, extra={"user": 1}),
        replace(ABC, extra={"user": True}),
    ]
    for request in asked:
        assert not (await embedder.embed(request)).cached
    for request in asked:
        same = replace(request, deadline_s=5.0, session="s", tags=frozenset({"x"}))
        assert (await embedder.embed(same)).cached


async def test_two_models_never_share() -> None:
    store = DictStore()
    one, _ = cached(priced(), store, identity=b"one")
    other, _ = cached(priced(), store, identity=b"other")
    await one.embed(ABC)
    assert not (await other.embed(ABC)).cached


async def test_a_request_that_no_key_can_be_made_of_is_sent() -> None:
    leaf = priced()
    embedder, shelf = cached(leaf)
    await embedder.embed(replace(ABC, extra={"odd": object()}))  # type: ignore[dict-item]  # a host's mistake
    assert (len(leaf.requests), shelf.tally.counts().bypassed) == (1, 1)


@pytest.mark.parametrize(("model", "size"), [("newer", 4), ("real", 6)], ids=["model", "size"])
async def test_an_answer_never_has_vectors_of_two_models(model: str, size: int) -> None:
    store, leaf = DictStore(), priced(model, size)
    old, _ = cached(priced(), store)
    await old.embed(EmbedRequest.of("a", "b"))
    embedder, _ = cached(leaf, store)
    answer = await embedder.embed(EmbedRequest.of("a", "c", "b"))
    assert sent(leaf) == [("c",), ("a", "c", "b")]
    assert (answer.usage, answer.cost) == (Usage(4), Cost(4))
    assert len({len(vector) for vector in answer.vectors}) == 1
    assert (await embedder.embed(EmbedRequest.of("b", "a", "c"))).cached


async def test_kept_vectors_of_two_models_are_all_asked_for_anew() -> None:
    store = DictStore()
    await cached(priced("one"), store)[0].embed(EmbedRequest.of("a"))
    await cached(priced("other"), store)[0].embed(EmbedRequest.of("b"))
    leaf = priced("other")
    answer = await cached(leaf, store)[0].embed(EmbedRequest.of("a", "b"))
    assert (sent(leaf), answer.cached) == ([("a", "b")], False)


async def test_what_went_stale_is_asked_for_anew_and_lifetimes_are_spread() -> None:
    clock = FakeClock()
    store, leaf = DictStore(clock), priced()
    shelf = Shelf(store=store, identity=b"m", policy=CachePolicy(ttl_s=100.0, ttl_jitter=0.1), draw=lambda: 1.0)
    embedder = CachedEmbedder(leaf, shelf)
    await embedder.embed(ABC)
    assert [ttl for _, ttl, _ in store.kept.values()] == pytest.approx([110.0] * 3)
    await clock.advance(109.0)
    assert (await embedder.embed(ABC)).cached
    await clock.advance(2.0)
    assert not (await embedder.embed(ABC)).cached


async def test_a_corrupt_value_is_a_miss_and_goes() -> None:
    store, leaf = DictStore(), priced()
    embedder, _ = cached(leaf, store)
    await embedder.embed(ABC)
    for key, (_, ttl, born) in list(store.kept.items()):
        store.kept[key] = (b"\x01garbage", ttl, born)
    await store.clear("nobody's")
    answer = await embedder.embed(ABC)
    assert (answer.cached, len(leaf.requests)) == (False, 2)
    assert (await embedder.embed(ABC)).cached


async def test_numbers_that_would_lose_something_and_what_is_too_large_are_given_and_not_kept() -> None:
    def doubles(request: EmbedRequest) -> EmbedResponse:
        return EmbedResponse(tuple([0.1, 0.2] for _ in request.texts), provider="p", model="m")

    store = DictStore()
    embedder, shelf = cached(Watched(doubles), store)
    assert (await embedder.embed(ABC)).vectors == ([0.1, 0.2],) * 3
    small, _ = cached(priced(), store, CachePolicy(max_entry=10))
    await small.embed(ABC)
    assert store.kept == {}
    assert shelf.tally.counts().refused == 1


async def test_errors_and_broken_answers_are_not_kept() -> None:
    def fails(_: EmbedRequest) -> EmbedResponse:
        raise LLMRateLimitError("slow down")

    def few(_: EmbedRequest) -> EmbedResponse:
        return EmbedResponse(([1.0],), provider="p", model="m")

    store = DictStore()
    with pytest.raises(LLMRateLimitError):
        await cached(Watched(fails), store)[0].embed(ABC)
    with pytest.raises(LLMProtocolError, match="p/m gave 1 vectors for 3 texts"):
        await cached(Watched(few), store)[0].embed(ABC)
    assert store.kept == {}


async def test_nobody_can_change_what_others_are_given() -> None:
    embedder, _ = cached(priced())
    for request in (EmbedRequest.of("a", "a"), EmbedRequest.of("a", "a")):
        answer = await embedder.embed(request)
        mine = answer.vectors[0]
        assert isinstance(mine, array)
        mine[0] = 99.0
        assert answer.vectors[1][0] != 99.0
    assert list((await embedder.embed(EmbedRequest.of("a"))).vectors[0]) == list(hashed_vector("a", 4))


async def test_equal_requests_at_the_same_time_are_one_whatever_the_order_of_their_texts() -> None:
    leaf = priced()
    embedder, shelf = cached(leaf, DictStore(yields=True))
    asks = [EmbedRequest.of(*texts) for texts in ("abc", "cab", "bca", "abca")] * 25
    answers = await asyncio.gather(*(embedder.embed(ask) for ask in asks))
    assert len(leaf.requests) == 1
    for ask, answer in zip(asks, answers, strict=True):
        assert [list(vector) for vector in answer.vectors] == [list(hashed_vector(text, 4)) for text in ask.texts]
    assert sum(answer.usage.input_tokens for answer in answers) == 3
    assert steps(answers[1]) == [("cache", "", "shared")]
    assert [answer.cached for answer in answers] == [False] + [True] * 99
    assert shelf.tally.counts().shared == 99


async def test_nothing_that_was_asked_for_before_a_purge_is_kept_after_it() -> None:
    gate = asyncio.Event()

    async def until_then(_: EmbedRequest) -> None:
        await gate.wait()

    leaf = Watched(waits=until_then)
    embedder, shelf = cached(leaf)
    early = asyncio.create_task(_ask(embedder, ABC))
    await turns()
    shelf.purges.note(shelf.namespace)
    late = asyncio.create_task(_ask(embedder, ABC))
    await turns()
    assert len(leaf.requests) == 2
    gate.set()
    assert len((await early).vectors) == len((await late).vectors) == 3
    assert (await embedder.embed(ABC)).cached
    assert shelf.tally.counts().refused == 1


async def test_what_is_purged_on_its_way_to_a_slow_level_is_taken_back() -> None:
    store = DictStore()
    embedder, shelf = cached(priced(), store)
    shelf.purges.note("another")
    store.gate = asyncio.Event()
    call = asyncio.create_task(_ask(embedder, replace(ABC, cache="refresh")))
    await turns(20)
    shelf.purges.note(None)
    store.gate.set()
    await call
    assert store.kept == {}


async def test_a_shorter_lifetime_holds_for_what_was_kept_under_a_longer_one() -> None:
    clock, leaf = FakeClock(), priced()
    store = DictStore(clock)
    long, short = (
        CachedEmbedder(leaf, Shelf(store=store, identity=b"m", policy=CachePolicy(ttl_s=ttl_s, ttl_jitter=0.0)))
        for ttl_s in (3600.0, 10.0)
    )
    await long.embed(ABC)
    await clock.advance(11.0)
    assert (await long.embed(ABC)).cached
    assert not (await short.embed(ABC)).cached


async def test_a_cancelled_caller_does_not_harm_the_others_and_the_last_one_ends_it() -> None:
    leaf = Watched(waits=for_ever)
    embedder, _ = cached(leaf)
    tasks = [asyncio.create_task(_ask(embedder, ABC)) for _ in range(3)]
    await turns()
    tasks[0].cancel()
    await turns()
    assert (leaf.cancelled, tasks[1].done()) == (0, False)
    for task in tasks:
        task.cancel()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*tasks, return_exceptions=True))
    assert leaf.cancelled == 1


async def test_a_few_looks_go_at_once_and_others_have_their_turn() -> None:
    store, leaf = DictStore(yields=True), priced()
    embedder, _ = cached(leaf, store)
    texts = tuple(f"text {number}" for number in range(2 * PAUSE))
    await embedder.embed(EmbedRequest(texts))
    assert store.most == AT_ONCE
    assert (await embedder.embed(EmbedRequest(texts))).cached
    turned = 0

    async def turning() -> None:
        nonlocal turned
        while True:
            turned += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turning())
    plain, _ = cached(leaf, DictStore())
    await plain.embed(EmbedRequest(texts))
    other.cancel()
    assert turned > 2


async def test_looks_that_take_too_long_leave_the_call_its_time() -> None:
    clock = FakeClock()
    store, leaf = DictStore(clock), priced()
    shelf = Shelf(store=store, identity=b"m", clock=clock)
    embedder = CachedEmbedder(leaf, shelf)
    many = EmbedRequest(tuple(f"text {number}" for number in range(50)), bound=Bound(clock.now() + 40.0))
    store.gate = asyncio.Event()
    task = asyncio.create_task(_ask(embedder, many))
    await turns()
    await clock.advance(11.0)
    store.gate.set()
    answer = await task
    assert store.looks == AT_ONCE
    assert len(answer.vectors) == 50


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.lists(st.sampled_from("abcdef"), min_size=1, max_size=8),
            st.sampled_from([None, "t", "u"]),
            st.sampled_from([None, "query", "document"]),
            st.sampled_from([None, "off", "use", "refresh"]),
        ),
        max_size=12,
    )
)
async def test_against_a_dict_only_unknown_texts_are_sent_and_every_vector_is_right(
    calls: Sequence[tuple[list[str], str | None, Purpose | None, CacheMode | None]],
) -> None:
    def answered(request: EmbedRequest) -> EmbedResponse:
        vectors = tuple(hashed_vector(f"{request.tenant} {request.purpose} {text}", 4) for text in request.texts)
        return EmbedResponse(vectors, provider="p", model="m", usage=Usage(len(vectors)))

    leaf = Watched(answered)
    embedder, _ = cached(leaf)
    known: set[tuple[str | None, str | None, str]] = set()
    for texts, tenant, purpose, mode in calls:
        before = len(leaf.requests)
        answer = await embedder.embed(EmbedRequest(tuple(texts), purpose, tenant=tenant, cache=mode))
        right = [list(hashed_vector(f"{tenant} {purpose} {text}", 4)) for text in texts]
        assert [list(vector) for vector in answer.vectors] == right
        unknown = [text for text in dict.fromkeys(texts) if (tenant, purpose, text) not in known]
        wanted = {"off": texts, "refresh": list(dict.fromkeys(texts))}.get(mode or "use", unknown)
        assert [text for request in leaf.requests[before:] for text in request.texts] == wanted
        assert answer.usage == Usage(len(wanted))
        assert answer.cached == (not wanted)
        if mode != "off":
            known |= {(tenant, purpose, text) for text in texts}


def test_no_two_lists_of_texts_have_one_key() -> None:
    shelf = Shelf(store=DictStore(), identity=b"m")
    lists = [("ab",), ("a", "b"), ("", "ab"), ("ab", ""), (), ("\ud800",)]
    assert len({shelf.key(bytes(32), *texts) for texts in lists}) == len(lists)
    assert isinstance(shelf.key(bytes(32)), CacheKey)


async def _ask(embedder: CachedEmbedder, request: EmbedRequest) -> EmbedResponse:
    return await embedder.embed(request)


class Aged:
    """An embedder whose vectors went stale some seconds ago."""

    def __init__(self, policy: CachePolicy, happens: Happens = lambda _: None) -> None:
        self.clock = FakeClock()
        self.leaf = Watched(happens)
        self.store = DictStore(self.clock)
        self.shelf = Shelf(store=self.store, identity=b"m", policy=policy, clock=self.clock)
        self.embedder = CachedEmbedder(self.leaf, self.shelf)

    async def stale(self, *texts: str, s: float) -> None:
        """Keep texts, and let them grow stale."""
        await CachedEmbedder(Watched(), self.shelf).embed(EmbedRequest(texts))
        await self.clock.advance(self.shelf.policy.ttl_s + s)


SOON = CachePolicy(ttl_s=100.0, ttl_jitter=0.0, swr_s=50.0)
ELSE = CachePolicy(ttl_s=100.0, ttl_jitter=0.0, stale_if_error_s=50.0)


async def test_while_it_is_renewed_the_old_one_is_given_once_for_all() -> None:
    aged = Aged(SOON)
    await aged.stale("a", "b", s=20.0)
    await aged.store.invalidate(next(iter(aged.store.kept)))
    await CachedEmbedder(Watched(), aged.shelf).embed(EmbedRequest.of("a"))
    asks = (EmbedRequest.of("a", "b"), EmbedRequest.of("b"), EmbedRequest.of("b", "a", "b"))
    answers = await asyncio.gather(*map(aged.embedder.embed, asks))
    assert [(answer.cached, steps(answer)) for answer in answers] == [(True, [("cache", "dict", "stale")])] * 3
    await turns()
    assert sent(aged.leaf) == [("b",)]
    assert steps(await aged.embedder.embed(EmbedRequest.of("a", "b"))) == [("cache", "dict", "hit")]
    assert aged.shelf.tally.counts().stale == 3


async def test_what_was_renewed_meanwhile_is_not_sent_again() -> None:
    aged = Aged(SOON)
    await aged.stale("a", s=20.0)

    class Renewed(DictStore):
        @override
        async def get(self, key: CacheKey) -> CacheEntry | None:
            found = await super().get(key)
            if found is not None and not found.is_fresh:
                await self.set(key, found.value, ttl_s=100.0)
            return found

    store = Renewed(aged.clock)
    store.kept = aged.store.kept
    answer = await CachedEmbedder(aged.leaf, replace(aged.shelf, store=store)).embed(EmbedRequest.of("a"))
    await turns()
    assert (steps(answer), sent(aged.leaf)) == ([("cache", "dict", "stale")], [])


async def test_what_is_old_is_sent_along_when_something_has_to_be_sent() -> None:
    aged = Aged(SOON)
    await aged.stale("a", s=20.0)
    answer = await aged.embedder.embed(EmbedRequest.of("a", "c"))
    assert (sent(aged.leaf), answer.steps) == ([("a", "c")], ())


async def test_when_nobody_answers_the_old_ones_do_and_say_so() -> None:
    aged = Aged(ELSE, fails("server"))
    await aged.stale("a", "b", s=20.0)
    answer = await aged.embedder.embed(EmbedRequest.of("b", "a"))
    assert (answer.cached, answer.usage, answer.cost) == (True, Usage(), FREE)
    assert [(step.layer, step.outcome, step.reason) for step in answer.steps] == [
        ("cache", "stale", "server"),
        ("attempt", "failed", ""),
    ]
    assert [list(vector) for vector in answer.vectors] == [list(hashed_vector(text, 8)) for text in "ba"]
    assert aged.shelf.tally.counts().stale == 1


async def test_at_the_end_of_its_time_a_call_still_gets_the_old_ones() -> None:
    aged = Aged(ELSE, fails("deadline"))
    await aged.stale("a", s=20.0)
    late = EmbedRequest(("a",), bound=Bound(aged.clock.now()))
    assert (await aged.embedder.embed(late)).cached


@pytest.mark.parametrize(
    ("policy", "reason", "texts", "s"),
    [
        (ELSE, "server", "ac", 20.0),
        (ELSE, "server", "a", 60.0),
        (ELSE, "invalid_request", "a", 20.0),
        (CachePolicy(ttl_s=100.0, ttl_jitter=0.0), "server", "a", 20.0),
    ],
    ids=["one unknown", "too old", "the caller's mistake", "not allowed"],
)
async def test_otherwise_the_error_goes_on(policy: CachePolicy, reason: str, texts: str, s: float) -> None:
    aged = Aged(policy, fails(reason))
    await aged.stale("a", s=s)
    with pytest.raises(LLMError) as caught:
        await aged.embedder.embed(EmbedRequest.of(*texts))
    assert caught.value.reason == reason


def fails(reason: str) -> Happens:
    """Return what fails for a reason."""

    def failing(_: EmbedRequest) -> EmbedResponse:
        raise llm_error(reason, "no").with_step(Step("attempt", "p/m", "failed"))

    return failing


async def test_nobody_is_given_the_list_that_another_may_change() -> None:
    def listed(request: EmbedRequest) -> EmbedResponse:
        return EmbedResponse(
            tuple([1.5, 2.5] for _ in request.texts), provider="p", model="m", usage=Usage(), cost=FREE
        )

    embedder, _ = cached(Watched(listed))
    one, other = await asyncio.gather(embedder.embed(EmbedRequest.of("a", "a")), embedder.embed(EmbedRequest.of("a")))
    vectors = [*one.vectors, *other.vectors]
    assert len({id(vector) for vector in vectors}) == 3
    assert [list(vector) for vector in vectors] == [[1.5, 2.5]] * 3


async def test_others_have_their_turn_while_keys_of_many_texts_are_made_and_their_vectors_given() -> None:
    embedder, _ = cached(priced())
    texts = tuple(f"text {number}" for number in range(3))
    answer = await embedder.embed(EmbedRequest(texts * MANY))
    assert [list(vector) for vector in answer.vectors[-3:]] == [list(hashed_vector(text, 4)) for text in texts]
    assert len(answer.vectors) == 3 * MANY
    parts = [part async for part in in_parts(range(2 * MANY + 1))]
    assert [len(part) for part in parts] == [MANY, MANY, 1]
