from __future__ import annotations

import copy
import pickle
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound
from loomwire.domain.vectors.embeddings import EmbedRequest, EmbedResponse, Ranked, RerankRequest, RerankResponse


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ((), "texts must be a tuple of at least one text"),
        (["a"], "texts must be a tuple"),
        ("a text", "texts must be a tuple"),
        (("a", ""), r"texts\[1\] must be a text that is not empty"),
        (("a", " \n"), r"texts\[1\] must be"),
        (("a", 7), r"texts\[1\] must be"),
    ],
)
def test_texts_that_no_provider_takes_are_refused_before_they_are_sent(texts: tuple[str, ...], says: str) -> None:
    with pytest.raises(LLMValidationError, match=says):
        EmbedRequest(texts)


@pytest.mark.parametrize("dimensions", [0, -1, True, 1.5, "7"])
def test_dimensions_are_a_number_of_at_least_one(dimensions: int) -> None:
    with pytest.raises(LLMValidationError, match="dimensions must be a whole number"):
        EmbedRequest.of("x", dimensions=dimensions)


def test_an_unknown_purpose_is_refused() -> None:
    unknown: object = "clustering"
    with pytest.raises(LLMValidationError, match="purpose must be query, document or None"):
        EmbedRequest(("x",), unknown)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("deadline_s", [0, -1, float("inf"), float("nan")])
def test_a_deadline_is_positive_and_finite(deadline_s: float) -> None:
    for make in (
        lambda: EmbedRequest.of("x", deadline_s=deadline_s),
        lambda: RerankRequest.of("q", "d", deadline_s=deadline_s),
    ):
        with pytest.raises(LLMValidationError, match="deadline_s must be a positive number"):
            make()


def test_another_word_for_cache_is_refused() -> None:
    unknown: object = "never"
    for make in (
        lambda: EmbedRequest(("x",), cache=unknown),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: RerankRequest("q", ("d",), cache=unknown),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(LLMValidationError, match="cache must be off, use, refresh or None"):
            make()
    assert EmbedRequest(("x",), cache="refresh").with_bound(Bound(1.0)).cache == "refresh"


@pytest.mark.parametrize(
    ("query", "documents", "top_n", "says"),
    [
        ("", ("d",), None, "query must be a text that is not empty"),
        ("q", (), None, "documents must be a tuple of at least one"),
        ("q", ("d", ""), None, r"documents\[1\] must be"),
        ("q", ("d",), 0, "top_n must be a whole number"),
    ],
)
def test_what_no_reranker_takes_is_refused(
    query: str, documents: tuple[str, ...], top_n: int | None, says: str
) -> None:
    with pytest.raises(LLMValidationError, match=says):
        RerankRequest(query, documents, top_n)


@given(st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=5), st.none() | st.integers(1, 9))
def test_as_many_ranks_are_wanted_as_were_asked_for_and_there_can_be(documents: list[str], top_n: int | None) -> None:
    wanted = RerankRequest("q", tuple(documents), top_n).wanted
    assert 1 <= wanted <= len(documents)
    assert wanted == (len(documents) if top_n is None else min(top_n, len(documents)))


def test_a_bound_is_set_once_and_keeps_everything_else() -> None:
    request = EmbedRequest(("x",), "query", 8, deadline_s=3.0, tenant="t", tags=frozenset({"a"}))
    assert request.bound_for(10.0, 60.0) == Bound(13.0)
    assert EmbedRequest.of("x").bound_for(10.0, 60.0) == Bound(70.0)
    bound = Bound(1.0, "attempt")
    bounded = request.with_bound(bound)
    assert bounded.bound_for(10.0, 60.0) is bound
    assert bounded.with_bound(Bound(13.0)) == request.with_bound(Bound(13.0))
    assert (bounded.texts, bounded.tenant, request.bound) == (("x",), "t", None)


def test_answers_are_copied_and_pickled_whole() -> None:
    answer = EmbedResponse((array("f", [0.5, 1.0]),), provider="p", model="m")
    assert answer.dimensions == 2
    assert pickle.loads(pickle.dumps(answer)) == answer == copy.deepcopy(answer)
    ranks = RerankResponse((Ranked(1, 0.5),), provider="p", model="m")
    assert pickle.loads(pickle.dumps(ranks)) == ranks


def test_a_step_stands_in_front_of_those_below() -> None:
    first, second = (Step("attempt", "p/m", "answered", "", 0.0, 0.0), Step("cache", "p/m", "missed", "", 0.0, 0.0))
    answer = EmbedResponse((array("f", [1.0]),), provider="p", model="m").with_step(first).with_step(second)
    assert answer.steps == (second, first)
