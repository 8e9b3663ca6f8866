"""The blocks of an answer while they come: what each becomes in the answer, and what of it must go back."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, NO_JSON, JSONObject
from loomwire.infrastructure.providers.bedrock.layout import ORIGIN, layout_of, needs_layout
from loomwire.infrastructure.providers.bedrock.output import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.answer import Answer, PendingCall, made_up_id
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.infrastructure.providers.wire.said import Said

MOST_BLOCKS = 4096
"""Blocks, and further pieces of them, of one answer; the longest answers have some hundred."""

Wire: TypeAlias = Mapping[str, JSON]

_RANKS: Mapping[str, int] = {"thinking": 0, "text": 1, "call": 2}


class Block:
    """One block of an answer: thinking, text, call, or a further kind by its name on the wire."""

    __slots__ = ("call", "kind", "parts", "redacted", "said", "signature", "size", "wire")

    def __init__(self, kind: str, wire: Wire) -> None:
        """Begin a block."""
        self.kind = kind
        self.wire = wire
        self.said = Said()
        self.size = 0
        self.signature = ""
        self.redacted: list[str] = []
        # Citations of a text, or what a tool of the service's gave.
        self.parts: list[JSON] = []
        self.call: PendingCall | None = None


class Blocks:
    """All blocks of one answer. Belongs to one task.

    Args:
        answer: What they are noted in.

    Attributes:
        answered_by_tool: The answer came as the input of `OUTPUT_TOOL`.
    """

    __slots__ = ("_all", "_answer", "_at", "_ids", "_is_mixed", "_parts", "_rank", "answered_by_tool")

    def __init__(self, answer: Answer) -> None:
        """Hold nothing."""
        self._answer = answer
        self._all: list[Block] = []
        self._at: dict[int, Block] = {}
        self._ids: set[str] = set()
        self._parts = 0
        self._rank = 0
        self._is_mixed = False
        self.answered_by_tool = False

    def begin(self, index: object, kind: str, wire: Wire = NO_JSON) -> Block:
        """Note a block.

        Raises:
            LLMProtocolError: There are more than `MOST_BLOCKS` (too_large).
        """
        if len(self._all) == MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} blocks")
        block = Block(kind, wire)
        self._all.append(block)
        if isinstance(index, int):
            self._at[index] = block
        rank = _RANKS.get(kind, len(_RANKS))
        self._is_mixed = self._is_mixed or rank < self._rank or rank == len(_RANKS)
        self._rank = rank
        return block

    def of_kind(self, index: object, kind: str) -> Block:
        """Return the block of a kind that a piece belongs to; a new one when it is the first piece."""
        block = self.at(index)
        return block if block is not None and block.kind == kind else self.begin(index, kind)

    def at(self, index: object) -> Block | None:
        """Return the block at an index, the last one when a piece names none."""
        if isinstance(index, int):
            return self._at.get(index)
        return self._all[-1] if self._all else None

    def add_text(self, block: Block, text: str, events: list[StreamEvent]) -> None:
        """Note a piece of visible text."""
        if text:
            block.size += len(text)
            events.append(self._answer.add_text(text))

    def add_thinking(self, block: Block, text: str, events: list[StreamEvent]) -> None:
        """Note a piece of thinking."""
        if text:
            block.said.add(text)
            events.append(self._answer.add_reasoning(text))

    def add_part(self, block: Block, part: JSON) -> None:
        """Note a citation, or a piece of what a tool of the service's gave."""
        self._parts += 1
        self._is_mixed = True
        if self._parts > MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} citations and results")
        block.parts.append(part)

    def begin_call(self, index: object, wire: Wire, events: list[StreamEvent]) -> Block:
        """Note a tool call without its input: the caller's, the answer itself, or one of the service's own tools."""
        if wire.get("type") == "server_tool_use":
            return self.begin(index, "toolUse", wire)
        name, id_ = _text(wire.get("name")), _text(wire.get("toolUseId"))
        if not name:
            raise llm_error("protocol", "the answer has a tool call without a name")
        if name == OUTPUT_TOOL:
            if self.answered_by_tool:
                raise llm_error("protocol", "the answer was given twice, by two calls of the tool that holds it")
            self.answered_by_tool = True
            return self.begin(index, "text")
        block = self.begin(index, "call")
        if not id_ or id_ in self._ids:
            id_ = made_up_id()
        self._ids.add(id_)
        events.append(self._answer.start_call(id_, name))
        block.call = self._answer.calls[-1]
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

    def close(self) -> None:
        """Note what must go back."""
        for block in self._all:
            if block.kind == "thinking":
                for item in _thoughts(block):
                    self._answer.keep_item(item)
        if self._is_mixed:
            entries = list(self._entries())
            if needs_layout(entries):
                self._answer.keep_item(layout_of(entries))

    def _entries(self) -> Iterator[JSONObject]:
        thoughts = 0
        for block in self._all:
            if block.kind == "thinking":
                for _ in _thoughts(block):
                    yield {"thinking": thoughts}
                    thoughts += 1
            elif block.call is not None:
                yield {"call": block.call.index}
            elif block.kind == "text":
                if block.parts:
                    yield {"text": block.size, "citations": block.parts}
                elif block.size:
                    yield {"text": block.size}
            elif block.wire:
                yield {"block": self._further(block)}

    def _further(self, block: Block) -> Wire:
        if block.kind == "toolResult" and block.parts:
            return {block.kind: {**block.wire, "content": block.parts}}
        if block.kind == "toolUse" and block.said:
            raw = block.said.text()
            given = parse_arguments(raw, self._answer.config.limits.json_depth)
            return {block.kind: {**block.wire, "input": {"INVALID_JSON": raw} if given is None else given}}
        if block.kind == "toolUse":
            return {block.kind: {"input": {}, **block.wire}}
        return {block.kind: block.wire}


def _thoughts(block: Block) -> Iterator[Reasoning]:
    if block.redacted:
        yield Reasoning(redacted=_joined(block.redacted), origin=ORIGIN)
    if block.said or block.signature:
        yield Reasoning(block.said.text(), block.signature or None, origin=ORIGIN)


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


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else ""
