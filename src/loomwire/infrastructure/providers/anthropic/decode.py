"""Reads answers of the messages dialect, whole and streamed: both say the same blocks, a stream in pieces.

Fields whose type some server gets wrong are declared `object` and ignored unless they are what they should be; a
wrong structure is a protocol error. What each line is for stands in TRAPS.md of the recordings; numbers point there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.responses import Finish
from loomwire.infrastructure.providers.anthropic.blocks import Block, Blocks
from loomwire.infrastructure.providers.anthropic.errors import messages_error
from loomwire.infrastructure.providers.anthropic.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.blocks.tracker import Wire
from loomwire.infrastructure.providers.wire.errors import small_body
from loomwire.infrastructure.providers.wire.exchange.headers import NO_HEADERS
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.tuned import AnswerReader

_FINISHES: Mapping[str, Finish] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
}


class _Delta(Struct, gc=False):
    text: object = None
    partial_json: object = None
    thinking: object = None
    signature: object = None
    citation: object = None
    stop_reason: object = None


class _Chunk(Struct, gc=False):
    kind: object = msgspec.field(name="type", default=None)
    index: object = None
    delta: _Delta | None = None
    content_block: object = None
    message: object = None
    usage: object = None
    error: object = None
    detail: object = None
    id: object = None
    model: object = None
    content: object = None
    stop_reason: object = None


_CHUNK = msgspec.json.Decoder(_Chunk)


class MessagesReader(AnswerReader):
    """Reads events of a stream, or a whole answer, into an `Answer`.

    Args:
        answer: Collects what comes.
    """

    __slots__ = ("_answer", "_blocks", "_is_begun", "_usage")

    def __init__(self, answer: Answer) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._blocks = Blocks(answer)
        self._usage: dict[str, object] = {}
        self._is_begun = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if event == "error":
            raise self._reported(data)
        if not data:
            return ()
        chunk = self._chunk(data)
        events: list[StreamEvent] = []
        if chunk.kind == "content_block_delta":
            self._read_delta(chunk, events)
        elif chunk.kind == "message_stop":
            return self._stopped()
        else:
            self._read_other(chunk, events)
        return events

    def _read_other(self, chunk: _Chunk, events: list[StreamEvent]) -> None:
        kind = chunk.kind
        if kind == "content_block_start":
            self._read_start(chunk, events)
        elif kind == "message_delta":
            self._read_usage(chunk.usage, events)
            if chunk.delta is not None:
                self._answer.note_finish(chunk.delta.stop_reason, _FINISHES)
        elif kind == "message_start":
            self._read_message(chunk.message, events)
        elif kind == "message":
            # The whole answer as one event; message_stop or the end of the body close it.
            self._read_whole(chunk, events)

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        if answer.finish_wire is None:
            answer.forgive_cut("a stop reason and without message_stop", begun=self._is_begun)
        return self._closed()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        chunk = self._chunk(body)
        events: list[StreamEvent] = []
        self._read_whole(chunk, events)
        return [*events, *self._stopped()]

    def _chunk(self, data: bytes) -> _Chunk:
        chunk = read_json(data, _CHUNK)
        if chunk.error or chunk.kind == "error" or chunk.detail:
            raise self._reported(data)
        if isinstance(chunk.message, str):
            raise self._reported(data)  # a gateway's word, and no part of an answer
        # A small piece holds texts only; what else is handed on is checked.
        if chunk.delta is None or len(data) > SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        self._is_begun = True
        return chunk

    def _read_delta(self, chunk: _Chunk, events: list[StreamEvent]) -> None:
        delta, blocks = chunk.delta, self._blocks
        if delta is None:
            raise llm_error("protocol", "the stream has a piece of a block that holds nothing")
        if delta.text is not None:
            blocks.add_text(blocks.piece_at(chunk.index, "text"), delta.text, events)
        elif delta.partial_json is not None:
            blocks.add_input(blocks.at(chunk.index), delta.partial_json, events)
        elif delta.thinking is not None:
            blocks.add_thinking(blocks.piece_at(chunk.index, "thinking"), delta.thinking, events)
        else:
            self._read_rest(blocks.at(chunk.index), delta)

    def _read_rest(self, block: Block | None, delta: _Delta) -> None:
        if block is None:
            return
        if isinstance(delta.signature, str):
            block.signature += delta.signature
        elif isinstance(delta.citation, Mapping):
            self._blocks.add_part(block, delta.citation)
        elif delta.citation is None and delta.signature is None:
            # A piece of a kind that is not known: what the block would be without it, it never was.
            block.lost = True

    def _read_start(self, chunk: _Chunk, events: list[StreamEvent]) -> None:
        block = _object(chunk.content_block)
        if block is None:
            raise llm_error("protocol", "the stream has a block that holds nothing")
        self._blocks.start(chunk.index, block, events)

    def _read_message(self, message: object, events: list[StreamEvent]) -> None:
        told = _object(message)
        if told is None:
            return
        self._answer.note_names(told.get("id"), told.get("model"))
        self._read_usage(told.get("usage"), events)
        self._answer.note_finish(told.get("stop_reason"), _FINISHES)

    def _read_whole(self, chunk: _Chunk, events: list[StreamEvent]) -> None:
        content = chunk.content
        if isinstance(content, str):
            content = [{"type": "text", "text": content}]
        if not isinstance(content, list):
            raise llm_error("protocol", "the answer has no content")
        if self._answer.delivered:
            raise llm_error("protocol", "the stream says whole messages in place of their pieces")
        self._answer.note_names(chunk.id, chunk.model)
        read = [block for block in map(_object, content) if block is not None]
        if content and not read:
            raise llm_error("protocol", "the answer's content is of a kind that nobody knows")
        for block in read:
            self._blocks.start(None, block, events)
        self._read_usage(chunk.usage, events)
        self._answer.note_finish(chunk.stop_reason, _FINISHES)

    def _read_usage(self, raw: object, events: list[StreamEvent]) -> None:
        if not isinstance(raw, dict):
            return
        # Cumulative, so that the last number holds and none is added (41); null says nothing.
        self._usage.update((key, value) for key, value in raw.items() if value is not None)
        usage = read_usage(self._usage)
        if usage is not None and usage != self._answer.usage:
            events.append(self._answer.set_usage(usage))

    def _stopped(self) -> Sequence[StreamEvent]:
        if self._answer.finish_wire is None and not self._answer.delivered:
            raise llm_error("protocol", "the answer holds nothing")
        return self._closed()

    def _closed(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        events: list[StreamEvent] = []
        self._blocks.close(events)
        return [*events, *answer.end()]

    def _reported(self, data: bytes) -> LLMError:
        config = self._answer.config
        return messages_error(200, NO_HEADERS, small_body(data, config), config)


def _object(value: object) -> Wire | None:
    return value if isinstance(value, dict) else None
