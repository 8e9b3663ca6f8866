"""Keeps the order of an answer's blocks where a message cannot: thinking between calls, server tools between texts.

A message holds thinking, text and calls, each in order but not among each other. Where the model's order is another,
or blocks are among them that a message has no part for, one more `Reasoning` carries the order in its `wire`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from loomwire.domain.messages import Message, Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.wire.request_body import Body

LAYOUT = "loomwire_layout"
"""The type of the `wire` that holds an order."""

TextWriter: TypeAlias = Callable[[str, JSON], Body | None]
"""Writes a text and its citations (None when it has none) as a block; None for what the vendor does not take."""

_KINDS = ("thinking", "text", "call", "block")


class Layout:
    """The order of blocks as one dialect keeps it. Immutable, safe to share.

    Args:
        origin: What `Reasoning.origin` says of what came over the dialect; the order of another is not read.
        write_text: How the dialect writes a text.
    """

    __slots__ = ("_write_text", "origin")

    def __init__(self, origin: str, write_text: TextWriter) -> None:
        """Keep orders of `origin`."""
        self.origin = origin
        self._write_text = write_text

    def kept(self, entries: Sequence[JSONObject]) -> Reasoning | None:
        """Return the part that carries an order home; None when it is thinking, text, calls, and says no more.

        Args:
            entries: `{"thinking": n}`, `{"text": characters, "citations": [...]}`, `{"call": n}`, or
                `{"block": {...}}` for what has no part of its own.
        """
        ranks = [_KINDS.index(next(iter(entry))) for entry in entries]
        if ranks == sorted(ranks) and 3 not in ranks and not any("citations" in entry for entry in entries):
            return None
        return Reasoning(wire={"type": LAYOUT, "entries": list(entries)}, origin=self.origin)

    def is_thought(self, part: Reasoning) -> bool:
        """Tell whether a part is thinking that came over this dialect, and no order."""
        # Another vendor's thinking has no signature of this one, and would be refused.
        return part.origin == self.origin and (part.wire is None or part.wire.get("type") != LAYOUT)

    def arranged(self, message: Message, thoughts: Sequence[Body], calls: Sequence[Body]) -> list[Body]:
        """Return the blocks of an assistant's message in the order in which they came, as far as that is known.

        Args:
            message: With its text, and perhaps with the order.
            thoughts: Its thinking as blocks.
            calls: Its calls as blocks.
        """
        entries = [entry for part in message.parts if isinstance(part, Reasoning) for entry in self._entries(part)]
        text = message.text
        if entries and _fits(entries, len(text), len(thoughts), len(calls)):
            return list(self._laid_out(entries, text, thoughts, calls))
        # Somebody changed what was said, or nothing was out of order.
        kept: list[Body] = [dict(block) for entry in entries if isinstance(block := entry.get("block"), Mapping)]
        said = self._write_text(text, None)
        return [*thoughts, *kept, *([] if said is None else [said]), *calls]

    def _entries(self, part: Reasoning) -> Iterator[JSONObject]:
        if part.origin == self.origin and part.wire is not None and part.wire.get("type") == LAYOUT:
            found = part.wire.get("entries")
            if isinstance(found, Sequence) and not isinstance(found, str):
                yield from (entry for entry in found if isinstance(entry, Mapping))

    def _laid_out(
        self, entries: Sequence[JSONObject], text: str, thoughts: Sequence[Body], calls: Sequence[Body]
    ) -> Iterator[Body]:
        at = 0
        for entry in entries:
            block = entry.get("block")
            if isinstance(block, Mapping):
                yield dict(block)
            elif "thinking" in entry:
                yield thoughts[_count(entry, "thinking")]
            elif "call" in entry:
                yield calls[_count(entry, "call")]
            elif length := _count(entry, "text"):
                said = self._write_text(text[at : at + length], entry.get("citations"))
                at += length
                if said is not None:
                    yield said


def _fits(entries: Sequence[JSONObject], text: int, thoughts: int, calls: int) -> bool:
    return (
        sum(_count(entry, "text") for entry in entries) == text
        and [_count(entry, "thinking") for entry in entries if "thinking" in entry] == list(range(thoughts))
        and [_count(entry, "call") for entry in entries if "call" in entry] == list(range(calls))
    )


def _count(entry: Mapping[str, JSON], key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) else 0
