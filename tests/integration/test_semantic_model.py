"""The semantic cache with a real embedding model: what it answers, what it leaves alone, and that it is never wrong."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from loomwire.application.caching.semantic.gate import told_apart
from loomwire.domain.caching.policies import SemanticPolicy
from loomwire.domain.messages import Message
from loomwire.domain.requests import LLMRequest, Parameters
from loomwire.domain.tools import Tool
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.vectors.table import SimilarityIndexes
from support.likeness import SAME_TO_PEOPLE, SAME_TO_US, TRAPS, Pair
from support.minilm import WEIGHTS_SHA256, MiniLM, MiniLMEmbedder, files, loaded
from support.similar import Cache, cosine
from tools.second_watchdog import MODEL_FOLDER, MODEL_PINS, SETUP, is_ready

pytestmark = [pytest.mark.full, pytest.mark.timeout(240)]

ANSWERING = SemanticPolicy(shadow=False, timeout_s=60)
LOWER = replace(ANSWERING, threshold=0.9)
PAIRS = [pair for pairs in TRAPS.values() for pair in pairs]


@pytest.fixture(scope="module")
def model() -> MiniLM:
    if not is_ready(MODEL_FOLDER, MODEL_PINS):
        pytest.skip(f"the embedding model is not installed as it is pinned: {SETUP}")
    return loaded(MODEL_FOLDER)


@pytest.fixture(scope="module")
def embedder(model: MiniLM) -> MiniLMEmbedder:
    return MiniLMEmbedder(model)


@pytest.fixture
def found_in_folder(model: MiniLM) -> Iterator[None]:
    """Let Python find usearch, which lies beside the model."""
    sys.path.append(str(MODEL_FOLDER))
    yield
    sys.path.remove(str(MODEL_FOLDER))


def cache_of(embedder: MiniLMEmbedder, policy: SemanticPolicy) -> Cache:
    return Cache(policy, embedder, SimilarityIndexes(), SystemClock())


def similarity(embedder: MiniLMEmbedder, pair: Pair) -> float:
    return cosine(*embedder.vectors(pair))


async def hits(embedder: MiniLMEmbedder, policy: SemanticPolicy, pair: Pair) -> bool:
    cache = cache_of(embedder, policy)
    await cache.keeps(pair[0])
    return await cache.finds(pair[1]) is not None


def test_the_weights_are_the_ones_that_were_measured(model: MiniLM) -> None:
    digest = hashlib.sha256((files(MODEL_FOLDER) / "model.safetensors").read_bytes()).hexdigest()
    assert digest == WEIGHTS_SHA256


def test_the_vectors_are_those_of_sentence_transformers(embedder: MiniLMEmbedder) -> None:
    (vector,) = embedder.vectors(["This is a test sentence."])
    assert vector[:4].tolist() == pytest.approx([0.08429647, 0.05795366, 0.00449335, 0.10582108], abs=1e-6)
    assert sum(number * number for number in vector) == pytest.approx(1.0, abs=1e-5)
    assert similarity(embedder, ("What is 2+2?", "What is 2+3?")) == pytest.approx(0.8875, abs=1e-3)


def test_what_else_is_embedded_with_a_text_changes_nothing(model: MiniLM) -> None:
    alone = model.vectors(["Why?"])[0]
    together = model.vectors(["Why?", "Because a longer text needs more room than a short one does."])[0]
    assert float(np.abs(alone - together).max()) < 1e-5


async def test_nothing_that_only_looks_alike_is_ever_answered(
    embedder: MiniLMEmbedder, record_property: Callable[[str, object], None]
) -> None:
    false_hits = [pair for pair in PAIRS for way in (pair, (pair[1], pair[0])) if await hits(embedder, ANSWERING, way)]
    assert false_hits == []
    # Not even with no first gate at all.
    assert [pair for pair in PAIRS if await hits(embedder, replace(ANSWERING, threshold=0.0), pair)] == []
    near = [pair for pair in PAIRS if similarity(embedder, pair) >= ANSWERING.threshold]
    assert len(near) >= 20, "the first gate alone should have been fooled"
    lines = [f"{similarity(embedder, pair):.3f}  {told_apart(*pair)}: {pair[0]} | {pair[1]}" for pair in near]
    title = (
        f"Semantic cache: 0 of {len(PAIRS)} traps answered; {len(near)} of them are as near as {ANSWERING.threshold}"
    )
    record_property("table", [title, *lines])


async def test_paraphrases_are_answered_as_far_as_it_is_safe(
    embedder: MiniLMEmbedder, record_property: Callable[[str, object], None]
) -> None:
    lines = []
    shares = {}
    for policy in (ANSWERING, LOWER):
        for name, pairs in (("other manners", SAME_TO_US), ("other words", SAME_TO_PEOPLE)):
            found = [pair for pair in pairs if await hits(embedder, policy, pair)]
            shares[policy.threshold, name] = len(found) / len(pairs)
            lines.append(f"threshold {policy.threshold}: {name} {len(found)} of {len(pairs)}")
    assert len(SAME_TO_US) + len(SAME_TO_PEOPLE) >= 40
    assert shares[0.95, "other manners"] >= 0.7
    assert shares[0.9, "other manners"] == 1.0
    record_property("table", ["Semantic cache: paraphrases answered (recall)", *lines])


SURROUNDINGS: dict[str, Callable[[LLMRequest], LLMRequest]] = {
    "tenant": lambda asks: replace(asks, tenant="acme"),
    "system prompt": lambda asks: replace(asks, messages=(Message.system("In French."), *asks.messages)),
    "conversation": lambda asks: replace(
        asks, messages=(Message.user("Speak as a pirate."), Message.assistant("Arr."), *asks.messages)
    ),
    "tools": lambda asks: replace(asks, tools=(Tool("search", "Searches.", {"type": "object"}),)),
    "parameters": lambda asks: replace(asks, parameters=Parameters(temperature=1.0)),
    "extra": lambda asks: replace(asks, extra={"top_a": 1}),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
async def test_the_same_question_elsewhere_is_another_one(embedder: MiniLMEmbedder, what: str) -> None:
    cache = cache_of(embedder, ANSWERING)
    question, again = "How do I reset my password?", "How can I reset my password?"
    await cache.keeps(SURROUNDINGS[what](LLMRequest.of(question)))
    assert await cache.finds(again) is None
    assert await cache.finds(SURROUNDINGS[what](LLMRequest.of(again))) is not None


async def test_hundreds_of_near_questions_hide_nothing(embedder: MiniLMEmbedder) -> None:
    cache = cache_of(embedder, ANSWERING)
    embedder.vectors([f"What is the square root of {number}?" for number in range(300)])
    await cache.keeps(*(f"What is the square root of {number}?" for number in range(300)))
    assert await cache.finds("what's the square root of 144") == cache.key(
        LLMRequest.of("What is the square root of 144?")
    )
    assert await cache.finds("What is the square root of 301?") is None


def test_usearch_finds_what_numpy_finds(model: MiniLM, found_in_folder: None) -> None:
    indexes = SimilarityIndexes()
    indexes.check("usearch")
    graph, exact = indexes.index("usearch", 64), indexes.index("numpy", 64)
    rows = [list(map(float, row)) for row in np.random.default_rng(5).normal(size=(2000, 64))]
    for label, row in enumerate(rows):
        graph.add(label, row)
        exact.add(label, row)
    for label in range(0, 2000, 3):
        graph.remove(label)
        exact.remove(label)
    assert len(graph) == len(exact)
    right = 0
    for row in rows[:200]:
        found, expected = graph.search(row, 8), exact.search(row, 8)
        right += len({one.label for one in found} & {one.label for one in expected})
        assert [one.similarity for one in found] == pytest.approx(
            [cosine(row, rows[one.label]) for one in found], abs=1e-4
        )
    assert right >= 0.9 * 8 * 200
    assert graph.held_bytes() > 4 * 64 * len(graph)


async def test_the_cache_answers_out_of_a_graph_too(embedder: MiniLMEmbedder, found_in_folder: None) -> None:
    cache = cache_of(embedder, replace(ANSWERING, index="usearch"))
    await cache.keeps("How do I reset my password?", "How do I delete my account?")
    assert await cache.finds("How can I reset my password?") == cache.key(LLMRequest.of("How do I reset my password?"))
