"""Faults of what an answer says: well sent, but not what the dialect promises, or right and unusual."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final

from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.faults.kinds import FaultType, Play, Scene
from loomwire.testing.speakers.eventstream import is_framed, reframed
from loomwire.testing.speakers.spoiling import within
from loomwire.testing.speaking import Saying
from loomwire.testing.wire import Piece

_DEEP: Final = 100_000
_SEPARATORS: Final = "\u2028\u2029\x85"
_PAGE: Final = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>"
    b'<p>Please sign in to the network.</p><script>{"choices": []}</script></body></html>'
)


def _changed(saying: Saying, change: Callable[[bytes], bytes], *, every: bool = True) -> Saying:
    """Change the JSON of a plain answer, and of every event of a stream or of the middle one, framing untouched."""
    if not saying.is_stream:
        return replace(saying, body=change(saying.body))
    middle = len(saying.events) // 2
    events = tuple(
        _rejoined(event, change) if every or place == middle else event for place, event in enumerate(saying.events)
    )
    return replace(saying, events=events)


def _rejoined(event: bytes, change: Callable[[bytes], bytes]) -> bytes:
    if is_framed(event):
        return reframed(event, change)
    begin, end = event.find(b"{"), event.rfind(b"}") + 1
    return event if begin < 0 else event[:begin] + change(event[begin:end]) + event[end:]


def _bad_json(scene: Scene) -> Iterable[Piece]:
    return _changed(scene.saying, lambda text: text[:-1] + b", }", every=False).pieces()


def _null(scene: Scene) -> Iterable[Piece]:
    return _changed(scene.saying, lambda _: b"null").pieces()


def _html(scene: Scene) -> Iterable[Piece]:
    return replace(scene.saying, content_type="text/html; charset=utf-8", body=_PAGE).pieces()


def _html_as_promised(scene: Scene) -> Iterable[Piece]:
    if scene.saying.is_stream:
        return replace(scene.saying, events=(_PAGE,)).pieces()
    return replace(scene.saying, body=_PAGE).pieces()


def _error_in_200(scene: Scene) -> Iterable[Piece]:
    words = scene.speaker.refusal(Failure("overloaded", "the fault error_in_200"))
    return replace(
        scene.saying, content_type="application/json", body=json.dumps(words.body, default=dict).encode()
    ).pieces()


def _error_first(scene: Scene) -> Iterable[Piece]:
    event = scene.speaker.error_event(Failure("overloaded", "the fault error_first"))
    return replace(scene.saying, events=(event,)).pieces()


def _error_midway(scene: Scene) -> Iterable[Piece]:
    events = scene.saying.events
    event = scene.speaker.error_event(Failure("overloaded", "the fault error_midway"))
    return replace(scene.saying, events=(*events[: len(events) // 2], event)).pieces()


def _separators(reply: Reply) -> Reply:
    return replace(reply, text=reply.text + _SEPARATORS + "after the separators")


def _u2028(scene: Scene) -> Iterable[Piece]:
    def raw(text: bytes) -> bytes:
        """Put the characters in place of their escapes."""
        for each in _SEPARATORS:
            text = text.replace(b"\\u%04x" % ord(each), each.encode())
        return text

    return _changed(scene.saying, raw).pieces()


def _half_character(reply: Reply) -> Reply:
    return replace(reply, text=reply.text + " \ud83d")


def _right(scene: Scene) -> Iterable[Piece]:
    return scene.saying.pieces()


def _deep_json(scene: Scene) -> Iterable[Piece]:
    deep = b'{"deep": ' + b"[" * _DEEP + b"]" * _DEEP + b", "
    return _changed(scene.saying, lambda text: deep + text[1:], every=False).pieces()


def _crlf(scene: Scene) -> Iterable[Piece]:
    # Messages with lengths have no lines.
    events = tuple(event if is_framed(event) else event.replace(b"\n", b"\r\n") for event in scene.saying.events)
    return replace(scene.saying, events=events).pieces()


def _comments(scene: Scene) -> Iterable[Piece]:
    events = tuple(event if is_framed(event) else b": keep-alive\n\n" + event for event in scene.saying.events)
    return replace(scene.saying, events=events).pieces()


def _bad_sse(scene: Scene) -> Iterable[Piece]:
    events = scene.saying.events
    half = len(events) // 2
    spoiled = tuple(event.replace(b"data: ", b"dada: ") for event in events[half:])
    return replace(scene.saying, events=(*events[:half], *spoiled)).pieces()


def _no_end_sign(scene: Scene) -> Iterable[Piece]:
    return replace(scene.saying, events=scene.saying.events[:-1]).pieces()


def _bom(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    if not saying.is_stream:
        return replace(saying, body=codecs.BOM_UTF8 + saying.body).pieces()
    return replace(saying, events=(codecs.BOM_UTF8 + saying.events[0], *saying.events[1:])).pieces()


def _utf16(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    events = tuple(within(event, _as_utf16) for event in saying.events)
    return replace(saying, events=events, body=_as_utf16(saying.body)).pieces()


def _as_utf16(text: bytes) -> bytes:
    return text.decode().encode("utf-16-le")


def _two_documents(scene: Scene) -> Iterable[Piece]:
    saying = scene.saying
    return replace(saying, events=saying.events * 2, body=saying.body * 2).pieces()


def _by_dialect(name: str) -> Play:
    def play(scene: Scene) -> Iterable[Piece]:
        """Say it as the dialect spoils it; rightly where it has no such way."""
        return scene.speaker.spoiled(scene.saying).get(name, scene.saying).pieces()

    return play


def _dialects(name: str, says: str, *, stream_only: bool = False) -> FaultType:
    return FaultType(name=name, says=says, strikes="content", play=_by_dialect(name), stream_only=stream_only)


def _content(name: str, says: str, play: Play, *, stream_only: bool = False, ran: bool = True) -> FaultType:
    return FaultType(name=name, says=says, strikes="content", play=play, stream_only=stream_only, ran=ran)


CONTENT: Final = (
    _content("bad_json", "The JSON, in a stream that of the middle event, is broken.", _bad_json),
    _content("null_data", "The body, or every event's data, is `null`.", _null),
    _content("html", "A sign-in page with status 200, as captive portals send it.", _html, ran=False),
    _content(
        "html_as_promised", "The same page under the content type of a right answer.", _html_as_promised, ran=False
    ),
    _content(
        "error_in_200",
        "Status 200 and a body that reports an error; also in place of a stream.",
        _error_in_200,
        ran=False,
    ),
    _content("error_first", "The first event of a stream reports an error.", _error_first, stream_only=True, ran=False),
    _content("error_midway", "An event in the middle reports an error.", _error_midway, stream_only=True),
    FaultType(
        name="u2028",
        says="The text holds U+2028, U+2029 and U+0085 raw, which end lines in Python but not on the wire.",
        strikes="content",
        play=_u2028,
        retell=_separators,
    ),
    FaultType(
        name="lone_surrogates",
        says="The text ends in half a character, `\\ud83d`.",
        strikes="content",
        play=_right,
        retell=_half_character,
    ),
    _content("deep_json", "JSON nested a hundred thousand levels deep, in a field nobody reads.", _deep_json),
    _content("crlf", "A right stream whose lines end in CR LF.", _crlf, stream_only=True),
    _content("comments", "A right stream with a comment before every event.", _comments, stream_only=True),
    _content("bad_sse", "From the middle on a stream's lines are no fields of SSE.", _bad_sse, stream_only=True),
    _content("no_end_sign", "A whole stream without its terminal sign.", _no_end_sign, stream_only=True),
    _content("bom", "The right answer behind a byte order mark.", _bom),
    _content("utf16", "The right answer in UTF-16, and no header says so.", _utf16),
    _content("two_documents", "The right answer twice in one body, one behind the other.", _two_documents),
    _dialects("no_finish_reason", "The answer never says why it ended."),
    _dialects("two_choices", "Beside the right answer there is a second one, in a stream piece by piece between."),
    _dialects("content_parts", "The text comes as a list of parts."),
    _dialects("no_call_id", "Tool calls come without ids."),
    _dialects("empty_choices", "The answer has an empty list where its content belongs."),
    _dialects("long_number", "The usage is a number of a hundred thousand digits."),
    _dialects("negative_usage", "The usage says -1."),
    _dialects("duplicate_keys", "The content stands there twice under one key, the right one last."),
    _dialects("same_call_id", "All tool calls of an answer have the same id."),
    _dialects("message_in_stream", "A stream says messages where pieces belong.", stream_only=True),
    _dialects("same_call_index", "All tool calls of a stream claim the same index.", stream_only=True),
    _dialects("stray_call_index", "A tool call's arguments come under an index nobody began.", stream_only=True),
    _dialects("foreign_answer", "The ids in the answer are another request's, in a stream from the middle on."),
)
"""Rows of the fault table."""
