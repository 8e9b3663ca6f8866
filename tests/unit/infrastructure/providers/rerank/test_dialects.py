from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMError, LLMProtocolError, LLMValidationError
from loomwire.domain.values import JSON
from loomwire.domain.vectors.embeddings import Ranked, RerankRequest
from loomwire.infrastructure.providers.embeddings.columns import RERANKS
from loomwire.infrastructure.providers.rerank.dialect import RerankDialect, best
from loomwire.infrastructure.providers.vectors.factory import rerank_dialect
from support.mutations import mutated

ASK = RerankRequest.of("q", "a", "b", "c", top_n=2)
ROWS: JSON = [{"index": 2, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]
GOOD: Mapping[str, JSON] = {"cohere": {"results": ROWS}, "voyage": {"data": ROWS}}


def dialect(name: str) -> RerankDialect:
    return rerank_dialect(RERANKS[name])


def config(name: str, **extra: JSON) -> LLMConfig:
    return LLMConfig(type=name, model="m", extra=extra)


@pytest.mark.parametrize("name", GOOD)
def test_ranks_are_read(name: str) -> None:
    read = dialect(name).decode(json.dumps(GOOD[name]).encode(), ASK, config(name))
    assert read.results == [Ranked(2, 0.9), Ranked(0, 0.1)]
    assert (read.usage.known, read.model) == (False, None)
    assert dialect(name).path(config(name)) == "/rerank"
    assert dialect(name).headers(config(name)) == {}


@pytest.mark.parametrize("name", GOOD)
def test_an_error_in_a_good_answer_is_that_error(name: str) -> None:
    with pytest.raises(LLMError) as caught:
        dialect(name).decode(b'{"error": {"message": "no", "code": 401}}', ASK, config(name))
    assert caught.value.reason == "credentials"
    with pytest.raises(LLMProtocolError, match="neither an answer nor an error"):
        dialect(name).decode(b"{}", ASK, config(name))


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_no_other_json_gives_an_untyped_error(name: str, data: st.DataObject) -> None:
    value = data.draw(mutated(GOOD[name]))
    with suppress(LLMError):
        best(dialect(name).decode(json.dumps(value).encode(), ASK, config(name)).results, ASK)


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_no_change_of_an_answer_gives_an_untyped_error(name: str, data: st.DataObject) -> None:
    body = bytearray(json.dumps(GOOD[name]).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 6))] = data.draw(
        st.sampled_from([b"", b"null", b"[]", b"{}", b'"x"', b"-1", b"1e400", b"NaN", b"\xff", b","])
    )
    with suppress(LLMError):
        best(dialect(name).decode(bytes(body), ASK, config(name)).results, ASK)


@pytest.mark.parametrize(("name", "field"), [("cohere", "top_n"), ("voyage", "top_k")])
def test_how_many_is_said_only_when_it_was_asked(name: str, field: str) -> None:
    body = json.loads(dialect(name).encode(ASK, config(name, flavour="x")))
    assert (body[field], body["flavour"]) == (2, "x")
    assert field not in json.loads(dialect(name).encode(RerankRequest.of("q", "a"), config(name)))
    with pytest.raises(LLMValidationError, match="extra cannot set query"):
        dialect(name).encode(ASK, config(name, query="x"))


@pytest.mark.parametrize(
    ("results", "says"),
    [
        ([Ranked(0, 1.0), Ranked(0, 0.5)], "there twice"),
        ([Ranked(0, 1.0), Ranked(3, 0.5)], "none of the documents'"),
        ([Ranked(-1, 1.0), Ranked(0, 0.5)], "none of the documents'"),
        ([Ranked(0, 1.0)], "1 ranks came, and 2 were asked for"),
        ([Ranked(0, 1.0), Ranked(1, float("nan"))], "not finite"),
    ],
)
def test_ranks_that_cannot_be_are_a_protocol_error(results: list[Ranked], says: str) -> None:
    with pytest.raises(LLMProtocolError, match=says):
        best(results, ASK)


@given(st.permutations(range(3)))
def test_the_best_come_first_and_no_more_than_were_asked_for(order: list[int]) -> None:
    assert best([Ranked(index, index / 4) for index in order], ASK) == (Ranked(2, 0.5), Ranked(1, 0.25))
