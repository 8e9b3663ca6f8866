"""Items of an answer that only the vendor understands: kept whole, in their order, and given back (TRAPS 38).

Thinking, what the server's own tools did, and messages with a phase go back as they came. Where an answer is more than
thinking, then text, then calls, stand-ins among them say where our own parts belong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.wire.answer import PendingCall
from loomwire.infrastructure.providers.wire.said import Said

ORIGIN = "openai_responses"
# Shared by all items that do not think: nothing is ever added to it.
_SILENT = Said()
_RANKS: Mapping[str, int] = {"message": 1, "function_call": 2, "custom_tool_call": 2}


class Item:
    """One item of an answer while it comes.

    Attributes:
        kind: Its type on the wire.
        call: The call that it is, once its name is known.
        thought: The thinking that it said.
        channel: Which of a summary and the thinking itself is read; the other says the same once more.
        characters: How much text of a message came.
        refused: A refusal came.
        ended: It came whole.
        tied: It must go back as it came.
        wire: The form in which it would go back, or None.
    """

    __slots__ = ("call", "channel", "characters", "ended", "kind", "refused", "thought", "tied", "wire")

    def __init__(self, kind: str) -> None:
        """Begin an item."""
        self.kind = kind
        self.call: PendingCall | None = None
        self.thought = Said() if kind == "reasoning" else _SILENT
        self.channel = ""
        self.characters = 0
        self.refused = False
        self.ended = False
        self.tied = False
        self.wire: dict[str, JSON] | None = None


def kept_items(items: Sequence[Item]) -> Iterator[Reasoning]:
    """Yield what of an answer's items must go back beside its text and calls."""
    if not any(item.tied for item in items):
        return
    in_order = _is_in_order(items)
    for item in items:
        wire = _form(item) if item.tied or not in_order else None
        if wire is not None:
            thought = item.thought.text()
            yield Reasoning(thought, _word(wire, "encrypted_content"), None, _word(wire, "id"), wire, ORIGIN)


def _form(item: Item) -> dict[str, JSON] | None:
    if item.kind == "message":
        return None if item.wire is None else _message_wire(item.wire)
    if item.wire is None and item.call is not None:
        return {"type": item.kind, "call_id": item.call.id}
    return item.wire


def _word(wire: JSONObject, key: str) -> str | None:
    value = wire.get(key)
    return value if isinstance(value, str) and value else None


def _is_in_order(items: Sequence[Item]) -> bool:
    ranks = [_RANKS.get(item.kind, 0) for item in items]
    is_plain = not any(item.tied for item in items if item.kind in _RANKS)
    return is_plain and ranks == sorted(ranks) and ranks.count(1) <= 1


def wire_of(part: Reasoning) -> JSONObject | None:
    """Return the item that a part of the history keeps for this dialect, or None for everybody else's thinking."""
    if part.wire is None or part.origin not in ("", ORIGIN):
        return None
    is_ours = part.origin == ORIGIN or part.wire.get("type") == "reasoning"
    return part.wire if is_ours else None


def goes_back(wire: JSONObject, quirks: ResponsesQuirks, *, thinks: bool) -> bool:
    """Tell whether a server takes an item: thinking only in the vendor's own form, all else always."""
    if wire.get("type") != "reasoning":
        return True
    # OpenAI knows thinking without its encrypted form by its id only, and has stored nothing; vLLM refuses encrypted.
    return thinks and bool(wire.get("encrypted_content")) == quirks.encrypted_reasoning


class Message(NamedTuple):
    """What a whole message says.

    Attributes:
        text: Its visible text.
        refusal: Its refusal.
        is_tied: Its text alone would lose something: a phase, or its sources.
        is_unread: There is content, and nobody knows any of it.
    """

    text: str
    refusal: str = ""
    is_tied: bool = False
    is_unread: bool = False


def read_message(wire: JSONObject) -> Message:
    """Return what a message says; its content may be a text too."""
    content = wire.get("content")
    if not isinstance(content, list):
        return Message(content if isinstance(content, str) else "")
    phase = _word(wire, "phase")
    text = _only_text(content, phase)
    if text is not None:
        return Message(text)
    texts = list(text_in(content, "output_text", "text"))
    refusals = list(text_in(content, "refusal", "refusal"))
    is_tied = phase is not None or any(part.get("annotations") for part in objects(content))
    return Message("".join(texts), "".join(refusals), is_tied, bool(content) and not (texts or refusals))


def _only_text(content: Sequence[JSON], phase: str | None) -> str | None:
    # As nearly every message is; the general way takes three times as long.
    part = content[0] if len(content) == 1 and phase is None else None
    if not isinstance(part, dict) or part.get("type") != "output_text" or part.get("annotations"):
        return None
    return _word(part, "text")


def _message_wire(item: JSONObject) -> dict[str, JSON] | None:
    """Return a message as it goes back. Ids stay here: with them OpenAI looks for what it has not stored."""
    content = item.get("content")
    parts: JSON = [
        {key: part[key] for key in ("type", "text", "refusal", "annotations") if part.get(key)}
        for part in objects(content)
    ]
    if isinstance(content, str):
        parts = [{"type": "output_text", "text": content}]
    wire: dict[str, JSON] = {"type": "message", "role": "assistant", "content": parts}
    phase = _word(item, "phase")
    if phase is not None:
        wire["phase"] = phase
    return wire if parts else None


def said_in(wire: JSONObject) -> str:
    """Return the visible text of a message."""
    return "".join(text_in(wire.get("content"), "output_text", "text"))


def text_in(parts: JSON, kind: str, key: str) -> Iterator[str]:
    """Yield the texts of all parts of a kind."""
    for part in objects(parts):
        text = part.get(key)
        if part.get("type") == kind and isinstance(text, str):
            yield text


def objects(value: object) -> Iterator[JSONObject]:
    """Yield what is an object in a list; nothing of anything else."""
    # Not any sequence and mapping: the decoder makes nothing else, and this runs for every answer.
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))
