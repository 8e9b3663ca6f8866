"""How each dialect asks for vectors and ranks, and how its servers word them."""

from __future__ import annotations

import json
import sys
from abc import abstractmethod
from array import array
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol
from urllib.parse import unquote

from typing_extensions import override

from loomwire.domain.values import JSON
from loomwire.domain.vectors.embeddings import Ranked
from loomwire.testing.embedders import DIMENSIONS, hashed_vector, word_ranks


@dataclass(frozen=True, slots=True)
class AskedFor:
    """What of a request decides the answer.

    Attributes:
        model: The model that is asked for.
        texts: What is embedded or ranked.
        query: What is looked for; "" for embeddings.
        size: Numbers of each vector, or how many ranks; None where nobody said.
        base64: Vectors are asked for in base64.
        stream: Never.
    """

    model: str
    texts: tuple[str, ...]
    query: str = ""
    size: int | None = None
    base64: bool = False
    stream: bool = False

    @property
    def vectors(self) -> Sequence[array[float]]:
        """One vector for each text."""
        return [hashed_vector(text, self.size or DIMENSIONS) for text in self.texts]

    @property
    def ranks(self) -> Sequence[Ranked]:
        """The texts by the words they share with the query."""
        return word_ranks(self.query, self.texts, self.size)


class Shape(Protocol):
    """One dialect's wording.

    Attributes:
        dialect: The chat dialect whose errors it has.
        ends: How its paths end.
    """

    dialect: ClassVar[str] = "openai_chat"
    ends: ClassVar[tuple[str, ...]]

    @abstractmethod
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        """Return what a request asks for, or None when it is none of the dialect."""

    @abstractmethod
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        """Return the answer; without `tokens` it tells no usage."""


class OpenAIShape(Shape):
    """OpenAI's, and of Azure, Voyage, Mistral, vLLM, llama.cpp and OpenRouter."""

    ends: ClassVar[tuple[str, ...]] = ("/embeddings",)

    @override
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        size = body.get("dimensions", body.get("output_dimension"))
        return _asked(body, "input", size, base64=body.get("encoding_format") == "base64")

    @override
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        rows: list[JSON] = [
            {"object": "embedding", "index": index, "embedding": _wire(vector, base64=asked.base64)}
            for index, vector in enumerate(asked.vectors)
        ]
        usage: Mapping[str, JSON] = {} if tokens is None else _tokens(tokens)
        return {"object": "list", "data": rows, "model": asked.model, **usage}


class GeminiShape(Shape):
    """The Gemini API's; the path names the model."""

    dialect = "gemini"
    ends: ClassVar[tuple[str, ...]] = (":batchEmbedContents",)

    @override
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        rows = body.get("requests")
        if not isinstance(rows, list) or not rows:
            return None
        texts, size = [], None
        for row in rows:
            if not isinstance(row, dict):
                return None
            size = row.get("outputDimensionality")
            texts.append(_gemini_text(row.get("content")))
        model = unquote(path.rpartition(":")[0].rpartition("/")[2])
        return AskedFor(model, tuple(texts), size=size if isinstance(size, int) else None)

    @override
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        rows: list[JSON] = [{"values": vector.tolist()} for vector in asked.vectors]
        usage: Mapping[str, JSON] = {} if tokens is None else {"usageMetadata": {"promptTokenCount": tokens}}
        return {"embeddings": rows, **usage}


class CohereShape(Shape):
    """Cohere's."""

    dialect = "cohere"
    ends: ClassVar[tuple[str, ...]] = ("/embed",)

    @override
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        return _asked(body, "texts", body.get("output_dimension"))

    @override
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        billed: Mapping[str, JSON] = {} if tokens is None else {"billed_units": {"input_tokens": tokens}}
        return {
            "id": "emb-loopback",
            "texts": asked.texts,
            "embeddings": {"float": [vector.tolist() for vector in asked.vectors]},
            "meta": {"api_version": {"version": "2"}, **billed},
            "response_type": "embeddings_by_type",
        }


class OllamaShape(Shape):
    """Ollama's."""

    dialect = "ollama"
    ends: ClassVar[tuple[str, ...]] = ("/api/embed",)

    @override
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        return _asked(body, "input", body.get("dimensions"))

    @override
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        count: Mapping[str, JSON] = {} if tokens is None else {"prompt_eval_count": tokens}
        vectors: list[JSON] = [vector.tolist() for vector in asked.vectors]
        return {"model": asked.model, "embeddings": vectors, "total_duration": 1, "load_duration": 1, **count}


class RankShape(Shape):
    """Ranks as llama.cpp and OpenRouter word them, as Cohere below `/v2`, and as Voyage to whom asks as Voyage."""

    ends: ClassVar[tuple[str, ...]] = ("/rerank",)

    @override
    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedFor | None:
        query, voyage = body.get("query"), bool({"top_k", "truncation"} & body.keys())
        asked = _asked(body, "documents", body.get("top_k" if voyage else "top_n"))
        if asked is None or not isinstance(query, str):
            return None
        form = _Voyage if voyage else _CohereRanks if path.endswith("/v2/rerank") else AskedFor
        return form(asked.model, asked.texts, query, asked.size)

    @override
    def says(self, asked: AskedFor, tokens: int | None) -> Mapping[str, JSON]:
        rows: list[JSON] = [{"index": rank.index, "relevance_score": rank.score} for rank in asked.ranks]
        if isinstance(asked, _CohereRanks):
            billed: JSON = {"search_units": 1}
            return {"id": "rank-loopback", "results": rows, "meta": {"billed_units": billed}}
        name = "data" if isinstance(asked, _Voyage) else "results"
        usage: Mapping[str, JSON] = {} if tokens is None else _tokens(tokens)
        return {"object": "list", name: rows, "model": asked.model, **usage}


class _Voyage(AskedFor):
    __slots__ = ()


class _CohereRanks(AskedFor):
    __slots__ = ()


SHAPES: Sequence[Shape] = (OllamaShape(), CohereShape(), OpenAIShape(), GeminiShape(), RankShape())
"""All there are; the first whose path fits answers."""


def _asked(body: Mapping[str, JSON], field: str, size: JSON, *, base64: bool = False) -> AskedFor | None:
    model, found = body.get("model"), body.get(field)
    # Token numbers are texts, too; a lone list of them is one text.
    rows = [found] if isinstance(found, str) else found
    if not isinstance(rows, list) or not rows:
        return None
    texts = tuple(row if isinstance(row, str) else json.dumps(row) for row in rows)
    whole = size if isinstance(size, int) and size > 0 else None
    return AskedFor(model if isinstance(model, str) else "loopback", texts, size=whole, base64=base64)


def _gemini_text(content: JSON) -> str:
    parts = content.get("parts") if isinstance(content, dict) else None
    found = [part.get("text") for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(text for text in found if isinstance(text, str))


def _wire(vector: array[float], *, base64: bool) -> JSON:
    if not base64:
        return vector.tolist()
    if sys.byteorder == "big":  # pragma: no cover  # no such machine here
        vector.byteswap()
    return b64encode(vector.tobytes()).decode()


def _tokens(tokens: int) -> Mapping[str, JSON]:
    return {"usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
