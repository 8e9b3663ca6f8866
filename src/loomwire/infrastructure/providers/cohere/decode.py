"""Reads answers of Cohere's chat v2, whole and streamed. One reader does both: a whole answer is one large delta.

Fields whose type a server may get wrong are declared `object` and ignored unless they are what they should be; a wrong
structure is a protocol error. Numbers point to TRAPS.md of the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.responses import Finish
from loomwire.infrastructure.providers.cohere.errors import COHERE_ERRORS
from loomwire.infrastructure.providers.cohere.extras import Extras
from loomwire.infrastructure.providers.cohere.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.calls.fragments import CallTracker, WireCall
from loomwire.infrastructure.providers.wire.errors import reported_error
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.tuned import AnswerReader

_DONE = b"[DONE]"
_FINISHES: Mapping[str, Finish] = {
    "COMPLETE": "stop",
    "STOP_SEQUENCE": "stop",
    "MAX_TOKENS": "length",
    "TOOL_CALL": "tool_calls",
    # Of the first API, which some gateways still pass on.
    "ERROR_LIMIT": "length",
    "ERROR_TOXIC": "content_filter",
}


class _Content(Struct, gc=False):
    type: object = None
    text: object = None
    thinking: object = None


class _Message(Struct, gc=False):
    content: _Content | list[_Content] | str | None = None
    tool_plan: object = None
    tool_calls: WireCall | list[WireCall] | None = None
    citations: object = None


class _Delta(Struct, gc=False):
    message: _Message | None = None
    finish_reason: object = None
    usage: object = None
    error: object = None
    error_type: object = None


class _Piece(Struct, gc=False):
    """An event, or a whole answer, or an error."""

    id: object = None
    type: object = None
    index: object = None
    delta: _Delta | None = None
    message: _Message | str | None = None
    finish_reason: object = None
    usage: object = None
    error: object = None
    error_type: object = None


_NO_DELTA = _Delta()
_PIECE = msgspec.json.Decoder(_Piece)


class CohereReader(AnswerReader):
    """Reads the events of a stream, or a whole answer, into an `Answer`.

    Args:
        answer: Collects what comes.
    """

    __slots__ = ("_answer", "_calls", "_extras", "_is_begun", "_is_unread")

    def __init__(self, answer: Answer) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._calls = CallTracker(answer)
        self._extras = Extras()
        self._is_begun = False
        self._is_unread = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if not data or self._answer.finished or data.startswith(_DONE):
            return ()  # [DONE] follows message-end, which is the end (4)
        if event == "error":
            raise self._error_in(data)
        piece = self._piece(data)
        if piece.message is not None:
            raise llm_error("protocol", "the stream says whole messages in place of their pieces")
        events: list[StreamEvent] = []
        delta = piece.delta or _NO_DELTA
        if delta.message is not None:
            self._read_message(delta.message, piece.index, events)
        if piece.type == "message-end" or delta.finish_reason is not None:
            self._read_end(delta, events)
            events += self._closed()
        return events

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        answer.forgive_cut("message-end", begun=self._is_begun)
        return self._closed()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        piece = self._piece(body)
        if not isinstance(piece.message, _Message):
            raise llm_error("protocol", "the answer has no message")
        events: list[StreamEvent] = []
        _tell_calls_apart(piece.message)
        self._read_message(piece.message, None, events)
        whole = _Delta(None, piece.finish_reason, piece.usage, piece.error, piece.error_type)
        self._read_end(whole, events)
        return [*events, *self._closed()]

    def _piece(self, data: bytes) -> _Piece:
        piece = read_json(data, _PIECE)
        # The error of an end that failed is read with the end.
        if isinstance(piece.message, str) or (piece.error and piece.finish_reason is None):
            raise self._error_in(data)
        # What is handed on from a small event is checked where it is parsed.
        if len(data) > SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        if not self._is_begun:
            self._begin(piece)
        return piece

    def _begin(self, piece: _Piece) -> None:
        self._is_begun = piece.delta is not None or piece.message is not None
        self._answer.note_names(piece.id, None)

    def _read_message(self, message: _Message, index: object, events: list[StreamEvent]) -> None:
        content = message.content
        if isinstance(content, _Content):
            self._read_content(content, index, events)
        elif isinstance(content, str):
            events += [self._answer.add_text(content)] if content else []
        elif content:
            for place, part in enumerate(content):
                self._read_content(part, place, events)
        if message.tool_plan:
            self._extras.add_plan(message.tool_plan)
        if message.tool_calls:
            self._read_calls(message.tool_calls, index, events)
        if message.citations:
            self._extras.add_citations(message.citations)

    def _read_content(self, content: _Content, index: object, events: list[StreamEvent]) -> None:
        if isinstance(content.text, str):
            if content.text:
                events.append(self._answer.add_text(content.text))
        elif isinstance(content.thinking, str):
            if content.thinking:
                self._extras.add_thinking(content.thinking, index)
                events.append(self._answer.add_reasoning(content.thinking))
        elif content.text is not None:
            raise llm_error("protocol", "the answer's content is no text")
        else:
            self._is_unread = True

    def _read_calls(self, calls: WireCall | list[WireCall], index: object, events: list[StreamEvent]) -> None:
        if isinstance(calls, list):
            for call in calls:
                self._calls.read(call, events)
            return
        # In a stream it is an object, and its index stands on the event (33).
        calls.index = index if calls.index is None else calls.index
        self._calls.read(calls, events)

    def _read_end(self, end: _Delta, events: list[StreamEvent]) -> None:
        word = end.finish_reason
        usage = read_usage(end.usage)
        if usage is not None:
            events.append(self._answer.set_usage(usage))
        if word in ("ERROR", "TIMEOUT") or end.error:
            raise self._failed(end)
        self._answer.note_finish(word, _FINISHES)

    def _error_in(self, data: bytes) -> LLMError:
        return reported_error(data, self._answer.config, COHERE_ERRORS)

    def _failed(self, end: _Delta) -> LLMError:
        if end.finish_reason == "TIMEOUT":
            return llm_error("gateway", "the provider took too long and broke its answer off")
        # The shape of an error's body, so that the same table reads it (53).
        return self._error_in(msgspec.json.encode({"message": end.error or "", "error_type": end.error_type}))

    def _closed(self) -> Sequence[StreamEvent]:
        self._calls.check()
        answer = self._answer
        if answer.finish_wire is None and not (answer.delivered or self._extras):
            raise llm_error("protocol", "the answer's message says nothing")
        if self._is_unread and not answer.delivered:
            raise llm_error("protocol", "the answer's content is of a kind that nobody knows")
        if not answer.finished:
            for item in self._extras.items():
                answer.keep_item(item)
        return answer.end()


def _tell_calls_apart(message: _Message) -> None:
    # Nothing is a fragment in a whole answer, whatever ids and indexes say.
    if isinstance(message.tool_calls, list):
        for place, call in enumerate(message.tool_calls):
            call.index = place
