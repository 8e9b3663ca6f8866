"""The ways in which only OpenAI chat completions can be wrong, by the names of the fault table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    from_the_middle,
    in_events,
    in_turn,
    of_another_request,
    two_answers,
    wrong_call_ids,
    wrong_counts,
)
from loomwire.testing.speaking import Saying

_FULL_CHOICES: Final = rb'("choices": \[)(\{.*\})\](?=, "usage"|\})'
_CONTENT_WORDS: Final = rb'"content": ("(?:[^"\\]|\\.)*")'


def _with_usage(saying: Saying) -> Saying:
    if not saying.is_stream or any(b'"prompt_tokens"' in event for event in saying.events):
        return saying
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    told = b"data: %b\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [], "usage": usage}).encode()
    return replace(saying, events=(*saying.events[:-1], told, saying.events[-1]))


CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": everywhere(rb'(?<="finish_reason": )"[^"]*"', b"null"),
    "two_choices": two_answers(_FULL_CHOICES, _CONTENT_WORDS, b'"content": "said by nobody"'),
    "content_parts": everywhere(_CONTENT_WORDS, rb'"content": [{"type": "text", "text": \1}]'),
    # A stream keeps its [DONE]: with it a careless client takes nothing for a whole answer.
    "empty_choices": everywhere(_FULL_CHOICES, rb"\g<1>]"),
    **{
        name: in_turn(_with_usage, change)
        for name, change in wrong_counts(rb'("(?:prompt|completion|total)_tokens": )\d+').items()
    },
    **wrong_call_ids(rb'"id": "[^"]*", (?="type": "function")', b'"id": "call", '),
    "duplicate_keys": everywhere(rb'"content": (?=")', b'"content": "said by nobody", "content": '),
    "same_call_index": everywhere(rb'(?<="tool_calls": \[\{"index": )\d+', b"0"),
    "message_in_stream": in_events(rb'"delta": ', b'"message": '),
    "stray_call_index": everywhere(
        rb'(?<="tool_calls": \[\{"index": )\d+(?=, "function": \{"arguments": "[^"])', b"77"
    ),
    "foreign_answer": in_turn(
        from_the_middle(rb'"id": "chatcmpl-[^"]*"', b'"id": "chatcmpl-of-another-request"'), of_another_request
    ),
}
"""By the fault's name."""
