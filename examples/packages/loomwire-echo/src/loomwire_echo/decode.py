"""Reads answers of Echo, whole and streamed.

Fields whose type a server may get wrong are `object`: what is not what it should be is ignored, or a protocol error.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from typing_extensions import override

from loomwire.dialects import (
    Answer,
    EventReader,
    Finish,
    LLMError,
    Reasoning,
    StreamEvent,
    believable,
    encoded,
    first_number,
    label,
    llm_error,
    made_up_id,
    read_json,
)
from loomwire_echo.encode import DIALECT

_WHY: dict[str, Finish] = {"done": "stop", "most": "length", "calls": "tool_calls", "filter": "content_filter"}


class _Tally(msgspec.Struct):
    read: object = None
    written: object = None
    cached: object = None
    thought: object = None


class _Thought(msgspec.Struct):
    text: object = ""
    seal: object = None


class _Call(msgspec.Struct):
    key: object = None
    tool: object = None
    arguments: object = msgspec.field(name="with", default=None)


class _Part(msgspec.Struct):
    text: object = None
    thought: _Thought | None = None
    call: _Call | None = None


class _Whole(msgspec.Struct):
    id: object = None
    engine: object = None
    said: list[_Part] | None = None
    why: object = None
    tally: _Tally | None = None
    error: object = None


class _Event(msgspec.Struct):
    kind: object = None
    id: object = None
    engine: object = None
    text: object = None
    seal: object = None
    at: object = None
    key: object = None
    tool: object = None
    json: object = None
    why: object = None
    tally: _Tally | None = None
    error: object = None


_WHOLE = msgspec.json.Decoder(_Whole)
_EVENT = msgspec.json.Decoder(_Event)


class EchoReader(EventReader):
    """Reads one answer.

    Args:
        answer: Collects what comes.
        error_in: Makes the error from data that reports one.
    """

    def __init__(self, answer: Answer, error_in: Callable[[bytes], LLMError]) -> None:
        self._answer = answer
        self._error_in = error_in
        self._thought: list[str] = []
        self._at: dict[int, int] = {}

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        said = read_json(data, _EVENT)
        if said.error is not None:
            raise self._error_in(data)
        match said.kind:
            case "begin":
                self._names(said.id, said.engine)
            case "thought":
                return self._think(said.text, None)
            case "seal":
                self._seal(said.seal)
            case "text":
                return [self._answer.add_text(said.text)] if isinstance(said.text, str) and said.text else ()
            case "call":
                return self._begin_call(said.at, said.key, said.tool)
            case "with":
                return self._add_arguments(said.at, said.json)
            case "end":
                return self._end(said.why, said.tally)
        return ()  # kinds that are not known yet

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        if answer.finish_wire is None:
            if not (answer.config.lenient_terminal and answer.delivered):
                raise answer.interrupted("the stream ended without its event `end`")
            answer.complete = False
        return answer.end()

    def whole(self, body: bytes) -> Sequence[StreamEvent]:
        """Read a whole answer.

        Raises:
            LLMError: It reports an error, or is none of this dialect.
        """
        said = read_json(body, _WHOLE)
        if said.error is not None:
            raise self._error_in(body)
        if said.said is None:
            raise llm_error("protocol", "the answer says nothing: there is no `said`")
        self._names(said.id, said.engine)
        events: list[StreamEvent] = []
        for place, part in enumerate(said.said):
            if part.thought is not None:
                events += self._think(part.thought.text, part.thought.seal)
            if isinstance(part.text, str) and part.text:
                events.append(self._answer.add_text(part.text))
            if part.call is not None:
                events += self._begin_call(place, part.call.key, part.call.tool)
                events += self._add_arguments(place, encoded(part.call.arguments).decode())
        return [*events, *self._end(said.why, said.tally)]

    def _names(self, id: object, engine: object) -> None:
        config = self._answer.config
        if isinstance(id, str):
            self._answer.response_id = label(id, config)
        if isinstance(engine, str) and engine:
            self._answer.model = label(engine, config)

    def _think(self, text: object, seal: object) -> Sequence[StreamEvent]:
        said = text if isinstance(text, str) else ""
        self._thought.append(said)
        events = [self._answer.add_reasoning(said)] if said else []
        if seal is not None:
            self._seal(seal)
        return events

    def _seal(self, seal: object) -> None:
        if isinstance(seal, str):
            self._answer.keep_item(Reasoning("".join(self._thought), signature=seal, origin=DIALECT))
            self._thought.clear()

    def _begin_call(self, at: object, key: object, tool: object) -> Sequence[StreamEvent]:
        if not isinstance(at, int) or not isinstance(tool, str) or not tool or at in self._at:
            raise llm_error("protocol", "a call has no place of its own, or no tool")
        self._at[at] = len(self._answer.calls)
        taken = {call.id for call in self._answer.calls}
        id = key if isinstance(key, str) and key and key not in taken else made_up_id()
        return [self._answer.start_call(id, label(tool, self._answer.config))]

    def _add_arguments(self, at: object, json: object) -> Sequence[StreamEvent]:
        index = self._at.get(at) if isinstance(at, int) else None
        if index is None or not isinstance(json, str):
            raise llm_error("protocol", "arguments came for a call that did not begin")
        return [self._answer.add_arguments(index, json)]

    def _end(self, why: object, tally: _Tally | None) -> Sequence[StreamEvent]:
        answer = self._answer
        if not isinstance(why, str):
            raise llm_error("protocol", "the answer does not say why it ended")
        answer.finish_wire = label(why, answer.config)
        answer.finish = _WHY.get(why, "other")
        events: list[StreamEvent] = []
        if tally is not None:
            sent = (tally.read, tally.written, tally.cached, None, tally.thought)
            odd = any(number is not None and type(number) is not int for number in sent)
            counted = (first_number(number) for number in sent)
            read, written, cached, stored, thought = counted
            events.append(answer.set_usage(believable((read, written, cached, stored, thought), None, odd=odd)))
        return [*events, *answer.end()]
