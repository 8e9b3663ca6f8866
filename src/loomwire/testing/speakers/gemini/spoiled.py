"""The ways in which only Gemini's answers can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_CANDIDATES: Final = re.compile(rb'"candidates": \[(\{.*\})\](?=, "(?:usageMetadata|modelVersion)")')
_TOKENS: Final = re.compile(rb'("(?:prompt|candidates|total)TokenCount": )\d+')
_TEXT: Final = re.compile(rb'"text": (?=")')
_WORDS: Final = re.compile(rb'"text": "(?:[^"\\]|\\.)*"')
_FINISH: Final = re.compile(rb'"finishReason": "[^"]*"')
_CALL_ID: Final = re.compile(rb', "id": "[^"]*"(?=\})')
_ID: Final = re.compile(rb'"responseId": "[^"]*"')


def spoiled_gemini(saying: Saying) -> Mapping[str, Saying]:
    """Return an answer spoiled in every way, by the fault's name."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(pattern: re.Pattern[bytes], new: bytes | Callable[[re.Match[bytes]], bytes]) -> _Change:
    def change(saying: Saying) -> Saying:
        events = tuple(pattern.sub(new, event) for event in saying.events)
        return replace(saying, events=events, body=pattern.sub(new, saying.body))

    return change


def _both(found: re.Match[bytes]) -> bytes:
    second = _WORDS.sub(b'"text": "said by nobody"', found[1].replace(b'"index": 0', b'"index": 1', 1))
    return b'"candidates": [%b, %b]' % (found[1], second)


def _foreign(saying: Saying) -> Saying:
    theirs = b'"responseId": "resp-of-another-request"'
    half = len(saying.events) // 2
    events = tuple(_ID.sub(theirs, event) for event in saying.events[half:])
    body = _ID.sub(theirs, saying.body)
    return replace(saying, request_id="req-of-another-request", events=(*saying.events[:half], *events), body=body)


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _everywhere(_FINISH, b'"finishReason": null'),
    "two_choices": _everywhere(_CANDIDATES, _both),
    "no_call_id": _everywhere(_CALL_ID, b""),
    "same_call_id": _everywhere(_CALL_ID, b', "id": "call"'),
    "empty_choices": _everywhere(_CANDIDATES, b'"candidates": []'),
    "long_number": _everywhere(_TOKENS, rb"\g<1>" + b"9" * _DIGITS),
    "negative_usage": _everywhere(_TOKENS, rb"\g<1>-1"),
    "duplicate_keys": _everywhere(_TEXT, b'"text": "said by nobody", "text": '),
    "foreign_answer": _foreign,
}
