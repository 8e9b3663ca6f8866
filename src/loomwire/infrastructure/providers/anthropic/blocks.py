"""The blocks of an answer while they come: what each becomes in the answer, and what of it must go back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.anthropic.layout import ORIGIN, layout_of, needs_layout
from loomwire.infrastructure.providers.anthropic.output import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.answer import Answer, PendingCall, made_up_id
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.infrastructure.providers.wire.said import Said

MOST_BLOCKS = 4096
"""Blocks and citations of one answer; the longest answers have some hundred."""

Wire: TypeAlias = Mapping[str, JSON]

RANKS: Mapping[str, int] = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
"""Kinds of blocks that a message has parts for, in the order in which it holds them."""

_THOUGHTS = frozenset({"thinking", "redacted_thinking"})


class Block:
    """One block of an answer."""

    __slots__ = ("call", "citations", "given", "kind", "lost", "said", "signature", "size", "wire")

    def __init__(self, kind: str, wire: Wire) -> None:
        """Begin a block as its start says it."""
        self.kind = kind
        self.wire = wire
        self.said = Said()
        self.size = 0
        self.signature = ""
        self.citations: list[JSON] = []
        self.call: PendingCall | None = None
        self.given = wire.get("input")
        self.lost = False


class Blocks:
    """All blocks of one answer. Belongs to one task.

    Args:
        answer: What they are noted in.

    Attributes:
        answered_by_tool: The answer came as the input of `OUTPUT_TOOL`.
    """

    __slots__ = ("_all", "_answer", "_at", "_citations", "_ids", "_is_mixed", "_rank", "answered_by_tool")

    def __init__(self, answer: Answer) -> None:
        """Hold nothing."""
        self._answer = answer
        self._all: list[Block] = []
        self._at: dict[int, Block] = {}
        self._ids: set[str] = set()
        self._citations = 0
        self._rank = 0
        self._is_mixed = False
        self.answered_by_tool = False

    def start(self, index: object, wire: Wire, events: list[StreamEvent]) -> None:
        """Note a block, with all that its start already says."""
        if len(self._all) == MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} blocks")
        kind = wire.get("type")
        block = Block(kind if isinstance(kind, str) else "", wire)
        self._all.append(block)
        if isinstance(index, int):
            self._at[index] = block
        rank = RANKS.get(block.kind, len(RANKS))
        self._is_mixed = self._is_mixed or rank < self._rank or rank == len(RANKS)
        self._rank = rank
        self._read_start(block, wire, events)

    def _read_start(self, block: Block, wire: Wire, events: list[StreamEvent]) -> None:
        if block.kind == "text":
            self.add_text(block, wire.get("text"), events)
            for citation in _list(wire.get("citations")):
                self.add_citation(block, citation)
        elif block.kind == "thinking":
            self.add_thinking(block, wire.get("thinking"), events)
            block.signature = _text(wire.get("signature"))
        elif block.kind == "tool_use":
            self._start_call(block, wire, events)

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

    def add_text(self, block: Block, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of visible text."""
        if isinstance(text, str) and text:
            block.size += len(text)
            events.append(self._answer.add_text(text))

    def add_thinking(self, block: Block, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of thinking."""
        if isinstance(text, str) and text:
            block.said.add(text)
            events.append(self._answer.add_reasoning(text))

    def add_citation(self, block: Block, citation: JSON) -> None:
        """Note where a text comes from, which must go back with it."""
        self._citations += 1
        self._is_mixed = True
        if self._citations > MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} citations")
        block.citations.append(citation)

    def add_input(self, block: Block | None, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of a tool's input.

        Raises:
            LLMProtocolError: It belongs to no tool.
        """
        if not isinstance(text, str) or not text:
            return
        if block is None or block.kind in ("text", "thinking", "redacted_thinking"):
            raise llm_error("protocol", "the stream has arguments of a call that nobody began")
        block.given = None
        if block.call is not None:
            events.append(self._answer.add_arguments(block.call.index, text))
        elif block.kind == "tool_use":
            self.add_text(block, text, events)
        else:
            block.said.add(text)

    def close(self, events: list[StreamEvent]) -> None:
        """Note what only the starts said, and what must go back."""
        for block in self._all:
            # An object here is the whole input; in a stream the pieces take its place (TRAPS 31).
            if block.kind == "tool_use" and block.given not in (None, {}):
                given = block.given
                self.add_input(block, given if isinstance(given, str) else msgspec.json.encode(given).decode(), events)
            elif block.kind in _THOUGHTS:
                self._answer.keep_item(_thought(block))
        if self._is_mixed:
            entries = list(self._entries())
            if needs_layout(entries):
                self._answer.keep_item(layout_of(entries))

    def _start_call(self, block: Block, wire: Wire, events: list[StreamEvent]) -> None:
        name, id_ = _text(wire.get("name")), _text(wire.get("id"))
        if not name:
            raise llm_error("protocol", "the answer has a tool call without a name")
        if name == OUTPUT_TOOL:
            if self.answered_by_tool:
                raise llm_error("protocol", "the answer was given twice, by two calls of the tool that holds it")
            self.answered_by_tool = True
            return
        if not id_ or id_ in self._ids:
            id_ = made_up_id()
        self._ids.add(id_)
        events.append(self._answer.start_call(id_, name))
        block.call = self._answer.calls[-1]

    def _entries(self) -> Iterator[JSONObject]:
        thoughts = 0
        for block in self._all:
            if block.kind in _THOUGHTS:
                yield {"thinking": thoughts}
                thoughts += 1
            elif block.call is not None:
                yield {"call": block.call.index}
            elif block.kind in ("text", "tool_use"):
                yield from _text_entry(block)
            elif not block.lost:
                yield {"block": self._server_block(block)}

    def _server_block(self, block: Block) -> Wire:
        if not block.said:
            return block.wire
        raw = block.said.text()
        given = parse_arguments(raw, self._answer.config.limits.json_depth)
        return {**block.wire, "input": {"INVALID_JSON": raw} if given is None else given}


def _text_entry(block: Block) -> Iterator[JSONObject]:
    if block.citations:
        yield {"text": block.size, "citations": block.citations}
    elif block.size:
        yield {"text": block.size}


def _thought(block: Block) -> Reasoning:
    if block.kind == "redacted_thinking":
        return Reasoning(redacted=_text(block.wire.get("data")), origin=ORIGIN)
    return Reasoning(block.said.text(), block.signature, origin=ORIGIN)


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else ()
