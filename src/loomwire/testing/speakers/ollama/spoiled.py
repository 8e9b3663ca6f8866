"""The ways in which only Ollama's chat can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_COUNTS: Final = re.compile(rb'("(?:prompt_)?eval_count":)\d+')
_CONTENT: Final = re.compile(rb'"content":(?="[^"])')
_WORDS: Final = re.compile(rb'"content":("(?:[^"\\]|\\.)+")')
_REASON: Final = re.compile(rb'"done_reason":"[^"]*",')
_CALL_ID: Final = re.compile(rb'"id":"[^"]*",(?="function")')
_CALL_INDEX: Final = re.compile(rb'(?<="function":\{"index":)\d+')


def spoiled_chat(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name.

    It has no second choice, no ids and no fragments of calls to be wrong with, and a stream of messages is right.
    """
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(pattern: re.Pattern[bytes], new: bytes) -> _Change:
    def change(saying: Saying) -> Saying:
        events = tuple(pattern.sub(new, event) for event in saying.events)
        return replace(saying, events=events, body=pattern.sub(new, saying.body))

    return change


def _foreign(saying: Saying) -> Saying:
    return replace(saying, request_id="req-of-another-request")


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _everywhere(_REASON, b""),
    "content_parts": _everywhere(_WORDS, rb'"content":[{"type":"text","text":\1}]'),
    "no_call_id": _everywhere(_CALL_ID, b""),
    "empty_choices": _everywhere(_WORDS, b'"content":[]'),
    "long_number": _everywhere(_COUNTS, rb"\g<1>" + b"9" * _DIGITS),
    "negative_usage": _everywhere(_COUNTS, rb"\g<1>-1"),
    "duplicate_keys": _everywhere(_CONTENT, b'"content":"said by nobody","content":'),
    "same_call_id": _everywhere(_CALL_ID, b'"id":"call",'),
    "same_call_index": _everywhere(_CALL_INDEX, b"0"),
    "foreign_answer": _foreign,
}
