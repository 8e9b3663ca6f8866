"""Keeps the reasoning items that a vendor wants back, and gives them back (TRAPS 37, 38)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loomwire.domain.errors import llm_error
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.wire.said import Said

ORIGIN = "openai_chat"
"""What `Reasoning.origin` says of items that came over this dialect."""

MOST_ITEMS = 1024
"""Reasoning items of one answer; a vendor's answer has a few."""

_GROWING = ("text", "summary", "thinking")


class _Item:
    """One item while it comes: the vendor's object, and the pieces of what grows in it."""

    __slots__ = ("pieces", "wire")

    def __init__(self, wire: dict[str, JSON]) -> None:
        self.wire = wire
        self.pieces: dict[str, Said] = {}

    def grow(self, key: str, text: str) -> None:
        """Add to a text that comes in pieces."""
        self.pieces.setdefault(key, Said()).add(text)

    def whole(self) -> Reasoning:
        """Return the item as it must go back."""
        grown = {key: pieces.text() for key, pieces in self.pieces.items()}
        text = next((grown[key] for key in _GROWING if grown.get(key)), "")
        if "thinking" in grown:
            self.wire["thinking"] = [{"type": "text", "text": grown.pop("thinking")}]
        self.wire.update(grown)
        signature, id_ = _text(self.wire, "signature") or None, _text(self.wire, "id") or None
        return Reasoning(text, signature, None, id_, self.wire, ORIGIN)


class ThoughtItems:
    """Puts streamed reasoning items together. Belongs to one answer."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        """Hold nothing."""
        self._items: list[_Item] = []

    def add_details(self, details: object) -> str:
        """Note OpenRouter's `reasoning_details`; returns their readable text."""
        said = []
        for detail in _objects(details):
            last = self._items[-1] if self._items else None
            if last is not None and _continues(last.wire, detail):
                last.wire.update({key: value for key, value in detail.items() if value is not None})
            else:
                last = _Item(dict(detail))
                self._keep(last)
            for key in ("text", "summary"):
                piece = _text(detail, key)
                if piece:
                    said.append(piece)
                    last.grow(key, piece)
        return "".join(said)

    def add_thinking(self, part: JSONObject) -> str:
        """Note Mistral's part of type `thinking`; returns its text."""
        said = "".join(_text(piece, "text") for piece in _objects(part.get("thinking")))
        last = self._items[-1] if self._items else None
        if last is None or last.wire.get("type") != "thinking":
            last = _Item(dict(part))
            self._keep(last)
        last.grow("thinking", said)
        return said

    def _keep(self, item: _Item) -> None:
        if len(self._items) == MOST_ITEMS:
            raise llm_error("too_large", f"the answer has more than {MOST_ITEMS} reasoning items")
        self._items.append(item)

    def items(self) -> Iterator[Reasoning]:
        """Yield what came, each item whole."""
        return (item.whole() for item in self._items)


def reasoning_back(parts: Sequence[Reasoning], quirks: ChatQuirks) -> tuple[str, JSON]:
    """Return the field and the value with which thinking goes back in an assistant's message; ("", None) for none.

    For `thinking_parts` the field is `content` and the value are parts to stand in front of the text. What another
    dialect has signed or made unreadable is left out.
    """
    form = quirks.reasoning_back
    if form == "thinking_parts":
        # Only Mistral's own thinking: its other models refuse such parts.
        thinking = _wires(parts, "thinking")
        return ("content", thinking) if thinking else ("", None)
    if form == "reasoning_details":
        details = _wires(parts, "reasoning.")
        if details:
            return form, details
        form = "reasoning"
    text = "" if form == "no" else "".join(map(_readable, parts))
    return (form, text) if text else ("", None)


def _readable(part: Reasoning) -> str:
    is_foreign = part.origin not in ("", ORIGIN)
    return "" if is_foreign and (part.signature or part.redacted) else part.text


def _wires(parts: Sequence[Reasoning], kind: str) -> list[JSON]:
    own = (part.wire for part in parts if part.origin in ("", ORIGIN))
    return [wire for wire in own if wire is not None and str(wire.get("type")).startswith(kind)]


def _continues(last: JSONObject, detail: JSONObject) -> bool:
    """Tell whether a fragment belongs to the item before it. Encrypted items always come whole."""
    same = all(last.get(key) == detail.get(key) for key in ("type", "index"))
    same_id = detail.get("id") is None or last.get("id") in (None, detail.get("id"))
    return same and same_id and detail.get("type") != "reasoning.encrypted"


def _objects(value: object) -> Iterator[JSONObject]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        yield from (each for each in value if isinstance(each, Mapping))


def _text(item: JSONObject, key: str) -> str:
    value = item.get(key)
    return value if isinstance(value, str) else ""
