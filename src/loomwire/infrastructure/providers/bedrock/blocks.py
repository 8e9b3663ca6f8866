"""The blocks of an answer of Converse while they come."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from typing_extensions import override

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, NO_JSON
from loomwire.infrastructure.providers.bedrock.layout import LAYOUT, ORIGIN
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

_RANKS: Mapping[str, int] = {"thinking": THINKING, "text": TEXT, "call": CALL}


class Block(tracker.Block):
    """One block of an answer: thinking, text, call, or a further kind by its name on the wire.

    Attributes:
        redacted: Thinking that the service keeps to itself, in pieces.
    """

    __slots__ = ("redacted",)

    def __init__(self, kind: str, wire: Wire) -> None:
        """Begin a block."""
        super().__init__(kind, _RANKS.get(kind, FURTHER), wire)
        self.redacted: list[str] = []


class Blocks(BlockTracker[Block]):
    """All blocks of one answer. Belongs to one task."""

    __slots__ = ()

    layout = LAYOUT

    def begin(self, index: object, kind: str, wire: Wire = NO_JSON) -> Block:
        """Note a block.

        Raises:
            LLMProtocolError: There are too many (too_large).
        """
        return self._noted(index, Block(kind, wire))

    def of_kind(self, index: object, kind: str) -> Block:
        """Return the block of a kind that a piece belongs to; a new one when it is the first piece."""
        block = self.at(index)
        return block if block is not None and block.kind == kind else self.begin(index, kind)

    def at(self, index: object) -> Block | None:
        """Return the block at an index, the last one when a piece names none."""
        if isinstance(index, int):
            return self._at.get(index)
        return self._all[-1] if self._all else None

    def begin_call(self, index: object, wire: Wire, events: list[StreamEvent]) -> Block:
        """Note a tool call without its input: the caller's, the answer itself, or one of the service's own tools."""
        if wire.get("type") == "server_tool_use":
            return self.begin(index, "toolUse", wire)
        name = text_of(wire.get("name"))
        if self._is_answer(name):
            return self.begin(index, "text")
        block = self.begin(index, "call")
        self._start_call(block, text_of(wire.get("toolUseId")), name, events)
        return block

    def add_input(self, block: Block | None, text: str, events: list[StreamEvent]) -> None:
        """Note a piece of a call's input.

        Raises:
            LLMProtocolError: It belongs to no call.
        """
        if block is None or block.kind == "thinking":
            raise llm_error("protocol", "the stream has arguments of a call that nobody began")
        if not text:
            return
        if block.call is not None:
            events.append(self._answer.add_arguments(block.call.index, text))
        elif block.kind == "text" and self.answered_by_tool:
            self.add_text(block, text, events)
        elif block.kind == "toolUse":
            block.said.add(text)
        else:
            raise llm_error("protocol", "the stream has arguments of a call that nobody began")

    @override
    def thoughts(self, block: Block) -> Iterator[Reasoning]:
        if block.redacted:
            yield Reasoning(redacted=_joined(block.redacted), origin=ORIGIN)
        if block.said or block.signature:
            yield Reasoning(block.said.text(), block.signature or None, origin=ORIGIN)

    @override
    def further(self, block: Block) -> Wire | None:
        if not block.wire:
            return None
        if block.kind == "toolResult" and block.parts:
            return {block.kind: {**block.wire, "content": block.parts}}
        if block.kind == "toolUse":
            given = {**block.wire, "input": self._input_of(block)} if block.said else {"input": {}, **block.wire}
            return {block.kind: given}
        return {block.kind: block.wire}


def _joined(pieces: Sequence[str]) -> str:
    if len(pieces) == 1:
        return pieces[0]
    try:
        # Each piece is bytes in base64 of its own.
        return b64encode(b"".join(map(b64decode, pieces))).decode()
    except ValueError:
        return "".join(pieces)


def written(given: JSON) -> str:
    """Return the input of a whole call as text."""
    return given if isinstance(given, str) else msgspec.json.encode(given).decode()
