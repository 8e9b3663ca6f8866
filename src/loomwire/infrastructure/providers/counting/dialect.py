"""How a dialect's request is put to be counted in place of being answered, and how the count is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, final
from urllib.parse import unquote

import msgspec
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, LLMError, llm_error
from loomwire.domain.ports.pool import WireRequest
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.providers.counting.columns import Counts
from loomwire.infrastructure.providers.wire.dialect import Dialect
from loomwire.infrastructure.providers.wire.exchange.asking import AskDialect
from loomwire.infrastructure.providers.wire.request_body import Body
from loomwire.infrastructure.providers.wire.usage import MOST_TOKENS

# What is inside of the fields is passed on as it is, and never looked at.
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_VALUE: Final = msgspec.json.Decoder(object)
# How servers answer that have no such endpoint, and some of them with a model that they do not have.
_NO_ENDPOINT: Final = frozenset({404, 405, 501})
_HINT: Final = "Does the server have this endpoint? Is it a model that counts?"


@final
class CountDialect(AskDialect[LLMRequest, int]):
    """Asks for the tokens of what a dialect would send: the same bytes, field by field, where the endpoint takes them.

    Args:
        dialect: Writes what is counted, and reads errors.
        counts: How the endpoint differs from the one that answers.
    """

    __slots__ = ("_counts", "_dialect")

    def __init__(self, dialect: Dialect, counts: Counts) -> None:
        """Count what `dialect` writes."""
        self._dialect = dialect
        self._counts = counts

    @override
    def path(self, config: LLMConfig) -> str:
        place, point, model = config.model.partition(".")
        if point and place in self._counts.places:
            config = replace(config, model=model)
        path, mark, query = self._dialect.path(config, stream=False).partition("?")
        old, new = self._counts.ends
        return path.removesuffix(old) + new + mark + query

    @override
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        return self._dialect.headers(config)

    @override
    def signed(self, request: WireRequest, base_url: str, config: LLMConfig) -> WireRequest:
        return self._dialect.signed(request, base_url, config)

    @override
    def encode(self, request: LLMRequest, config: LLMConfig) -> bytes:
        counts = self._counts
        sent = _FIELDS.decode(self._dialect.encode(request, config, stream=False))
        hidden = sorted(name for name in counts.hides if _has(sent, name))
        if hidden:
            raise CapabilityError(
                f"{config.target} cannot count a request with {', '.join(hidden)}",
                provider=config.name,
                model=config.model,
                hint="Its endpoint for counting does not take it, and a count without it would be too low.",
            )
        body: Body = {name: value for name, value in sent.items() if counts.takes is None or name in counts.takes}
        if counts.named:
            path = self._dialect.path(config, stream=False)
            body["model"] = unquote(path.removeprefix("/").removesuffix(counts.ends[0]))
        for name in reversed(counts.within):
            body = {name: body}
        return msgspec.json.encode(body)

    @override
    def decode(self, body: bytes, request: LLMRequest, config: LLMConfig) -> int:
        try:
            told = _FIELDS.decode(body).get(self._counts.field)
            count = None if told is None else _VALUE.decode(told)
        except (ValueError, RecursionError):
            raise llm_error("protocol", "the server's answer is no JSON object with a count", hint=_HINT) from None
        if told is None:
            raise self.unanswered(body, config)
        if type(count) is not int or not 0 <= count <= MOST_TOKENS:
            raise llm_error("protocol", f"the answer's {self._counts.field} is no number of tokens", hint=_HINT)
        return count

    @override
    def error_for(self, status: int, headers: Mapping[str, str], body: bytes, config: LLMConfig) -> LLMError:
        error = self._dialect.error_for(status, headers, body, config)
        if status in _NO_ENDPOINT:
            error.hint = f"{_HINT} {error.hint}"
        return error

    @override
    def __repr__(self) -> str:
        return f"CountDialect({type(self._dialect).__name__})"


def _has(sent: Mapping[str, msgspec.Raw], name: str) -> bool:
    field, point, inner = name.partition(".")
    if field not in sent or not point:
        return field in sent
    known = _VALUE.decode(sent[field])
    return isinstance(known, dict) and inner in known
