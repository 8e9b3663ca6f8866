"""Reads answers of Ollama's chat, whole and streamed: a whole answer is a stream of one line.

Fields whose type a server may get wrong are declared `object` and ignored unless they are what they should be; a wrong
structure is a protocol error. Numbers point to TRAPS.md of the recordings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.responses import Finish
from loomwire.infrastructure.providers.ollama.errors import OLLAMA_ERRORS
from loomwire.infrastructure.providers.ollama.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.calls.ids import fresh_id
from loomwire.infrastructure.providers.wire.errors import reported_error
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.tuned import AnswerReader

_FINISHES: Mapping[str, Finish] = {"stop": "stop", "length": "length"}


class _Function(Struct, gc=False):
    name: object = None
    arguments: object = None


class _Call(Struct, gc=False):
    id: object = None
    function: _Function | None = None


class _Message(Struct, gc=False):
    content: object = None
    thinking: object = None
    tool_calls: list[_Call] | None = None


class _Line(Struct, gc=False):
    model: object = None
    message: _Message | None = None
    done: object = None
    done_reason: object = None
    prompt_eval_count: object = None
    eval_count: object = None
    error: object = None


_LINE = msgspec.json.Decoder(_Line)


class OllamaReader(AnswerReader):
    """Reads the lines of a stream, or a whole answer, into an `Answer`.

    Args:
        answer: Collects what comes.
    """

    __slots__ = ("_answer", "_ids", "_is_begun")

    def __init__(self, answer: Answer) -> None:
        """Begin before the first line."""
        self._answer = answer
        self._ids: set[str] = set()
        self._is_begun = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        return () if self._answer.finished else self._read(self._line(data))

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        answer.forgive_cut("done", begun=self._is_begun)
        return answer.end()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        events = self._read(self._line(body))
        if not self._answer.finished:
            raise llm_error("protocol", "the answer does not say that it is done")
        return events

    def _line(self, data: bytes) -> _Line:
        line = read_json(data, _LINE)
        if line.error:
            raise reported_error(data, self._answer.config, OLLAMA_ERRORS)
        if line.message is None and line.done is not True:
            raise llm_error("protocol", "the answer has no message")
        # What is handed on from a small line is checked where it is parsed.
        if len(data) > SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        if not self._is_begun:
            self._is_begun = True
            self._answer.note_names(None, line.model)
        return line

    def _read(self, line: _Line) -> Sequence[StreamEvent]:
        events: list[StreamEvent] = []
        message, answer = line.message, self._answer
        if message is not None:
            # Before the end, whose line may hold the last text.
            if isinstance(message.thinking, str) and message.thinking:
                events.append(answer.add_reasoning(message.thinking))
            content = message.content
            if content is not None and content != "":
                events.append(answer.add_text(_content(content)))
            for call in message.tool_calls or ():
                self._read_call(call, events)
        if line.done is True:
            self._read_end(line, events)
            events += answer.end()
        return events

    def _read_call(self, call: _Call, events: list[StreamEvent]) -> None:
        # Every entry is a call of its own with whole arguments, whatever ids and indexes say (28).
        name = call.function.name if call.function is not None else None
        if call.function is None or not isinstance(name, str) or not name:
            raise llm_error("protocol", "the answer has a tool call without a name")
        own = fresh_id(call.id if isinstance(call.id, str) else "", self._ids)
        events.append(self._answer.start_call(own, name))
        arguments = _arguments(call.function.arguments)
        if arguments:
            events.append(self._answer.add_arguments(len(self._answer.calls) - 1, arguments))

    def _read_end(self, line: _Line, events: list[StreamEvent]) -> None:
        usage = read_usage(line.prompt_eval_count, line.eval_count)
        if usage is not None:
            events.append(self._answer.set_usage(usage))
        # Servers of before 2024-10 say done and no reason; that is no guess at one.
        self._answer.note_finish(line.done_reason, _FINISHES)


def _content(value: object) -> str:
    if not isinstance(value, str):
        raise llm_error("protocol", "the answer's content is no text")
    return value


def _arguments(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
