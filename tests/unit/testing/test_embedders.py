from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMTimeoutError
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest, RerankRequest
from loomwire.testing import FakeClock, HashEmbedder, WordReranker, hashed_vector, word_ranks


@given(st.text(), st.integers(1, 100))
def test_a_texts_vector_has_length_one_and_is_always_the_same(text: str, dimensions: int) -> None:
    vector = hashed_vector(text, dimensions)
    assert len(vector) == dimensions
    assert math.isclose(sum(number * number for number in vector), 1.0, rel_tol=1e-5)
    assert vector == hashed_vector(text, dimensions)


def test_the_vector_of_a_text_never_changes_between_machines_and_releases() -> None:
    assert [round(number, 5) for number in hashed_vector("panda", 4)] == [-0.75258, -0.20355, -0.59259, 0.20254]


def test_ranks_are_the_share_of_words() -> None:
    ranks = word_ranks("A giant Panda?", ["giant panda, a", "panda", "nothing", "Panda."])
    assert [(rank.index, round(rank.score, 2)) for rank in ranks] == [(0, 1.0), (1, 0.33), (3, 0.33), (2, 0.0)]
    assert word_ranks("?", ["a"], 1)[0].score == 0


async def test_the_fakes_keep_to_a_clock_of_the_tests() -> None:
    clock = FakeClock()
    late = Bound(clock.now() + 5.0)
    ask, rank = EmbedRequest.of("a").with_bound(late), RerankRequest.of("a", "b").with_bound(late)
    assert (await HashEmbedder(3, clock).embed(ask)).dimensions == 3
    assert len((await WordReranker(clock).rerank(rank)).results) == 1
    await clock.advance(5.0)
    with pytest.raises(LLMTimeoutError):
        await HashEmbedder(clock=clock).embed(ask)
    with pytest.raises(LLMTimeoutError):
        await WordReranker(clock).rerank(rank)
