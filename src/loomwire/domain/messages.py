"""Messages: what is said, by whom, in which parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self, TypeAlias

from typing_extensions import override

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.values import JSON, JSONObject, ToolCall

Role: TypeAlias = Literal["system", "user", "assistant", "tool"]
ImageDetail: TypeAlias = Literal["auto", "low", "high"]
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text. Its repr shows the length only: a prompt stays out of logs and of tracebacks with locals."""

    text: str

    @override
    def __repr__(self) -> str:
        return f"Text({len(self.text)} characters)"


@dataclass(frozen=True, slots=True)
class Image:
    """A picture, as bytes or as an address. An address is passed to the provider; loomwire never fetches it.

    Args:
        data: The picture's bytes, or None; the repr leaves them out.
        url: An http or https address or a data URL, or None. Exactly one of the two must be given.
        media_type: Needed with `data`: one of image/png, image/jpeg, image/gif, image/webp.
        detail: How closely the model should look, where the provider knows this.

    Raises:
        LLMValidationError: Both or none of `data` and `url`, an unknown media type, or an address of another scheme.
    """

    data: bytes | None = field(default=None, repr=False)
    url: str | None = None
    media_type: str = "image/png"
    detail: ImageDetail = "auto"

    def __post_init__(self) -> None:
        """Check the picture before money is spent."""
        if (self.data is None) == (self.url is None):
            raise LLMValidationError("an image needs exactly one of data= and url=")
        if self.media_type not in IMAGE_TYPES:
            raise LLMValidationError(f"image media_type must be one of {', '.join(sorted(IMAGE_TYPES))}")
        if self.url is not None and not self.url.startswith(("https://", "http://", "data:image/")):
            raise LLMValidationError("an image url must start with https://, http:// or data:image/")


@dataclass(frozen=True, slots=True)
class Reasoning:
    """A model's thinking. Sent back unchanged in the next turn, because vendors check its signature.

    Attributes:
        text: The readable thinking; may be empty.
        signature: The vendor's opaque proof, or None.
        redacted: Opaque data in place of text, or None.
        id: The vendor's id of this item, or None.
        wire: The vendor's own object when the fields above cannot carry it back, or None.
        origin: The wire dialect it came over, "" when it is of no vendor. What is signed or opaque goes back over that
            dialect only: every other vendor would refuse it.
    """

    text: str = ""
    signature: str | None = None
    redacted: str | None = None
    id: str | None = None
    wire: JSONObject | None = None
    origin: str = ""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered.

    Args:
        call_id: The id of the `ToolCall` it answers.
        content: Text, or JSON that is sent as JSON text.
        name: The tool's name; some vendors want it.
        is_error: The tool failed and `content` says how.
    """

    call_id: str
    content: JSON = field(repr=False)
    name: str = ""
    is_error: bool = False


Part: TypeAlias = Text | Image | ToolCall | ToolResult | Reasoning

_ALLOWED: dict[Role, tuple[type, ...]] = {
    "system": (Text,),
    "user": (Text, Image),
    "assistant": (Text, ToolCall, Reasoning),
    "tool": (ToolResult,),
}


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation. Immutable, so it may be shared by requests, threads and loops.

    Args:
        role: Who speaks.
        parts: What is said, in order; at least one part, each allowed for the role.
        name: An optional name of the speaker, for vendors that know this.
        cache_point: Everything up to the end of this message is worth keeping in the provider's prompt cache. Vendors
            that want to be told are told; others decide themselves.

    Raises:
        LLMValidationError: Empty, or a part that the role cannot say.

    Example:
        >>> Message.user("Hello").text
        'Hello'
    """

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None
    cache_point: bool = False

    def __post_init__(self) -> None:
        """Refuse what no provider accepts."""
        allowed = _ALLOWED.get(self.role)
        if allowed is None:
            raise LLMValidationError(f"message role must be one of {', '.join(_ALLOWED)}, not {self.role!r}")
        if not self.parts:
            raise LLMValidationError(f"a {self.role} message needs at least one part")
        for part in self.parts:
            if not isinstance(part, allowed):
                raise LLMValidationError(f"a {self.role} message cannot hold a part of type {type(part).__name__}")

    @classmethod
    def system(cls, text: str) -> Self:
        """Instructions for the model."""
        return cls("system", (Text(text),))

    @classmethod
    def user(cls, *content: str | Text | Image) -> Self:
        """What the user says: text and pictures in order."""
        return cls("user", tuple(Text(part) if isinstance(part, str) else part for part in content))

    @classmethod
    def assistant(
        cls, text: str = "", *, tool_calls: Sequence[ToolCall] = (), reasoning: Sequence[Reasoning] = ()
    ) -> Self:
        """What the model said. Give back `reasoning` and `tool_calls` as they came."""
        said: tuple[Part, ...] = (Text(text),) if text else ()
        return cls("assistant", (*reasoning, *said, *tool_calls) or (Text(""),))

    @classmethod
    def tool(cls, *results: ToolResult) -> Self:
        """The results of tool calls."""
        return cls("tool", results)

    @property
    def text(self) -> str:
        """All text parts joined."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))
