"""What a request would need, without a request: for asking whom a client would ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final, Self, get_args

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.estimates.tokens import input_tokens
from loomwire.domain.messages import Image, Message, Text
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, Priority
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON, FrozenDict

MOST_TOKENS: Final = 10_000_000
"""Of the input that can be asked about."""

_PRIORITIES: Final[Mapping[JSON, Priority]] = {each: each for each in get_args(Priority)}
_BYTES_PER_TOKEN: Final = 4
_OBJECT: Final = FrozenDict[str, JSON]({"type": "object"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteNeeds:
    """What a request would need.

    Attributes:
        tools: It has a tool.
        vision: It has a picture.
        json_schema: Its answer has a schema.
        stream: It is asked as a stream.
        in_tokens: So many tokens of input.
        max_tokens: Bound of the output in tokens; None leaves it to the model.
        priority: As of `LLMRequest`.
    """

    tools: bool = False
    vision: bool = False
    json_schema: bool = False
    stream: bool = False
    in_tokens: int = 0
    max_tokens: int | None = None
    priority: Priority = "balanced"

    @classmethod
    def read(cls, values: Mapping[str, JSON]) -> Self:
        """Return the needs that `to_dict` gave.

        Raises:
            LLMValidationError: A value is none.
        """
        priority = _PRIORITIES.get(values.get("priority", "balanced"))
        if priority is None:
            raise LLMValidationError(f"a priority is one of {', '.join(_PRIORITIES.values())}")
        most = values.get("max_tokens")
        return cls(
            tools=values.get("tools") is True,
            vision=values.get("vision") is True,
            json_schema=values.get("json_schema") is True,
            stream=values.get("stream") is True,
            in_tokens=_count(values.get("in_tokens", 0)),
            max_tokens=None if most is None else _count(most),
            priority=priority,
        )

    def to_dict(self) -> dict[str, JSON]:
        """Return the needs as JSON."""
        return asdict(self)

    def words(self) -> tuple[str, ...]:
        """Return the abilities it takes, as `ModelCapabilities` calls them."""
        asked = {
            "supports_tools": self.tools,
            "supports_vision": self.vision,
            "supports_json_schema": self.json_schema,
            "supports_streaming": self.stream,
        }
        return tuple(name for name, is_asked in asked.items() if is_asked)

    def request(self) -> LLMRequest:
        """Return a request that needs this and says nothing."""
        bare = self._holding(())
        missing = self.in_tokens - input_tokens(bare)
        return bare if missing <= 0 else self._holding((Text("x" * (_BYTES_PER_TOKEN * missing)),))

    def _holding(self, texts: tuple[Text, ...]) -> LLMRequest:
        pictures = (Image(data=b"x"),) if self.vision else ()
        return LLMRequest(
            messages=(Message("user", (*texts, *pictures) or (Text(""),)),),
            tools=(Tool("tool", parameters=_OBJECT),) if self.tools else (),
            output=OutputSpec(schema=_OBJECT) if self.json_schema else None,
            parameters=Parameters(max_tokens=self.max_tokens),
            priority=self.priority,
        )


def _count(value: JSON) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_TOKENS:
        return value
    raise LLMValidationError(f"a number of tokens is whole and at most {MOST_TOKENS}")
