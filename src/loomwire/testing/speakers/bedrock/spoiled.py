"""The ways in which only Converse can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speakers.bedrock.frames import reframed
from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_TOKENS: Final = re.compile(rb'("(?:input|output)Tokens":)\d+')
_TEXT: Final = re.compile(rb'"text":(?=")')
_WORDS: Final = re.compile(rb'(?<=\{)"text":("(?:[^"\\]|\\.)+")')
_FINISH: Final = re.compile(rb'(?<="stopReason":)"[^"]*"')
_CALL_ID: Final = re.compile(rb',"toolUseId":"[^"]*"')
_CONTENT: Final = re.compile(rb'(?<="message":\{)"content":\[.*\](?=,"role")')
_INDEX: Final = re.compile(rb'(?<="contentBlockIndex":)\d+')
_FRAGMENT: Final = re.compile(rb'(?<="contentBlockIndex":)\d+(?=,"delta":\{"toolUse")')
_DELTA: Final = re.compile(rb'"delta":(\{.*\})(?=,"p":)')


def spoiled_converse(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name. It has no id of its own and no second choice."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(pattern: re.Pattern[bytes], new: bytes) -> _Change:
    def changed(text: bytes) -> bytes:
        return pattern.sub(new, text)

    def change(saying: Saying) -> Saying:
        events = tuple(reframed(event, changed) for event in saying.events)
        return replace(saying, events=events, body=changed(saying.body))

    return change


def _no_content(saying: Saying) -> Saying:
    # Without a reason: an empty answer that says why it ended is a right one.
    events = tuple(event for event in saying.events if b"contentBlock" not in event)
    spoiled = replace(saying, events=events, body=_CONTENT.sub(b'"content":[]', saying.body))
    return _everywhere(_FINISH, b"null")(spoiled)


def _foreign(saying: Saying) -> Saying:
    return replace(saying, request_id="req-of-another-request")


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _everywhere(_FINISH, b"null"),
    "content_parts": _everywhere(_WORDS, rb'"text":[{"text":\1}]'),
    "no_call_id": _everywhere(_CALL_ID, b""),
    "empty_choices": _no_content,
    "long_number": _everywhere(_TOKENS, rb"\g<1>" + b"9" * _DIGITS),
    "negative_usage": _everywhere(_TOKENS, rb"\g<1>-1"),
    "duplicate_keys": _everywhere(_TEXT, b'"text":"said by nobody","text":'),
    "same_call_id": _everywhere(_CALL_ID, b',"toolUseId":"call"'),
    "same_call_index": _everywhere(_INDEX, b"0"),
    "message_in_stream": _everywhere(_DELTA, rb'"output":{"message":{"content":[\1]}}'),
    "stray_call_index": _everywhere(_FRAGMENT, b"77"),
    "foreign_answer": _foreign,
}
