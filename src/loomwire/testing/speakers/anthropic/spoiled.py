"""The ways in which only Anthropic messages can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_TOKENS: Final = re.compile(rb'("(?:input|output|cache_creation_input|cache_read_input)_tokens": )\d+')
_CONTENT: Final = re.compile(rb'"content": \[(?:\{.*\})?\](?=, "stop_reason")')
_TEXT: Final = re.compile(rb'"text": (?=")')
_ONE_TEXT: Final = re.compile(rb'"content": \[\{"type": "text", "text": ("(?:[^"\\]|\\.)*")\}\]')
_FINISH: Final = re.compile(rb'(?<="stop_reason": )"[^"]*"')
_CALL_ID: Final = re.compile(rb'(?<="type": "tool_use", )"id": "[^"]*", ')
_ID: Final = re.compile(rb'"id": "msg_[^"]*"')
_INDEX: Final = re.compile(rb'(?<="index": )\d+')
_FRAGMENT: Final = re.compile(rb'(?<="index": )\d+(?=, "delta": \{"type": "input_json_delta", "partial_json": "[^"])')


def spoiled_messages(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(saying: Saying, pattern: re.Pattern[bytes], new: bytes) -> Saying:
    events = tuple(pattern.sub(new, event) for event in saying.events)
    return replace(saying, events=events, body=pattern.sub(new, saying.body))


def _no_content(saying: Saying) -> Saying:
    # Without a reason: an empty answer that says why it ended is a right one.
    events = tuple(event for event in saying.events if b"event: content_block" not in event)
    return _no_finish(_everywhere(replace(saying, events=events), _CONTENT, b'"content": []'))


def _long_number(saying: Saying) -> Saying:
    return _everywhere(saying, _TOKENS, rb"\g<1>" + b"9" * _DIGITS)


def _negative_usage(saying: Saying) -> Saying:
    return _everywhere(saying, _TOKENS, rb"\g<1>-1")


def _twice(saying: Saying) -> Saying:
    return _everywhere(saying, _TEXT, b'"text": "said by nobody", "text": ')


def _same_index(saying: Saying) -> Saying:
    return _everywhere(saying, _INDEX, b"0")


def _same_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b'"id": "toolu_same", ')


def _no_call_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b"")


def _messages(saying: Saying) -> Saying:
    return replace(saying, events=tuple(event.replace(b'"delta": ', b'"message": ') for event in saying.events))


def _stray_index(saying: Saying) -> Saying:
    return _everywhere(saying, _FRAGMENT, b"77")


def _no_finish(saying: Saying) -> Saying:
    return _everywhere(saying, _FINISH, b"null")


def _text_only(saying: Saying) -> Saying:
    return replace(saying, body=_ONE_TEXT.sub(rb'"content": \1', saying.body))


def _foreign(saying: Saying) -> Saying:
    theirs = b'"id": "msg_of_another_request"'
    # A stream says its id once, in its first event.
    return replace(_everywhere(saying, _ID, theirs), request_id="req-of-another-request")


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _no_finish,
    "content_parts": _text_only,
    "no_call_id": _no_call_id,
    "empty_choices": _no_content,
    "long_number": _long_number,
    "negative_usage": _negative_usage,
    "duplicate_keys": _twice,
    "same_call_id": _same_id,
    "same_call_index": _same_index,
    "message_in_stream": _messages,
    "stray_call_index": _stray_index,
    "foreign_answer": _foreign,
}
