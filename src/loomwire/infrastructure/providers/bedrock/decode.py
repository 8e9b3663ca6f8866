"""Reads answers of Converse, whole and streamed: both say the same blocks, a stream in pieces.

Fields whose type some server may get wrong are declared `object` and ignored unless they are what they should be; a
wrong structure is a protocol error. Numbers point to TRAPS.md of the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.responses import Finish
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.bedrock.blocks import Block, Blocks, written
from loomwire.infrastructure.providers.bedrock.errors import converse_error
from loomwire.infrastructure.providers.bedrock.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.blocks.tracker import Wire
from loomwire.infrastructure.providers.wire.errors import small_body
from loomwire.infrastructure.providers.wire.exchange.headers import NO_HEADERS
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.tuned import AnswerReader
from loomwire.infrastructure.transport.framing.eventstream import ERROR, EXCEPTION

_FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


class _Input(Struct, gc=False):
    input: object = None


class _Thought(Struct, gc=False, rename="camel"):
    text: object = None
    signature: object = None
    redacted_content: object = None


class _Delta(Struct, gc=False, rename="camel"):
    text: object = None
    tool_use: _Input | None = None
    reasoning_content: _Thought | None = None
    citation: object = None
    tool_result: object = None


class _Piece(Struct, gc=False, rename="camel"):
    content_block_index: object = None
    delta: _Delta | None = None


class _Told(Struct, gc=False, rename="camel"):
    """Any other event, or a whole answer, or an error."""

    content_block_index: object = None
    start: object = None
    stop_reason: object = None
    usage: object = None
    output: object = None
    message: object = None
    loud: object = msgspec.field(name="Message", default=None)
    error: object = None

    @property
    def reports_error(self) -> bool:
        """Whether it says what an error says."""
        said = (self.message, self.loud)
        return bool(self.error) or any(isinstance(text, str) and text for text in said)


_PIECE = msgspec.json.Decoder(_Piece)
_TOLD = msgspec.json.Decoder(_Told)


class ConverseReader(AnswerReader):
    """Reads events of a stream, or a whole answer, into an `Answer`.

    Args:
        answer: Collects what comes.
    """

    __slots__ = ("_answer", "_blocks", "_is_begun", "_is_stopped")

    def __init__(self, answer: Answer) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._blocks = Blocks(answer)
        self._is_begun = False
        self._is_stopped = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if event == "contentBlockDelta":
            events: list[StreamEvent] = []
            piece = read_json(data, _PIECE)
            delta = piece.delta
            if delta is None:
                raise llm_error("protocol", "the stream has a piece of a block that holds nothing")
            # A small piece holds texts only; what else is handed on is checked.
            if len(data) > SMALL or delta.citation is not None or delta.tool_result is not None:
                self._check_depth(data)
            self._is_begun = True
            self._read_delta(piece.content_block_index, delta, events)
            return events
        if event.startswith((EXCEPTION, ERROR)):
            raise self._reported(data, event.partition(":")[2])
        return self._other(event, data)

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        # Usage, which comes last, may be missing; the reason to stop is what says that the answer is whole.
        if not self._is_stopped:
            answer.forgive_cut("messageStop", begun=self._is_begun)
        return self._closed()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        told = read_json(body, _TOLD)
        self._check_depth(body)
        content = _object(_object(told.output).get("message")).get("content")
        if not isinstance(content, list):
            raise self._no_content(told, body)
        events: list[StreamEvent] = []
        read = [block for block in map(_object, content) if block]
        if content and not read:
            raise llm_error("protocol", "the answer's content is of a kind that nobody knows")
        for block in read:
            self._read_block(block, events)
        self._read_usage(told.usage, events)
        self._answer.note_finish(told.stop_reason, _FINISHES)
        return [*events, *self._closed()]

    def _no_content(self, told: _Told, body: bytes) -> LLMError:
        if told.reports_error:
            return self._reported(body, "")
        return llm_error("protocol", "the answer has no content")

    def _other(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if self._answer.finished or not data:
            return ()
        told = read_json(data, _TOLD)
        self._check_depth(data)
        if told.reports_error:
            raise self._reported(data, "")
        self._is_begun = True
        events: list[StreamEvent] = []
        if event == "contentBlockStart":
            self._read_start(told.content_block_index, _object(told.start), events)
        elif event == "messageStop":
            self._is_stopped = True
            self._answer.note_finish(told.stop_reason, _FINISHES)
        elif event == "metadata":
            self._read_usage(told.usage, events)
            if self._is_stopped:
                events += self._closed()
        return events

    def _read_delta(self, index: object, delta: _Delta, events: list[StreamEvent]) -> None:
        blocks = self._blocks
        if isinstance(delta.text, str):
            blocks.add_text(blocks.of_kind(index, "text"), delta.text, events)
        elif delta.tool_use is not None:
            given = delta.tool_use.input
            blocks.add_input(blocks.at(index), given if isinstance(given, str) else "", events)
        elif delta.reasoning_content is not None:
            self._read_thought(blocks.of_kind(index, "thinking"), delta.reasoning_content, events)
        elif isinstance(delta.citation, Mapping):
            blocks.add_part(blocks.of_kind(index, "text"), delta.citation)
        elif isinstance(delta.tool_result, list):
            block = blocks.of_kind(index, "toolResult")
            for part in delta.tool_result:
                blocks.add_part(block, part)
        elif delta.text is not None:
            raise llm_error("protocol", "the answer's content is no text")

    def _read_thought(self, block: Block, thought: _Thought, events: list[StreamEvent]) -> None:
        if isinstance(thought.text, str):
            self._blocks.add_thinking(block, thought.text, events)
        if isinstance(thought.signature, str):
            block.signature += thought.signature
        if isinstance(thought.redacted_content, str) and thought.redacted_content:
            block.redacted.append(thought.redacted_content)

    def _read_start(self, index: object, start: Wire, events: list[StreamEvent]) -> None:
        for kind, wire in start.items():
            if isinstance(wire, Mapping):
                if kind == "toolUse":
                    self._blocks.begin_call(index, wire, events)
                else:
                    self._blocks.begin(index, kind, wire)

    def _read_block(self, block: Wire, events: list[StreamEvent]) -> None:
        """Read a block of a whole answer, which holds one field."""
        for kind, value in block.items():
            if kind == "text":
                self._read_text(self._blocks.begin(None, "text"), value, events)
            elif kind == "toolUse":
                wire = _object(value)
                begun = self._blocks.begin_call(None, wire, events)
                if begun.kind != "toolUse":
                    self._blocks.add_input(begun, written(wire.get("input", {})), events)
            elif kind == "reasoningContent":
                self._read_reasoning(_object(value), events)
            elif kind == "citationsContent":
                self._read_cited(_object(value), events)
            elif isinstance(value, Mapping):
                self._blocks.begin(None, kind, value)

    def _read_text(self, block: Block, text: object, events: list[StreamEvent]) -> None:
        if not isinstance(text, str):
            raise llm_error("protocol", "the answer's content is no text")
        self._blocks.add_text(block, text, events)

    def _read_reasoning(self, wire: Wire, events: list[StreamEvent]) -> None:
        said = _object(wire.get("reasoningText"))
        thought = _Thought(said.get("text"), said.get("signature"), wire.get("redactedContent"))
        self._read_thought(self._blocks.begin(None, "thinking"), thought, events)

    def _read_cited(self, wire: Wire, events: list[StreamEvent]) -> None:
        block = self._blocks.begin(None, "text")
        for part in _list(wire.get("content")):
            self._read_text(block, _object(part).get("text", ""), events)
        for citation in _list(wire.get("citations")):
            self._blocks.add_part(block, citation)

    def _read_usage(self, raw: object, events: list[StreamEvent]) -> None:
        usage = read_usage(raw)
        if usage is not None:
            events.append(self._answer.set_usage(usage))

    def _closed(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        events: list[StreamEvent] = []
        self._blocks.close(events)
        if answer.finish_wire is None and not answer.delivered:
            raise llm_error("protocol", "the answer holds nothing")
        return [*events, *answer.end()]

    def _reported(self, data: bytes, kind: str) -> LLMError:
        config = self._answer.config
        return converse_error(200, NO_HEADERS, small_body(data, config), config, kind)

    def _check_depth(self, data: bytes) -> None:
        check_depth(data, self._answer.config.limits.json_depth)


_EMPTY: Wire = {}


def _object(value: object) -> Wire:
    return value if isinstance(value, dict) else _EMPTY


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, list) else ()
