"""Keeps the parts of an answer that must go back exactly where they stood, and puts them there again (TRAPS 38).

Signatures stand on texts, on empty texts and on thinking, and code that Google ran stands between texts. A message
holds one text and its calls, so each kept part notes how many characters and calls came before it:
`wire = {"at": [characters, calls]}`, with `text` for how many characters are the signed part, or with the `part`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from loomwire.domain.errors import llm_error
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.wire.request_body import Body
from loomwire.infrastructure.providers.wire.said import Said

ORIGIN = "gemini"

MOST_ITEMS = 1024
"""Kept parts of one answer; a real one has a few."""

Place: TypeAlias = tuple[int, int]
"""Characters of text and calls that came before."""

_START: Place = (0, 0)


class _Thought:
    __slots__ = ("place", "said", "signature")

    def __init__(self, place: Place, signature: str | None) -> None:
        self.place = place
        self.said = Said()
        self.signature = signature

    def whole(self) -> Reasoning:
        """Return the thought with its signature and its place, as it goes back."""
        wire = None if self.place == _START else {"at": self.place}
        return Reasoning(self.said.text(), self.signature, wire=wire, origin=ORIGIN)


class Kept:
    """Notes what must go back. Belongs to one answer.

    Attributes:
        has_others: There is a part that is neither text nor a call of the caller's tools.
    """

    __slots__ = ("_items", "has_others")

    def __init__(self) -> None:
        """Hold nothing."""
        self.has_others = False
        self._items: list[_Thought | Reasoning] = []

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self._items)

    def thought(self, text: str, signature: str | None, place: Place) -> None:
        """Note thinking; pieces of one thought come one behind the other."""
        last = self._items[-1] if self._items else None
        if not isinstance(last, _Thought) or last.signature or signature or last.place != place:
            last = _Thought(place, signature)
            self._add(last)
        last.said.add(text)

    def signed(self, length: int, signature: str, place: Place) -> None:
        """Note the signature of a text that is in the answer, `length` characters from `place` on."""
        self._add(Reasoning(signature=signature, wire={"at": place, "text": length}, origin=ORIGIN))

    def other(self, part: Mapping[str, JSON], signature: str | None, place: Place) -> None:
        """Note a part that is neither text nor a call of the caller's tools, such as code that was run."""
        self.has_others = True
        self._add(Reasoning(signature=signature, wire={"at": place, "part": part}, origin=ORIGIN))

    def items(self) -> Iterator[Reasoning]:
        """Yield what came, in order."""
        return (item.whole() if isinstance(item, _Thought) else item for item in self._items)

    def _add(self, item: _Thought | Reasoning) -> None:
        if len(self._items) == MOST_ITEMS:
            raise llm_error("too_large", f"the answer has more than {MOST_ITEMS} parts that must be kept")
        self._items.append(item)


def put_back(kept: Sequence[Reasoning], text: str, calls: Sequence[Body]) -> list[Body]:
    """Return the parts of a message with everything where it stood.

    Args:
        kept: What was kept of the answer, in order.
        text: Its whole text.
        calls: Its calls as parts.
    """
    parts: list[Body] = []
    chars = done = 0
    for item in kept:
        wire = item.wire or {}
        to_chars, to_calls = _place(wire)
        parts += _text(text[chars:to_chars])
        chars = max(chars, to_chars)
        parts += calls[done:to_calls]
        done = max(done, to_calls)
        length = wire.get("text")
        if isinstance(length, int) and length >= 0:
            parts.append({"text": text[chars : chars + length], "thoughtSignature": item.signature})
            chars += length
        else:
            parts.append(_part(item, wire))
    return [*parts, *_text(text[chars:]), *calls[done:]]


def _text(text: str) -> list[Body]:
    return [{"text": text}] if text else []


def _part(item: Reasoning, wire: Mapping[str, JSON]) -> Body:
    part = wire.get("part")
    if isinstance(part, Mapping):
        return dict(part)
    thought: Body = {"text": item.text, "thought": True}
    if item.signature is not None:
        thought["thoughtSignature"] = item.signature
    return thought


def _place(wire: Mapping[str, JSON]) -> Place:
    at = wire.get("at")
    numbers = [n for n in at if isinstance(n, int) and n >= 0] if isinstance(at, Sequence) else []
    return (numbers[0], numbers[1]) if len(numbers) == 2 else _START
