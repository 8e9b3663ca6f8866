"""The ways in which only Cohere's chat v2 can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_TOKENS: Final = re.compile(rb'("(?:input|output)_tokens":)\d+')
_TEXT: Final = re.compile(rb'"text":(?=")')
_FINISH: Final = re.compile(rb'(?<="finish_reason":)"[^"]*"')
_CALL_ID: Final = re.compile(rb'"id":"[^"]*",(?="type":"function")')
_ID: Final = re.compile(rb'(?<=\{"id":)"00000000-[^"]*"')
_CALL_INDEX: Final = re.compile(rb'(?<="type":"tool-call-)(start|delta|end)","index":\d+')
_FRAGMENT: Final = re.compile(rb'(?<="type":"tool-call-delta","index":)\d+')
_DELTA: Final = re.compile(rb'"delta":\{"message":(.*)\}\}(?=\n\n\Z)')
_WORDS: Final = re.compile(rb'"text":("(?:[^"\\]|\\.)+")')
_ANY_CONTENT: Final = re.compile(rb'"content":(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}|\[\{.*?\}\](?=\}|,"tool_calls"))')


def spoiled_chat(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name. An answer has no second choice to be wrong with."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(pattern: re.Pattern[bytes], new: bytes) -> _Change:
    def change(saying: Saying) -> Saying:
        events = tuple(pattern.sub(new, event) for event in saying.events)
        return replace(saying, events=events, body=pattern.sub(new, saying.body))

    return change


def _no_content(saying: Saying) -> Saying:
    # Without a reason: an empty answer that says why it ended is a right one.
    return _everywhere(_FINISH, b"null")(_everywhere(_ANY_CONTENT, b'"content":[]')(saying))


def _foreign(saying: Saying) -> Saying:
    theirs = b'"of-another-request"'
    half = len(saying.events) // 2
    # Only the first event has an id, so a second one begins where the other answer does.
    again = tuple(_ID.sub(theirs, event) for event in saying.events[:1])
    return replace(
        saying,
        request_id="req-of-another-request",
        events=(*saying.events[:half], *again, *saying.events[half:]),
        body=_ID.sub(theirs, saying.body),
    )


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _everywhere(_FINISH, b"null"),
    "content_parts": _everywhere(_WORDS, rb'"text":[{"type":"text","text":\1}]'),
    "no_call_id": _everywhere(_CALL_ID, b""),
    "empty_choices": _no_content,
    "long_number": _everywhere(_TOKENS, rb"\g<1>" + b"9" * _DIGITS),
    "negative_usage": _everywhere(_TOKENS, rb"\g<1>-1"),
    "duplicate_keys": _everywhere(_TEXT, b'"text":"said by nobody","text":'),
    "same_call_id": _everywhere(_CALL_ID, b'"id":"call",'),
    "same_call_index": _everywhere(_CALL_INDEX, rb'\1","index":0'),
    "message_in_stream": _everywhere(_DELTA, rb'"message":\1}'),
    "stray_call_index": _everywhere(_FRAGMENT, b"77"),
    "foreign_answer": _foreign,
}
