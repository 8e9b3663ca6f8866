"""The four ways to ask for vectors, what they refuse to read, and what they refuse to write."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError, LLMError, LLMProtocolError, LLMValidationError
from loomwire.domain.values import JSON
from loomwire.domain.vectors.embeddings import EmbedRequest, Purpose
from loomwire.infrastructure.providers.embeddings.columns import EMBEDS
from loomwire.infrastructure.providers.embeddings.dialect import EmbedDialect
from loomwire.infrastructure.providers.embeddings.numbers import check_vectors
from loomwire.infrastructure.providers.vectors.factory import embed_dialect
from support.mutations import mutated
from support.rebuilding_vectors import found

TWO = EmbedRequest.of("a", "b")
GOOD: Mapping[str, JSON] = {
    "openai": {"data": [{"index": 1, "embedding": [2.0]}, {"index": 0, "embedding": [1.0]}], "model": "m"},
    "gemini": {"embeddings": [{"values": [1.0]}, {"values": [2.0]}]},
    "cohere": {"embeddings": {"float": [[1.0], [2.0]]}},
    "ollama": {"embeddings": [[1.0], [2.0]], "model": "m"},
}


def config(name: str, **settings: JSON) -> LLMConfig:
    return LLMConfig(type=name, model="m", extra=settings)


def written(name: str, request: EmbedRequest, **extra: JSON) -> dict[str, JSON]:
    body = json.loads(dialect(name).encode(request, config(name, **extra)))
    assert isinstance(body, dict)
    return body


def dialect(name: str) -> EmbedDialect:
    return embed_dialect(EMBEDS[name])


@pytest.mark.parametrize("name", GOOD)
def test_vectors_are_read_in_the_order_of_the_texts(name: str) -> None:
    read = dialect(name).decode(json.dumps(GOOD[name]).encode(), TWO, config(name))
    assert [list(each) for each in read.vectors] == [[1.0], [2.0]]
    assert not read.usage.known
    assert read.model in (None, "m")


@pytest.mark.parametrize("name", GOOD)
def test_an_error_in_a_good_answer_is_that_error(name: str) -> None:
    with pytest.raises(LLMError) as caught:
        dialect(name).decode(b'{"error": {"message": "no", "code": 429}}', TWO, config(name))
    assert (caught.value.provider, caught.value.reason) == (name, "throttled")


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("body", [b"{}", b'{"error": null, "more": 1}'])
def test_an_answer_with_neither_vectors_nor_an_error_is_not_called_the_providers_error(name: str, body: bytes) -> None:
    with pytest.raises(LLMProtocolError, match="neither an answer nor an error"):
        dialect(name).decode(body, TWO, config(name))


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_no_other_json_gives_an_untyped_error(name: str, data: st.DataObject) -> None:
    value = data.draw(mutated(GOOD[name]))
    with suppress(LLMError):
        check_vectors(dialect(name).decode(json.dumps(value).encode(), TWO, config(name)).vectors, TWO)


@pytest.mark.parametrize("name", GOOD)
@given(data=st.data())
def test_no_change_of_an_answer_gives_an_untyped_error(name: str, data: st.DataObject) -> None:
    body = bytearray(json.dumps(GOOD[name]).encode())
    place = data.draw(st.integers(0, len(body) - 1))
    body[place : place + data.draw(st.integers(0, 6))] = data.draw(
        st.sampled_from([b"", b"null", b"[]", b"{}", b'"x"', b"-1", b"1e400", b"NaN", b"\xff", b","])
    )
    with suppress(LLMError):
        check_vectors(dialect(name).decode(bytes(body), TWO, config(name)).vectors, TWO)


@pytest.mark.parametrize("name", ["gemini", "ollama"])
def test_the_one_vector_of_the_older_endpoint_is_read(name: str) -> None:
    body: JSON = {"embedding": {"values": [1.0]} if name == "gemini" else [1.0]}
    read = dialect(name).decode(json.dumps(body).encode(), TWO, config(name))
    assert [list(each) for each in read.vectors] == [[1.0]]


def test_coheres_older_form_is_read() -> None:
    read = dialect("cohere").decode(b'{"embeddings": [[1, 2]]}', TWO, config("cohere"))
    assert [list(each) for each in read.vectors] == [[1.0, 2.0]]


@pytest.mark.parametrize(
    ("name", "purpose", "field", "word"),
    [
        ("gemini", "query", "taskType", "RETRIEVAL_QUERY"),
        ("gemini", "document", "taskType", "RETRIEVAL_DOCUMENT"),
        ("cohere", "query", "input_type", "search_query"),
        ("cohere", None, "input_type", "search_document"),
        ("voyage", "document", "input_type", "document"),
        ("voyage", None, "input_type", None),
        ("openai", "query", "input_type", None),
    ],
)
def test_the_purpose_is_said_in_the_vendors_words(
    name: str, purpose: Purpose | None, field: str, word: str | None
) -> None:
    body: JSON = written(name, EmbedRequest.of("a", purpose=purpose))
    if name == "gemini":
        body = found(body, "requests", 0)
    assert isinstance(body, dict)
    assert body.get(field) == word


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("openai", "dimensions"),
        ("cohere", "output_dimension"),
        ("voyage", "output_dimension"),
        ("ollama", "dimensions"),
    ],
)
def test_the_size_is_said_in_the_vendors_field(name: str, field: str) -> None:
    assert written(name, EmbedRequest.of("a", dimensions=8))[field] == 8


@pytest.mark.parametrize("name", ["llamacpp", "lm_studio", "together"])
def test_a_size_that_cannot_be_asked_for_is_refused(name: str) -> None:
    with pytest.raises(CapabilityError, match="cannot be told how many dimensions"):
        written(name, EmbedRequest.of("a", dimensions=8))


def test_base64_is_asked_for_where_the_vendor_knows_it() -> None:
    asking = {
        name for name, row in EMBEDS.items() if row.dialect == "openai" and "encoding_format" in written(name, TWO)
    }
    assert asking == {"openai", "azure_openai", "voyage"}


@pytest.mark.parametrize(
    ("name", "field"), [("openai", "input"), ("gemini", "requests"), ("cohere", "texts"), ("ollama", "model")]
)
def test_extra_adds_fields_and_sets_none_of_ours(name: str, field: str) -> None:
    assert written(name, TWO, user="u")["user"] == "u"
    with pytest.raises(LLMValidationError, match=f"extra cannot set {field}"):
        written(name, TWO, **{field: "x"})


def test_extra_may_allow_a_silent_cut() -> None:
    assert written("cohere", TWO)["truncate"] == "NONE"
    assert written("cohere", TWO, truncate="END")["truncate"] == "END"
    assert written("voyage", TWO)["truncation"] is False
    assert written("ollama", TWO)["truncate"] is False


def test_paths_name_the_model_where_the_vendor_wants_it() -> None:
    assert dialect("gemini").path(LLMConfig(type="gemini", model="models/e")) == "/models/e:batchEmbedContents"
    assert dialect("ollama").path(config("ollama")) == "/api/embed"
    azure = LLMConfig(type="azure_openai", model="my model", api_version="2024-10-21")
    assert dialect("azure_openai").path(azure) == "/deployments/my%20model/embeddings?api-version=2024-10-21"
    assert dialect("azure_openai").path(config("azure_openai")) == "/v1/embeddings"
    with pytest.raises(ConfigError):
        dialect("gemini").path(LLMConfig(type="gemini", model="../x"))
    assert dialect("openai").headers(config("openai")) == {}


def test_a_text_that_is_no_unicode_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LLMValidationError, match="half a surrogate pair"):
        written("openai", EmbedRequest.of("\ud800"))


def test_ragged_answers_are_no_answers() -> None:
    read = dialect("ollama").decode(b'{"embeddings": [[1], [1, 2]]}', TWO, config("ollama"))
    with pytest.raises(LLMProtocolError, match="vectors of 1, 2 numbers"):
        check_vectors(read.vectors, TWO)
