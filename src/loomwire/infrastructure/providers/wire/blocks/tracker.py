"""The blocks of an answer while they come: what each becomes in the answer, and what of it must go back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Generic, TypeAlias, TypeVar

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.messages import Reasoning
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.wire.answer import Answer, PendingCall
from loomwire.infrastructure.providers.wire.blocks.layout import Layout
from loomwire.infrastructure.providers.wire.blocks.output_tool import OUTPUT_TOOL
from loomwire.infrastructure.providers.wire.calls.ids import fresh_id
from loomwire.infrastructure.providers.wire.calls.inputs import input_object
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.infrastructure.providers.wire.said import Said

MOST_BLOCKS = 4096
"""Blocks of one answer, and citations and results in them; the longest answers have some hundred."""

THINKING, TEXT, CALL, FURTHER = range(4)
"""Ranks of blocks: those that a message has parts for, in the order in which it holds them, and all others."""

Wire: TypeAlias = Mapping[str, JSON]


class Block:
    """One block of an answer.

    Attributes:
        kind: What the dialect calls it.
        rank: Of `THINKING` to `FURTHER`.
        wire: As its start said it.
        said: Its thinking, or the input of a tool that is not the caller's.
        size: Characters of its visible text.
        signature: Of its thinking.
        parts: Citations of its text, or what a tool of the server's gave.
        call: The caller's call that it is.
    """

    __slots__ = ("call", "kind", "parts", "rank", "said", "signature", "size", "wire")

    def __init__(self, kind: str, rank: int, wire: Wire) -> None:
        """Begin a block."""
        self.kind = kind
        self.rank = rank
        self.wire = wire
        self.said = Said()
        self.size = 0
        self.signature = ""
        self.parts: list[JSON] = []
        self.call: PendingCall | None = None


B = TypeVar("B", bound=Block)


class BlockTracker(ABC, Generic[B]):
    """All blocks of one answer, for dialects whose answers are made of such. Belongs to one task.

    Args:
        answer: What they are noted in.

    Attributes:
        layout: Keeps their order.
        answered_by_tool: The answer came as the input of `OUTPUT_TOOL`.
    """

    __slots__ = ("_all", "_answer", "_at", "_ids", "_is_mixed", "_parts", "_rank", "answered_by_tool")

    layout: ClassVar[Layout]

    def __init__(self, answer: Answer) -> None:
        """Hold nothing."""
        self._answer = answer
        self._all: list[B] = []
        self._at: dict[int, B] = {}
        self._ids: set[str] = set()
        self._parts = 0
        self._rank = THINKING
        self._is_mixed = False
        self.answered_by_tool = False

    @abstractmethod
    def thoughts(self, block: B) -> Iterable[Reasoning]:
        """Return what goes back of a block of thinking."""

    @abstractmethod
    def further(self, block: B) -> Wire | None:
        """Return a block that a message has no part for as it goes back; None when it cannot."""

    def add_text(self, block: B, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of visible text; anything else says nothing."""
        if isinstance(text, str) and text:
            block.size += len(text)
            events.append(self._answer.add_text(text))

    def add_thinking(self, block: B, text: object, events: list[StreamEvent]) -> None:
        """Note a piece of thinking; anything else says nothing."""
        if isinstance(text, str) and text:
            block.said.add(text)
            events.append(self._answer.add_reasoning(text))

    def add_part(self, block: B, part: JSON) -> None:
        """Note a citation, or a piece of what a tool of the server's gave, which must go back with the block.

        Raises:
            LLMProtocolError: There are more than `MOST_BLOCKS` (too_large).
        """
        self._parts += 1
        self._is_mixed = True
        if self._parts > MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} citations and results")
        block.parts.append(part)

    def close(self, events: list[StreamEvent]) -> None:  # noqa: ARG002
        """Note what must go back, and that an answer by `OUTPUT_TOOL` waits for no tool.

        Args:
            events: Gets what only the whole block says, where a dialect has such.
        """
        answer = self._answer
        for block in self._all:
            if block.rank == THINKING:
                for item in self.thoughts(block):
                    answer.keep_item(item)
        order = self.layout.kept(list(self._entries())) if self._is_mixed else None
        if order is not None:
            answer.keep_item(order)
        if answer.finish == "tool_calls" and self.answered_by_tool and not answer.calls:
            answer.finish = "stop"  # no tool of the caller's

    def _noted(self, index: object, block: B) -> B:
        """Note a block that begins.

        Raises:
            LLMProtocolError: There are more than `MOST_BLOCKS` (too_large).
        """
        if len(self._all) == MOST_BLOCKS:
            raise llm_error("too_large", f"the answer has more than {MOST_BLOCKS} blocks")
        self._all.append(block)
        if isinstance(index, int):
            self._at[index] = block
        self._is_mixed = self._is_mixed or block.rank < self._rank or block.rank == FURTHER
        self._rank = block.rank
        return block

    def _is_answer(self, name: str) -> bool:
        """Tell whether a call is of the tool that holds the answer.

        Raises:
            LLMProtocolError: It has no name, or the answer comes for the second time.
        """
        if not name:
            raise llm_error("protocol", "the answer has a tool call without a name")
        if name != OUTPUT_TOOL:
            return False
        if self.answered_by_tool:
            raise llm_error("protocol", "the answer was given twice, by two calls of the tool that holds it")
        self.answered_by_tool = True
        return True

    def _start_call(self, block: B, id: str, name: str, events: list[StreamEvent]) -> None:
        events.append(self._answer.start_call(fresh_id(id, self._ids), name))
        block.call = self._answer.calls[-1]

    def _input_of(self, block: B) -> JSONObject:
        """Return the input that was said for a tool of the server's."""
        raw = block.said.text()
        return input_object(parse_arguments(raw, self._answer.config.limits.json_depth), raw)

    def _entries(self) -> Iterator[JSONObject]:
        thoughts = 0
        for block in self._all:
            if block.rank == THINKING:
                for _ in self.thoughts(block):
                    yield {"thinking": thoughts}
                    thoughts += 1
            elif block.call is not None:
                yield {"call": block.call.index}
            elif block.rank != FURTHER:
                yield from _text_entry(block)
            elif (wire := self.further(block)) is not None:
                yield {"block": wire}


def text_of(value: JSON) -> str:
    """Return a text that came as JSON, or "" when it is none."""
    return value if isinstance(value, str) else ""


def _text_entry(block: Block) -> Iterator[JSONObject]:
    if block.parts:
        yield {"text": block.size, "citations": block.parts}
    elif block.size:
        yield {"text": block.size}
