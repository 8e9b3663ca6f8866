"""The ways in which only answers of the Responses API can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_OUTPUT: Final = re.compile(rb'"output": \[\{.*\}\](?=, "parallel_tool_calls")')
_TOKENS: Final = re.compile(rb'("(?:input|output|total)_tokens": )\d+')
_STATUS: Final = re.compile(rb'"status": "(?:completed|incomplete)"(?=, "error")')
_TEXT: Final = re.compile(rb'"(delta|text)": (?=")')
_CONTENT: Final = re.compile(
    rb'"content": \[\{"type": "output_text", [^\]]*\], [^\]]*\], "text": ("(?:[^"\\]|\\.)*")\}\]'
)
_CALL_ID: Final = re.compile(rb'"call_id": "[^"]*", ')
_ITEM_IDS: Final = re.compile(rb'("(?:item_)?id": "fc_)[^"]*"')
_IDS: Final = re.compile(rb'("(?:item_)?id": "(?:resp|msg|rs|fc)_)[^"_]*')
_PLACE: Final = re.compile(rb'(?<="output_index": )\d+')
_IS_PIECE: Final = re.compile(rb'"type": "response\.[a-z_.]+\.delta"')


def spoiled_response(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name. Of choices and finish reasons the API knows none."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(saying: Saying, pattern: re.Pattern[bytes], new: bytes) -> Saying:
    events = tuple(pattern.sub(new, event) for event in saying.events)
    return replace(saying, events=events, body=pattern.sub(new, saying.body))


def _no_status(saying: Saying) -> Saying:
    return _everywhere(saying, _STATUS, b'"status": null')


def _no_output(saying: Saying) -> Saying:
    # A stream keeps its last event: with it a careless client takes nothing for a whole answer.
    kept = tuple(event for event in saying.events if b"output_index" not in event)
    return _everywhere(replace(saying, events=kept), _OUTPUT, b'"output": []')


def _long_number(saying: Saying) -> Saying:
    return _everywhere(saying, _TOKENS, rb"\g<1>" + b"9" * _DIGITS)


def _negative_usage(saying: Saying) -> Saying:
    return _everywhere(saying, _TOKENS, rb"\g<1>-1")


def _twice(saying: Saying) -> Saying:
    return _everywhere(saying, _TEXT, rb'"\1": "said by nobody", "\1": ')


def _as_text(saying: Saying) -> Saying:
    return _everywhere(saying, _CONTENT, rb'"content": \1')


def _no_call_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b"")


def _same_call_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b'"call_id": "call", ')


def _same_place(saying: Saying) -> Saying:
    return _everywhere(saying, _PLACE, b"0")


def _stray_place(saying: Saying) -> Saying:
    events = tuple(
        _ITEM_IDS.sub(rb'\g<1>nobody"', _PLACE.sub(b"77", event)) if _IS_PIECE.search(event) else event
        for event in saying.events
    )
    return replace(saying, events=events)


def _no_pieces(saying: Saying) -> Saying:
    return replace(saying, events=tuple(event for event in saying.events if not _IS_PIECE.search(event)))


def _foreign(saying: Saying) -> Saying:
    theirs = rb"\g<1>of-another-request"
    half = len(saying.events) // 2
    events = tuple(_IDS.sub(theirs, event) for event in saying.events[half:])
    return replace(
        saying,
        request_id="req-of-another-request",
        events=(*saying.events[:half], *events),
        body=_IDS.sub(theirs, saying.body),
    )


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _no_status,
    "content_parts": _as_text,
    "no_call_id": _no_call_id,
    "empty_choices": _no_output,
    "long_number": _long_number,
    "negative_usage": _negative_usage,
    "duplicate_keys": _twice,
    "same_call_id": _same_call_id,
    "same_call_index": _same_place,
    "message_in_stream": _no_pieces,
    "stray_call_index": _stray_place,
    "foreign_answer": _foreign,
}
