"""Reads answers of the Responses dialect, whole and streamed: a whole answer is a stream of one last event.

Fields whose type some server gets wrong are declared `object` and ignored unless they are what they should be; a
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
from loomwire.infrastructure.providers.openai_responses.errors import reported
from loomwire.infrastructure.providers.openai_responses.items import ItemTracker
from loomwire.infrastructure.providers.openai_responses.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.json_bytes import SMALL, check_depth, read_json
from loomwire.infrastructure.providers.wire.tuned import AnswerReader

_DONE = b"[DONE]"
_TEXT = "response.output_text.delta"
_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_FINISHES: Mapping[str, Finish] = {"completed": "stop"}
_INCOMPLETE: Mapping[str, Finish] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_RUNNING = frozenset({"queued", "in_progress"})
_BROKEN = frozenset({"failed", "cancelled"})


class _Response(Struct, gc=False):
    id: object = None
    model: object = None
    status: object = None
    output: object = None
    incomplete_details: object = None
    usage: object = None
    error: object = None
    detail: object = None
    message: object = None


class _Event(Struct, gc=False):
    type: object = None
    delta: object = None
    item_id: object = None
    output_index: object = None
    item: object = None
    response: _Response | None = None
    error: object = None
    code: object = None
    message: object = None
    detail: object = None


_EVENT = msgspec.json.Decoder(_Event)
_RESPONSE = msgspec.json.Decoder(_Response)


class ResponsesReader(AnswerReader):
    """Reads one answer.

    Args:
        answer: Where it goes.
    """

    __slots__ = ("_answer", "_is_begun", "_is_named", "_items")

    def __init__(self, answer: Answer) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._items = ItemTracker(answer)
        self._is_begun = False
        self._is_named = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if data.startswith(_DONE):
            return self.end()
        if not data:
            return ()  # `data:` alone is a heartbeat
        said = read_json(data, _EVENT)
        # What is handed on from a small event is checked where it is parsed.
        if len(data) > SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        kind = said.type if isinstance(said.type, str) else event
        if kind == _TEXT:
            self._is_begun = True
            return self._items.add_text(said.item_id, said.output_index, said.delta)
        return self._read(kind, said)

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        answer.forgive_cut("response.completed", begun=self._is_begun)
        return self._closed()

    @override
    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        response = read_json(body, _RESPONSE)
        if len(body) > SMALL:
            check_depth(body, self._answer.config.limits.json_depth)
        if response.output is None and not response.error and (response.detail or response.message):
            raise reported(response.detail or response.message, self._answer.config)  # a gateway's word
        return self._last(response, ())

    def _read(self, kind: str, said: _Event) -> Sequence[StreamEvent]:
        if kind == "error" or said.error:
            raise self._error_event(said)
        if not kind.startswith("response."):
            return self._read_stray(said)
        self._is_begun = True
        return self._read_piece(kind, said) if said.response is None else self._read_state(kind, said.response)

    def _read_piece(self, kind: str, said: _Event) -> Sequence[StreamEvent]:
        if kind.endswith(".delta"):
            return self._items.add_delta(kind, said.item_id, said.output_index, said.delta)
        if kind == "response.output_item.added":
            return self._items.begin(said.item, said.output_index)
        if kind == "response.output_item.done":
            return self._items.finish(said.item, said.output_index)
        return ()

    def _read_stray(self, said: _Event) -> Sequence[StreamEvent]:
        if not self._is_begun and (said.detail or said.message):
            raise reported(said.detail or said.message, self._answer.config)  # a gateway's word
        return ()

    def _read_state(self, kind: str, response: _Response) -> Sequence[StreamEvent]:
        if kind in _ENDS:
            return self._last(response, (kind.removeprefix("response."),))
        self._read_names(response)
        return ()

    def _last(self, response: _Response, words: Sequence[str]) -> Sequence[StreamEvent]:
        """Read the answer as a whole; what was said before is known by its items."""
        answer = self._answer
        self._read_names(response)
        usage = read_usage(response.usage)
        # Before an error too: what was used so far is in it.
        told: list[StreamEvent] = [] if usage is None else [answer.set_usage(usage)]
        word = next((word for word in (response.status, *words) if isinstance(word, str) and word), None)
        self._check_status(response, word)
        events = self._read_output(response.output)
        self._read_finish(response, word)
        if self._items.is_empty and answer.finish in ("stop", None):
            raise llm_error("protocol", "the answer has no output")
        return [*events, *told, *self._closed()]

    def _read_output(self, output: object) -> list[StreamEvent]:
        events: list[StreamEvent] = []
        if output is not None and not isinstance(output, list):
            raise llm_error("protocol", "the answer's output is no list")
        for place, item in enumerate(output or ()):
            events += self._items.finish(item, place, is_last=True)
        return events

    def _check_status(self, response: _Response, word: str | None) -> None:
        config = self._answer.config
        if response.error:
            raise reported(response.error, config)
        if word in _BROKEN:
            raise llm_error("server", "the provider broke its answer off", provider_code=word)
        if word in _RUNNING:
            raise llm_error(
                "protocol",
                f"the answer is not there yet: its status is {word}",
                hint="Do not ask for work in the background: remove `background` from `extra`.",
            )

    def _read_finish(self, response: _Response, word: str | None) -> None:
        answer = self._answer
        details = response.incomplete_details
        reason = details.get("reason") if isinstance(details, dict) else None
        if word == "incomplete" and isinstance(reason, str) and reason:
            answer.note_finish(reason, _INCOMPLETE)
        else:
            answer.note_finish(word, _FINISHES)

    def _error_event(self, said: _Event) -> LLMError:
        # Documented flat, sent as an object of its own (openai-...-error-in-stream-q16).
        flat = {"code": said.code, "message": said.message}
        return reported(said.error or flat, self._answer.config)

    def _read_names(self, response: _Response) -> None:
        if self._is_named:
            return
        answer = self._answer
        answer.note_names(None if answer.response_id else response.id, response.model)
        self._is_named = answer.response_id is not None and isinstance(response.model, str) and bool(response.model)

    def _closed(self) -> Sequence[StreamEvent]:
        self._items.close()
        return self._answer.end()
