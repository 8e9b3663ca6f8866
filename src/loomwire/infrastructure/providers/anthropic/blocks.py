"""The blocks of an answer of the messages dialect while they come."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec
from typing_extensions import override

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.anthropic.layout import LAYOUT, ORIGIN
from loomwire.infrastructure.providers.wire.blocks import tracker
from loomwire.infrastructure.providers.wire.blocks.tracker import (
    CALL,
    FURTHER,
    TEXT,
    THINKING,
    BlockTracker,
    Wire,
    text_of,
)

RANKS: Mapping[str, int] = {"thinking": THINKING, "redacted_thinking": THINKING, "text": TEXT, "tool_use": CALL}
"""Kinds of blocks that a message has parts for."""


class Block(tracker.Block):
    """One block of an answer.

    Attributes:
        given: The input that its start said.
        lost: A piece of it cannot be read, so that it cannot go back.
    """

    __slots__ = ("given", "lost")

    def __init__(self, kind: str, wire: Wire) -> None:
        """Begin a block as its start says it."""
        super().__init__(kind, RANKS.get(kind, FURTHER), wire)
        self.given = wire.get("input")
        self.lost = False


class Blocks(BlockTracker[Block]):
    """All blocks of one answer. Belongs to one task."""

    __slots__ = ()

    layout = LAYOUT

    def start(self, index: object, wire: Wire, events: list[StreamEvent]) -> None:
        """Note a block, with all that its start already says."""
        block = self._noted(index, Block(text_of(wire.get("type")), wire))
        if block.kind == "text":
            self.add_text(block, wire.get("text"), events)
            for citation in _list(wire.get("citations")):
                self.add_part(block, citation)
        elif block.kind == "thinking":
            self.add_thinking(block, wire.get("thinking"), events)
            block.signature = text_of(wire.get("signature"))
        elif block.kind == "tool_use":
            name = text_of(wire.get("name"))
            if not self._is_answer(name):
                self._start_call(block, text_of(wire.get("id")), name, events)

    def at(self, index: object) -> Block | None:
        """Return the block that a piece belongs to: the one at its index, else the last."""
        found = self._at.get(index) if isinstance(index, int) else None
        return found if found is not None else (self._all[-1] if self._all else None)

    def piece_at(self, index: object, kind: str) -> Block:
        """Return the block of a kind that a piece belongs to; a new one when nobody began it."""
        block = self.at(index)
        if block is None or block.kind != kind:
            self.start(index, {"type": kind}, [])
            block = self._all[-1]
        return block

    def add_input(self, block: Block | None, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of a tool's input.

        Raises:
            LLMProtocolError: It belongs to no tool.
        """
        if not isinstance(text, str) or not text:
            return
        if block is None or block.rank in (THINKING, TEXT):
            raise llm_error("protocol", "the stream has arguments of a call that nobody began")
        block.given = None
        if block.call is not None:
            events.append(self._answer.add_arguments(block.call.index, text))
        elif block.kind == "tool_use":
            self.add_text(block, text, events)
        else:
            block.said.add(text)

    @override
    def close(self, events: list[StreamEvent]) -> None:
        for block in self._all:
            # An object here is the whole input; in a stream the pieces take its place (TRAPS 31).
            if block.kind == "tool_use" and block.given not in (None, {}):
                given = block.given
                self.add_input(block, given if isinstance(given, str) else msgspec.json.encode(given).decode(), events)
        super().close(events)

    @override
    def thoughts(self, block: Block) -> Iterable[Reasoning]:
        if block.kind == "redacted_thinking":
            return (Reasoning(redacted=text_of(block.wire.get("data")), origin=ORIGIN),)
        return (Reasoning(block.said.text(), block.signature, origin=ORIGIN),)

    @override
    def further(self, block: Block) -> Wire | None:
        if block.lost:
            return None
        return {**block.wire, "input": self._input_of(block)} if block.said else block.wire


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else ()
