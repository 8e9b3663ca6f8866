"""The ways in which only OpenAI chat completions can be wrong, by the names of the fault table."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speaking import Saying

_Change: TypeAlias = Callable[[Saying], Saying]

_DIGITS: Final = 100_000
_FULL_CHOICES: Final = re.compile(rb'"choices": \[(\{.*\})\](?=, "usage"|\})')
_TOKENS: Final = re.compile(rb'("(?:prompt|completion|total)_tokens": )\d+')
_CONTENT: Final = re.compile(rb'"content": (?=")')
_CONTENT_WORDS: Final = re.compile(rb'"content": ("(?:[^"\\]|\\.)*")')
_FINISH: Final = re.compile(rb'(?<="finish_reason": )"[^"]*"')
_CALL_ID: Final = re.compile(rb'"id": "[^"]*", (?="type": "function")')
_ID: Final = re.compile(rb'"id": "chatcmpl-[^"]*"')
_CALL_INDEX: Final = re.compile(rb'(?<="tool_calls": \[\{"index": )\d+')
_FRAGMENT: Final = re.compile(rb'(?<="tool_calls": \[\{"index": )\d+(?=, "function": \{"arguments": "[^"])')


def spoiled_chat(saying: Saying) -> Mapping[str, Saying]:
    """Return a chat completion spoiled in every way, by the fault's name."""
    return {name: change(saying) for name, change in _CHANGES.items()}


def _everywhere(saying: Saying, pattern: re.Pattern[bytes], new: bytes) -> Saying:
    events = tuple(pattern.sub(new, event) for event in saying.events)
    return replace(saying, events=events, body=pattern.sub(new, saying.body))


def _no_choices(saying: Saying) -> Saying:
    # A stream keeps its [DONE]: with it a careless client takes nothing for a whole answer.
    return _everywhere(saying, _FULL_CHOICES, b'"choices": []')


def _long_number(saying: Saying) -> Saying:
    return _everywhere(_with_usage(saying), _TOKENS, rb"\g<1>" + b"9" * _DIGITS)


def _negative_usage(saying: Saying) -> Saying:
    return _everywhere(_with_usage(saying), _TOKENS, rb"\g<1>-1")


def _with_usage(saying: Saying) -> Saying:
    if not saying.is_stream or any(b'"prompt_tokens"' in event for event in saying.events):
        return saying
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    told = b"data: %b\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage}).encode()
    return replace(saying, events=(*saying.events[:-1], told, saying.events[-1]))


def _twice(saying: Saying) -> Saying:
    return _everywhere(saying, _CONTENT, b'"content": "said by nobody", "content": ')


def _same_index(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_INDEX, b"0")


def _same_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b'"id": "call", ')


def _messages(saying: Saying) -> Saying:
    return replace(saying, events=tuple(event.replace(b'"delta": ', b'"message": ') for event in saying.events))


def _stray_index(saying: Saying) -> Saying:
    return _everywhere(saying, _FRAGMENT, b"77")


def _no_finish(saying: Saying) -> Saying:
    return _everywhere(saying, _FINISH, b"null")


def _two_choices(saying: Saying) -> Saying:
    def both(found: re.Match[bytes]) -> bytes:
        second = _CONTENT_WORDS.sub(b'"content": "said by nobody"', found[1].replace(b'"index": 0', b'"index": 1', 1))
        return b'"choices": [%b, %b]' % (found[1], second)

    events = tuple(_FULL_CHOICES.sub(both, event) for event in saying.events)
    return replace(saying, events=events, body=_FULL_CHOICES.sub(both, saying.body))


def _parts(saying: Saying) -> Saying:
    return _everywhere(saying, _CONTENT_WORDS, rb'"content": [{"type": "text", "text": \1}]')


def _no_call_id(saying: Saying) -> Saying:
    return _everywhere(saying, _CALL_ID, b"")


def _foreign(saying: Saying) -> Saying:
    theirs = b'"id": "chatcmpl-of-another-request"'
    half = len(saying.events) // 2
    events = tuple(_ID.sub(theirs, event) for event in saying.events[half:])
    return replace(
        saying,
        request_id="req-of-another-request",
        events=(*saying.events[:half], *events),
        body=_ID.sub(theirs, saying.body),
    )


_CHANGES: Final[Mapping[str, _Change]] = {
    "no_finish_reason": _no_finish,
    "two_choices": _two_choices,
    "content_parts": _parts,
    "no_call_id": _no_call_id,
    "empty_choices": _no_choices,
    "long_number": _long_number,
    "negative_usage": _negative_usage,
    "duplicate_keys": _twice,
    "same_call_id": _same_id,
    "same_call_index": _same_index,
    "message_in_stream": _messages,
    "stray_call_index": _stray_index,
    "foreign_answer": _foreign,
}
