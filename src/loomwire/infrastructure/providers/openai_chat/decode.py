"""Reads answers of the chat dialect, whole and streamed. One reader does both: a whole answer is one large delta.

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
from loomwire.infrastructure.providers.openai_chat.errors import CHAT_ERRORS
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.openai_chat.reasoning import ThoughtItems
from loomwire.infrastructure.providers.openai_chat.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.calls.fragments import CallTracker, WireCall, WireFunction
from loomwire.infrastructure.providers.wire.errors import reported_error
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.said import Said
from loomwire.infrastructure.providers.wire.tuned import AnswerReader

_DONE = b"[DONE]"
_FINISHES: Mapping[str, Finish] = {
    "stop": "stop",
    "eos": "stop",  # Together (20)
    "length": "length",
    "model_length": "length",  # Mistral
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "refusal": "content_filter",
}
_FAILURES = frozenset({"error", "network_error"})


class _Delta(Struct, gc=False):
    content: object = None
    reasoning: object = None
    reasoning_content: object = None
    reasoning_details: object = None
    refusal: object = None
    tool_calls: list[WireCall] | None = None
    function_call: WireFunction | None = None


class _Choice(Struct, gc=False):
    index: object = 0
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: object = None
    native_finish_reason: object = None
    error: object = None


class _Groq(Struct, gc=False):
    usage: object = None
    error: object = None


class _Chunk(Struct, gc=False):
    id: object = None
    kind: object = msgspec.field(name="object", default=None)
    model: object = None
    choices: list[_Choice] | None = None
    usage: object = None
    error: object = None
    detail: object = None
    message: object = None
    x_groq: _Groq | None = None


_CHUNK = msgspec.json.Decoder(_Chunk)


class ChatReader(AnswerReader):
    """Reads chunks of a stream, or a whole answer, into an `Answer`.

    Args:
        answer: Collects what comes.
        quirks: How the vendor differs.
    """

    __slots__ = (
        "_answer",
        "_calls",
        "_is_begun",
        "_is_named",
        "_is_unread",
        "_is_whole",
        "_quirks",
        "_refusal",
        "_thoughts",
    )

    def __init__(self, answer: Answer, quirks: ChatQuirks) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._quirks = quirks
        self._calls = CallTracker(answer)
        self._thoughts = ThoughtItems()
        self._refusal = Said()
        self._is_named = False
        self._is_begun = False
        self._is_unread = False
        self._is_whole = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if data.startswith(_DONE):
            return self._done()
        if event == "error":  # Groq, LM Studio (5)
            raise self._error_in(data)
        return self._read_chunk(self._chunk(data)) if data else ()  # `data:` alone is a heartbeat

    def _read_chunk(self, chunk: _Chunk) -> Sequence[StreamEvent]:
        events: list[StreamEvent] = []
        for choice in chunk.choices or ():
            if choice.index == 0 or choice.index is None:
                self._read_choice(choice, self._piece(choice), events)
        if chunk.usage is not None or chunk.x_groq is not None:
            self._read_usage(chunk, events)
        return events

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        if answer.finish_wire is None:
            answer.forgive_cut("a finish reason and without [DONE]", begun=self._is_begun)
        return self._closed()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        chunk = self._chunk(body)
        choices = chunk.choices or []
        choice = next((each for each in choices if each.index == 0), choices[0] if choices else None)
        if choice is None:
            raise llm_error("protocol", "the answer has no choices")
        events: list[StreamEvent] = []
        _tell_calls_apart(choice.message)
        self._read_choice(choice, choice.message, events)
        # What Azure's filter took away need not leave a message.
        is_missing = choice.message is None and self._answer.finish != "content_filter"
        if is_missing or self._is_silent():
            raise llm_error("protocol", "the answer's choice has no message")
        self._read_usage(chunk, events)
        return [*events, *self._closed()]

    def _chunk(self, data: bytes) -> _Chunk:
        chunk = read_json(data, _CHUNK)
        if chunk.error or chunk.kind == "error" or (chunk.x_groq is not None and chunk.x_groq.error):
            raise self._error_in(data)
        if chunk.choices is None and (chunk.detail or chunk.message):
            raise self._error_in(data)  # a gateway's word, and no part of an answer
        # What is handed on from a small chunk is checked where it is parsed.
        if len(data) > SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        if not self._is_named:
            self._read_names(chunk)
        return chunk

    def _piece(self, choice: _Choice) -> _Delta | None:
        if choice.delta is not None or choice.message is None:
            return choice.delta
        if self._answer.delivered and not self._is_whole:
            return None  # what the deltas said, once more
        if self._is_whole:
            raise llm_error("protocol", "the stream says whole messages in place of their pieces")
        self._is_whole = True
        return choice.message

    def _error_in(self, data: bytes) -> LLMError:
        return reported_error(data, self._answer.config, CHAT_ERRORS)

    def _read_names(self, chunk: _Chunk) -> None:
        answer = self._answer
        self._is_begun = True
        # Not simply from chunk one: Azure's is empty (15), and some servers send no id at all.
        answer.note_names(None if answer.response_id else chunk.id, chunk.model)
        self._is_named = answer.response_id is not None and isinstance(chunk.model, str) and bool(chunk.model)

    def _read_choice(self, choice: _Choice, delta: _Delta | None, events: list[StreamEvent]) -> None:
        if choice.error:
            raise self._error_in(msgspec.json.encode({"error": choice.error}))
        if delta is not None:
            # Before the finish reason, which may come with the last text (17).
            self._read_delta(delta, events)
        if choice.finish_reason is not None:
            self._read_finish(choice)

    def _read_finish(self, choice: _Choice) -> None:
        # Anything but text is no word: false and 0 say nothing about an end.
        words = [word for word in (choice.finish_reason, choice.native_finish_reason) if isinstance(word, str)]
        if not _FAILURES.isdisjoint(words):
            raise llm_error("server", "the provider broke its answer off", provider_code=words[0])
        self._answer.note_finish(choice.finish_reason, _FINISHES)

    def _read_delta(self, delta: _Delta, events: list[StreamEvent]) -> None:
        if delta.reasoning_content or delta.reasoning or delta.reasoning_details:
            self._read_thought(delta, events)
        content = delta.content
        if content:
            if isinstance(content, str):
                events.append(self._answer.add_text(content))
            else:
                self._read_parts(content, events)
        if delta.refusal:
            self._read_refusal(delta.refusal)
        if delta.tool_calls:
            for call in delta.tool_calls:
                self._calls.read(call, events)
        elif delta.function_call is not None:
            self._calls.read(WireCall(function=delta.function_call), events)

    def _read_refusal(self, refusal: object) -> None:
        if isinstance(refusal, str):
            self._refusal.add(refusal)

    def _read_thought(self, delta: _Delta, events: list[StreamEvent]) -> None:
        thought = delta.reasoning_content or delta.reasoning
        # The same thinking once more, to be sent back (37).
        detailed = self._thoughts.add_details(delta.reasoning_details)
        thought = thought or detailed
        if isinstance(thought, str) and thought:
            events.append(self._answer.add_reasoning(thought))

    def _read_parts(self, parts: object, events: list[StreamEvent]) -> None:
        is_read = False
        for part in parts if isinstance(parts, list) else (parts,):
            text = part
            if isinstance(part, dict):
                if part.get("type") == "thinking":  # Mistral (37)
                    thought = self._thoughts.add_thinking(part)
                    events += [self._answer.add_reasoning(thought)] if thought else []
                    is_read = True
                text = part.get("text")
            if isinstance(text, str):
                is_read = True
                events += [self._answer.add_text(text)] if text else []
        self._is_unread = self._is_unread or not is_read

    def _read_usage(self, chunk: _Chunk, events: list[StreamEvent]) -> None:
        raw = chunk.usage or (chunk.x_groq.usage if chunk.x_groq is not None else None)
        usage = read_usage(raw, self._quirks)
        if usage is not None:
            events.append(self._answer.set_usage(usage))

    def _is_silent(self) -> bool:
        answer = self._answer
        return answer.finish_wire is None and not self._refusal and not answer.delivered

    def _done(self) -> Sequence[StreamEvent]:
        if self._is_silent():
            raise llm_error("protocol", "the stream held no answer")
        return self._closed()

    def _closed(self) -> Sequence[StreamEvent]:
        self._calls.check()
        answer = self._answer
        if self._is_unread and not (answer.delivered or self._refusal):
            raise llm_error("protocol", "the answer's content is of a kind that nobody knows")
        if not answer.finished:
            answer.refusal = self._refusal.text() or None
            for item in self._thoughts.items():
                answer.keep_item(item)
        return answer.end()


def _tell_calls_apart(message: _Delta | None) -> None:
    # Nothing is a fragment in a whole answer, whatever ids and indexes say.
    for place, call in enumerate((message and message.tool_calls) or ()):
        call.index = place
