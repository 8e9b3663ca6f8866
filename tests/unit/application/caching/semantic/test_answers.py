"""A question that means the same finds the kept answer, in the same surroundings only; the shadow only counts."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from loomwire.application.caching.semantic.answers import LIMIT, ON_LOOP, semantic_answers
from loomwire.domain.caching.policies import CachePolicy, SemanticPolicy
from loomwire.domain.errors import LLMTemporaryError
from loomwire.domain.messages import Image, Message
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, ToolCall
from support.similar import EMBEDDER, MODEL, Cache, PlainIndexes, answer

FIRST = "How do I sort a long list of numbers by size?"
AGAIN = "how can I sort a long list of numbers by size"
SHADOW = SemanticPolicy(threshold=0.8, shadow=True)
OPEN = SemanticPolicy(threshold=0.8, shadow=False)

SURROUNDINGS: dict[str, Callable[[LLMRequest], LLMRequest]] = {
    "tenant": lambda asks: replace(asks, tenant="acme"),
    "empty tenant": lambda asks: replace(asks, tenant=""),
    "system prompt": lambda asks: replace(asks, messages=(Message.system("Be brief."), *asks.messages)),
    "conversation": lambda asks: replace(
        asks, messages=(Message.user("Hi"), Message.assistant("Hello"), *asks.messages)
    ),
    "tools": lambda asks: replace(asks, tools=(Tool("sort", "Sorts.", {"type": "object"}),)),
    "parameters": lambda asks: replace(asks, parameters=Parameters(temperature=1.0)),
    "extra": lambda asks: replace(asks, extra={"top_a": 1}),
    "name": lambda asks: replace(asks, messages=(replace(asks.messages[0], name="Ann"),)),
}


def deep() -> JSON:
    """Return what no key can be made of."""
    made: JSON = []
    for _ in range(5000):
        made = [made]
    return made


async def test_a_question_in_other_words_finds_the_answer() -> None:
    cache = Cache(OPEN)
    await cache.keeps(FIRST)
    likeness = await cache.answers.find(LLMRequest.of(AGAIN), cache.key(LLMRequest.of(AGAIN)))
    assert likeness is not None
    assert likeness.key == cache.key(LLMRequest.of(FIRST))
    assert not likeness.shadow
    assert 0.8 < likeness.similarity <= 1.0
    assert cache.memories.counts()["planner"].passed == 1


@pytest.mark.parametrize("what", SURROUNDINGS)
async def test_other_surroundings_are_another_world(what: str) -> None:
    cache = Cache(OPEN)
    around = SURROUNDINGS[what]
    await cache.keeps(FIRST)
    assert await cache.finds(around(LLMRequest.of(AGAIN))) is None
    await cache.keeps(around(LLMRequest.of(FIRST)))
    assert await cache.finds(around(LLMRequest.of(AGAIN))) == cache.key(around(LLMRequest.of(FIRST)))
    assert await cache.finds(AGAIN) == cache.key(LLMRequest.of(FIRST))


async def test_the_second_gate_is_asked_however_near_the_vectors_are() -> None:
    cache = Cache(OPEN)
    cache.embedder.vector = lambda _: [1.0, 0.0]
    await cache.keeps(FIRST)
    assert await cache.finds("How do I sort a long list of numbers by name?") is None
    counts = cache.memories.counts()["planner"]
    assert (counts.near, counts.passed, counts.turned_away) == (1, 0, {"words": 1})


async def test_nearer_questions_that_are_refused_do_not_hide_the_right_one() -> None:
    cache = Cache(OPEN)
    cache.embedder.vector = lambda text: [1.0, 0.3] if text == FIRST else [1.0, 0.0]
    await cache.keeps(FIRST, *(f"Where is {number}?" for number in range(LIMIT - 1)))
    assert await cache.finds(AGAIN) == cache.key(LLMRequest.of(FIRST))


async def test_a_threshold_is_a_threshold() -> None:
    cache = Cache(replace(OPEN, threshold=1.0))
    await cache.keeps(FIRST)
    assert await cache.finds(AGAIN) is None


async def test_a_question_is_embedded_once() -> None:
    cache = Cache(OPEN)
    await cache.keeps(FIRST)
    assert cache.embedder.texts == [FIRST]
    await cache.finds(AGAIN)
    assert cache.embedder.texts == [FIRST, AGAIN]


async def test_what_was_never_looked_for_can_still_be_remembered() -> None:
    cache = Cache(OPEN)
    asks = LLMRequest.of(FIRST)
    await cache.answers.remember(asks, cache.key(asks))
    assert await cache.finds(AGAIN) == cache.key(asks)


async def test_the_newest_answer_stands_for_all_that_mean_the_same() -> None:
    cache = Cache(SHADOW)
    await cache.keeps(FIRST, AGAIN, "What is a heap?")
    assert cache.memories.counts()["planner"].entries == 2
    assert await cache.finds(FIRST) == cache.key(LLMRequest.of(AGAIN))


async def test_a_refreshed_answer_keeps_its_question() -> None:
    cache = Cache(OPEN)
    await cache.keeps(FIRST)
    await cache.answers.remember(LLMRequest.of(FIRST), cache.key(LLMRequest.of(FIRST)))
    assert await cache.finds(AGAIN) == cache.key(LLMRequest.of(FIRST))


async def test_pictures_and_keyless_requests_are_not_compared() -> None:
    cache = Cache(OPEN)
    picture = LLMRequest.of("What is this?", Image(b"png"))
    assert await cache.finds(picture) is None
    await cache.answers.remember(picture, cache.key(picture))
    asks = LLMRequest.of(FIRST)
    keyless = replace(asks, extra={"what": deep()})
    assert await cache.answers.find(keyless, cache.key(asks)) is None
    assert cache.embedder.texts == []


async def test_what_fails_is_a_miss_and_counted() -> None:
    cache = Cache(OPEN)
    cache.embedder.fails = LLMTemporaryError("down", reason="server")
    await cache.keeps(FIRST)
    assert await cache.finds(AGAIN) is None
    counts = cache.memories.counts()["planner"]
    assert (counts.entries, counts.failures, counts.questions) == (0, 3, 3)
    assert len(cache.embedder.texts) == 1


async def test_a_vector_without_direction_is_a_miss() -> None:
    cache = Cache(OPEN)
    await cache.keeps(FIRST)
    cache.embedder.vector = lambda _: [0.0] * 64
    await cache.keeps(AGAIN)
    assert cache.memories.counts()["planner"].entries == 1
    assert await cache.finds(AGAIN) is None
    assert cache.memories.counts()["planner"].failures == 1


async def test_the_shadow_counts_what_would_have_been_right() -> None:
    cache = Cache(SHADOW)
    await cache.keeps(FIRST)
    asks = LLMRequest.of(AGAIN)
    likeness = await cache.answers.find(asks, cache.key(asks))
    assert likeness is not None
    assert likeness.shadow
    cache.answers.judge(likeness, answer("Use sorted()."), answer(" use  SORTED().\n"))
    cache.answers.judge(likeness, answer("Use sorted()."), answer("Use list.sort()."))
    calls = replace(answer("Use sorted()."), tool_calls=(ToolCall("1", "sort", {"by": "size"}),))
    cache.answers.judge(likeness, answer("Use sorted()."), calls)
    cache.answers.judge(likeness, None, answer("Use sorted()."))
    counts = cache.memories.counts()["planner"]
    assert (counts.agreed, counts.differed, counts.gone) == (1, 2, 1)
    assert counts.agreement == pytest.approx(1 / 3)
    assert counts.to_dict() == {
        "questions": 2,
        "failures": 0,
        "near": 1,
        "passed": 1,
        "agreed": 1,
        "differed": 2,
        "gone": 1,
        "agreement": 0.3333,
        "turned_away": {},
        "entries": 0,
        "size_bytes": counts.size_bytes,
    }


def test_nothing_judged_is_no_agreement() -> None:
    cache = Cache(SHADOW)
    counts = cache.memories.counts()["planner"]
    assert counts.agreement is None
    assert counts.to_dict()["agreement"] is None


async def test_a_reload_forgets_nothing() -> None:
    cache = Cache(SHADOW)
    await cache.keeps(FIRST)
    cache.answers = cache.rebuilt(OPEN)
    assert await cache.finds(AGAIN) == cache.key(LLMRequest.of(FIRST))


async def test_large_memories_are_searched_and_filled_on_a_thread() -> None:
    indexes = PlainIndexes(more=ON_LOOP)
    cache = Cache(OPEN, indexes=indexes)
    await cache.keeps(FIRST, "What is a heap?", "What is a tree?")
    assert await cache.finds(AGAIN) == cache.key(LLMRequest.of(FIRST))
    assert cache.memories.counts()["planner"].entries == 3
    assert threading.get_ident() not in indexes.threads[-2:]


def test_who_has_no_semantic_cache_gets_none() -> None:
    cache = Cache(OPEN)
    kept = CachePolicy(mode="always", semantic=OPEN)
    for config in (
        replace(cache.config, cache=CachePolicy(mode="always")),
        replace(cache.config, cache=replace(kept, mode="off")),
        replace(cache.config, embedder=None),
        replace(cache.config, embedder=replace(EMBEDDER, extra={"what": deep()})),
    ):
        built = semantic_answers(
            config, keys=cache.keys, memories=cache.memories, embedder=lambda: cache.embedder, clock=cache.clock
        )
        assert built is None
    assert MODEL.target != EMBEDDER.target
