"""Reads answers of Gemini's generateContent, whole and streamed: a chunk of a stream has the shape of a whole answer.

Fields whose type some server gets wrong are declared `object` and ignored unless they are what they should be; a
wrong structure is a protocol error. Numbers point into TRAPS.md of the recordings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct
from typing_extensions import override

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent
from loomwire.domain.responses import Finish
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.gemini.conversation import MADE_UP
from loomwire.infrastructure.providers.gemini.kept import Kept, Place
from loomwire.infrastructure.providers.gemini.usage import read_usage
from loomwire.infrastructure.providers.wire.answer import Answer, made_up_id
from loomwire.infrastructure.providers.wire.dialect import EventReader
from loomwire.infrastructure.providers.wire.errors import says_error
from loomwire.infrastructure.providers.wire.json_bytes import check_depth, read_json
from loomwire.infrastructure.providers.wire.words import label

ErrorMaker: TypeAlias = Callable[[bytes], LLMError]

_SMALL: Final = 1024
_FINISHES: Final[Mapping[str, Finish]] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    **dict.fromkeys(("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII"), "content_filter"),
    **dict.fromkeys(("MODEL_ARMOR", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION"), "content_filter"),
    **dict.fromkeys(("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS"), "error"),
    **dict.fromkeys(("MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE"), "error"),
}
# Only where the Gemini API and Vertex AI count alike (21): 6 is LANGUAGE in the one and BLOCKLIST in the other.
_NUMBERS: Final[Mapping[int, Finish]] = {
    1: "stop",
    2: "length",
    **dict.fromkeys((3, 4, 7, 8), "content_filter"),
}
_NO_WORDS: Final = frozenset(
    {"", "FINISH_REASON_UNSPECIFIED", "BLOCK_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED"}
)
_NOT_OTHER: Final = frozenset({"text", "thought", "thoughtSignature", "functionCall"})


_NO_RAW: Final = msgspec.Raw(b"null")


class _Content(Struct, gc=False):
    parts: object = None


class _Candidate(Struct, gc=False, rename="camel"):
    content: _Content | None = None
    finish_reason: object = None
    index: object = None


class _Feedback(Struct, gc=False, rename="camel"):
    block_reason: object = None


class _Piece(Struct, gc=False, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: msgspec.Raw = _NO_RAW
    prompt_feedback: _Feedback | None = None
    error: object = None


class _Chunk(_Piece, gc=False, rename="camel"):
    model_version: object = None
    response_id: object = None
    message: object = None
    detail: object = None


_PIECE = msgspec.json.Decoder(_Piece)
_CHUNK = msgspec.json.Decoder(_Chunk)


class GeminiReader(EventReader):
    """Reads chunks of a stream, or a whole answer, into an `Answer`.

    A stream ends with its body: `finishReason` may come with several chunks, and with one that is not the last.

    Args:
        answer: Collects what comes.
        error_in: Makes the error from data that reports one.
    """

    __slots__ = ("_answer", "_chars", "_error_in", "_ids", "_is_begun", "_is_named", "_kept", "_usage")

    def __init__(self, answer: Answer, error_in: ErrorMaker) -> None:
        """Begin before the first event."""
        self._answer = answer
        self._error_in = error_in
        self._kept = Kept()
        self._ids: set[str] = set()
        self._chars = 0
        self._usage = _NO_RAW
        self._is_named = False
        self._is_begun = False

    @override
    def decode_event(self, event: str, data: bytes) -> Sequence[StreamEvent]:
        if event == "error":
            raise self._error_in(data)
        if not data or data == b"[DONE]":  # never Google's, but of gateways that speak like it
            return ()
        chunk = self._chunk(data)
        events: list[StreamEvent] = []
        for candidate in chunk.candidates or ():
            if not candidate.index:
                self._read_candidate(candidate, events)
                break
        # Usage is repeated with every chunk (40), mostly unchanged.
        if chunk.usage_metadata != self._usage or chunk.prompt_feedback is not None:
            self._read_rest(chunk, events)
        return events

    @override
    def end(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if answer.finished:
            return ()
        if answer.finish_wire is None:
            if not (answer.config.lenient_terminal and (answer.delivered or self._kept)):
                raise self._cut_off()
            answer.complete = False
        return self._closed()

    def decode_whole(self, body: bytes) -> Sequence[StreamEvent]:
        """Read a whole answer and close it.

        Raises:
            LLMError: It reports an error, or holds no answer.
        """
        self._refuse_list(body)
        chunk = self._chunk(body)
        found = chunk.candidates or []
        candidate = next((each for each in found if each.index in (0, None)), found[0] if found else None)
        events: list[StreamEvent] = []
        if candidate is not None:
            self._read_candidate(candidate, events)
        self._read_rest(chunk, events)
        answer = self._answer
        if answer.finish_wire is None and (candidate is None or candidate.content is None):
            raise llm_error("protocol", "the answer has no candidate with content")
        return [*events, *self._closed()]

    def _chunk(self, data: bytes) -> _Piece:
        # Every chunk says the names again; what is known is passed over.
        chunk = read_json(data, _PIECE) if self._is_named else self._first_chunk(data)
        if chunk.error:
            raise self._error_in(data)
        if chunk.candidates is None:
            self._refuse_word(data)
        if len(data) > _SMALL:
            check_depth(data, self._answer.config.limits.json_depth)
        return chunk

    def _refuse_list(self, body: bytes) -> None:
        if body.lstrip().startswith(b"[") and says_error(body, self._answer.config):
            raise self._error_in(body)  # Google puts errors into a list of one

    def _refuse_word(self, data: bytes) -> None:
        chunk = read_json(data, _CHUNK)
        if chunk.detail or chunk.message:
            raise self._error_in(data)  # a gateway's word, and no part of an answer

    def _first_chunk(self, data: bytes) -> _Piece:
        answer, chunk = self._answer, read_json(data, _CHUNK)
        self._is_begun = True
        if answer.response_id is None and isinstance(chunk.response_id, str) and chunk.response_id:
            answer.response_id = label(chunk.response_id, answer.config)
        if isinstance(chunk.model_version, str) and chunk.model_version:
            answer.model = label(chunk.model_version, answer.config)
            self._is_named = answer.response_id is not None
        return chunk

    def _read_candidate(self, candidate: _Candidate, events: list[StreamEvent]) -> None:
        answer, content, reason = self._answer, candidate.content, candidate.finish_reason
        parts = None if content is None else content.parts
        ends = reason is not None and _is_word(reason)
        if parts:
            if answer.finish_wire is not None and not ends:
                self._go_on()
            for part in parts if isinstance(parts, list) else (parts,):
                self._read_part(part, events)
        if ends:
            answer.finish, answer.finish_wire = self._finish(reason)

    def _go_on(self) -> None:
        # Each run of Google's own code ends with STOP (gemini-...-stream-unicode-c0d8ad), and the answer goes on.
        if not self._kept.has_others:
            raise llm_error("protocol", "the stream goes on after its end")
        self._answer.finish = self._answer.finish_wire = None

    def _read_part(self, part: object, events: list[StreamEvent]) -> None:
        # dict and not Mapping: the decoder makes nothing else, and the check runs for every chunk.
        if not isinstance(part, dict):
            raise llm_error("protocol", "the answer has a part that is no object")
        text = part.get("text")
        if isinstance(text, str) and text and len(part) == 1:
            self._chars += len(text)
            events.append(self._answer.add_text(text))
        else:
            self._read_rare_part(part, text if isinstance(text, str) else "", events)

    def _read_rare_part(self, part: dict[str, JSON], said: str, events: list[StreamEvent]) -> None:
        call, signature = part.get("functionCall"), part.get("thoughtSignature")
        signed = signature if isinstance(signature, str) and signature else None
        if call is not None:
            self._read_call(call, signed, events)
        elif not part.keys() <= _NOT_OTHER:
            self._kept.other(part, signed, self._place())
        elif part.get("thought"):
            self._read_thought(said, signed, events)
        else:
            self._read_text(said, signed, events)

    def _read_thought(self, said: str, signature: str | None, events: list[StreamEvent]) -> None:
        if said or signature:
            self._kept.thought(said, signature, self._place())
        if said:
            events.append(self._answer.add_reasoning(said))

    def _read_text(self, text: str, signature: str | None, events: list[StreamEvent]) -> None:
        if signature is not None:
            self._kept.signed(len(text), signature, self._place())
        if text:
            self._chars += len(text)
            events.append(self._answer.add_text(text))

    def _read_call(self, call: JSON, signature: str | None, events: list[StreamEvent]) -> None:
        name = call.get("name") if isinstance(call, Mapping) else None
        if not isinstance(call, Mapping) or not isinstance(name, str) or not name:
            raise llm_error("protocol", "the answer has a tool call without a name")
        id_, arguments = call.get("id"), call.get("args")
        if not isinstance(id_, str) or not id_ or id_ in self._ids:
            id_ = MADE_UP + made_up_id()
        self._ids.add(id_)
        start = self._answer.start_call(id_, name)
        self._answer.calls[-1].signature = signature
        events.append(start)
        if arguments is not None:
            text = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
            events.append(self._answer.add_arguments(start.index, text))

    def _read_rest(self, chunk: _Piece, events: list[StreamEvent]) -> None:
        answer, feedback = self._answer, chunk.prompt_feedback
        if feedback is not None and answer.finish_wire is None and _is_word(feedback.block_reason):
            answer.finish, answer.finish_wire = "content_filter", self._wire(feedback.block_reason)
        raw = chunk.usage_metadata
        if raw is not _NO_RAW and raw != self._usage:
            self._usage = raw
            usage = read_usage(raw)
            if usage is not None:
                events.append(answer.set_usage(usage))

    def _finish(self, word: object) -> tuple[Finish, str]:
        known = _NUMBERS.get(word) if isinstance(word, int) else _FINISHES.get(str(word))
        return known or "other", self._wire(word)

    def _wire(self, word: object) -> str:
        return label(str(word), self._answer.config)

    def _place(self) -> Place:
        return self._chars, len(self._answer.calls)

    def _closed(self) -> Sequence[StreamEvent]:
        answer = self._answer
        if not answer.finished:
            for item in self._kept.items():
                answer.keep_item(item)
        return answer.end()

    def _cut_off(self) -> LLMError:
        if self._is_begun:
            return self._answer.interrupted("the stream ended without a finish reason")
        # A page, for example: no chunk ever came.
        return llm_error("protocol", "the stream held no answer")


def _is_word(reason: object) -> bool:
    if isinstance(reason, str):
        return reason not in _NO_WORDS
    # Anything else is no word; 0 is "unspecified" and true is no number.
    return type(reason) is int and reason != 0
