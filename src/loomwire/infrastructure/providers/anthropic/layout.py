"""Keeps the order of an answer's blocks where a message cannot: thinking between calls, server tools between texts.

A message holds thinking, text and calls, each in order but not among each other. Where the vendor's order is another,
or blocks are among them that a message has no part for, one more `Reasoning` carries the order in its `wire`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from loomwire.domain.messages import Message, Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.wire.request_body import Body

ORIGIN = "anthropic"
LAYOUT = "loomwire_layout"
"""The type of the `wire` that holds an order."""


def layout_of(entries: Sequence[JSONObject]) -> Reasoning:
    """Return the part that carries an order home.

    Args:
        entries: `{"thinking": n}`, `{"text": characters, "citations": [...]}`, `{"call": n}`, or `{"block": {...}}` for
            what has no part of its own.
    """
    return Reasoning(wire={"type": LAYOUT, "entries": list(entries)}, origin=ORIGIN)


def needs_layout(entries: Sequence[JSONObject]) -> bool:
    """Tell whether an answer's order is another than thinking, text, calls, or says more than these."""
    ranks = [("thinking", "text", "call", "block").index(next(iter(entry))) for entry in entries]
    return ranks != sorted(ranks) or 3 in ranks or any("citations" in entry for entry in entries)


def arranged(message: Message, thoughts: Sequence[Body], calls: Sequence[Body]) -> list[Body]:
    """Return the blocks of an assistant's message in the order in which they came, as far as that is known.

    Args:
        message: With its text, and perhaps with the order.
        thoughts: Its thinking as blocks.
        calls: Its calls as blocks.
    """
    entries = [entry for part in message.parts if isinstance(part, Reasoning) for entry in _entries(part)]
    text = message.text
    if _fits(entries, len(text), len(thoughts), len(calls)):
        return list(_laid_out(entries, text, thoughts, calls))
    # Somebody changed what was said, or nothing was out of order.
    kept: list[Body] = [dict(block) for entry in entries if isinstance(block := entry.get("block"), Mapping)]
    said: list[Body] = [{"type": "text", "text": text}] if text else []
    return [*thoughts, *kept, *said, *calls]


def _entries(part: Reasoning) -> Iterator[JSONObject]:
    if part.origin == ORIGIN and part.wire is not None and part.wire.get("type") == LAYOUT:
        found = part.wire.get("entries")
        if isinstance(found, Sequence) and not isinstance(found, str):
            yield from (entry for entry in found if isinstance(entry, Mapping))


def _fits(entries: Sequence[JSONObject], text: int, thoughts: int, calls: int) -> bool:
    lengths = [_count(entry, "text") for entry in entries]
    return (
        bool(entries)
        and sum(lengths) == text
        and [_count(entry, "thinking") for entry in entries if "thinking" in entry] == list(range(thoughts))
        and [_count(entry, "call") for entry in entries if "call" in entry] == list(range(calls))
    )


def _laid_out(
    entries: Sequence[JSONObject], text: str, thoughts: Sequence[Body], calls: Sequence[Body]
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
            said: Body = {"type": "text", "text": text[at : at + length]}
            at += length
            yield {**said, "citations": entry["citations"]} if "citations" in entry else said


def _count(entry: Mapping[str, JSON], key: str) -> int:
    value = entry.get(key)
    return value if isinstance(value, int) else 0


def is_layout(part: Reasoning) -> bool:
    """Tell whether a part carries an order and no thinking."""
    return part.wire is not None and part.wire.get("type") == LAYOUT
