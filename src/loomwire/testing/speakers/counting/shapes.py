"""How each dialect asks for a count of tokens, and how its servers word it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class AskedToCount:
    """A request to be counted.

    Attributes:
        model: The model that is asked for.
        unknown: A field that the endpoint does not take, or None.
        stream: Never.
    """

    model: str
    unknown: str | None = None
    stream: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CountShape:
    """One dialect's wording.

    Attributes:
        dialect: The chat dialect whose errors it has.
        end: How its paths end.
        within: The names of the objects that the request stands in, from outside; it may stand there bare, too.
        needs: The field that every request has.
        refuses: Fields of the chat request that the endpoint refuses.
        field: The answer's field with the number.
        id_header: The header that says the request's id.
    """

    dialect: str
    end: str
    within: tuple[str, ...] = ()
    needs: str
    refuses: frozenset[str] = frozenset()
    field: str = "input_tokens"
    id_header: str = "x-request-id"

    def asks(self, path: str, body: Mapping[str, JSON]) -> AskedToCount | None:
        """Return what a request asks for, or None when it is none of the dialect."""
        inside: JSON = body
        for name in self.within:
            inside = inside.get(name, inside) if isinstance(inside, Mapping) else None
        if not isinstance(inside, Mapping) or not isinstance(inside.get(self.needs), str | list):
            return None
        named = inside.get("model")
        model = named.removeprefix("models/") if isinstance(named, str) else self._placed(path)
        return AskedToCount(model, next((field for field in inside if field in self.refuses), None))

    def says(self, tokens: int) -> Mapping[str, JSON]:
        """Return the answer."""
        said: dict[str, JSON] = {self.field: tokens}
        if self.dialect == "gemini":
            said["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": tokens}]
        if self.dialect == "openai_responses":
            said["object"] = "response.input_tokens"
        return said

    def _placed(self, path: str) -> str:
        return unquote(path.removesuffix(self.end).rpartition("/")[2]) or "loopback"


COUNT_SHAPES: Sequence[CountShape] = (
    CountShape(
        dialect="anthropic",
        end="/messages/count_tokens",
        needs="messages",
        refuses=frozenset({"max_tokens", "stop_sequences", "stream", "temperature", "top_k", "top_p"}),
        id_header="request-id",
    ),
    CountShape(
        dialect="openai_responses",
        end="/responses/input_tokens",
        needs="input",
        refuses=frozenset({"include", "max_output_tokens", "store", "stream", "temperature", "top_p"}),
    ),
    CountShape(
        dialect="gemini", end=":countTokens", within=("generateContentRequest",), needs="contents", field="totalTokens"
    ),
    CountShape(
        dialect="bedrock",
        end="/count-tokens",
        within=("input", "converse"),
        needs="messages",
        refuses=frozenset({"inferenceConfig"}),
        field="inputTokens",
        id_header="x-amzn-requestid",
    ),
)
"""All there are."""
