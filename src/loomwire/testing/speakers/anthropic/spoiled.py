"""The ways in which only Anthropic messages can be wrong, by the names of the fault table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    in_body,
    in_events,
    in_turn,
    of_another_request,
    without_events,
    wrong_call_ids,
    wrong_counts,
)

_NO_FINISH: Final = everywhere(rb'(?<="stop_reason": )"[^"]*"', b"null")

CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": _NO_FINISH,
    "content_parts": in_body(rb'"content": \[\{"type": "text", "text": ("(?:[^"\\]|\\.)*")\}\]', rb'"content": \1'),
    # Without a reason: an empty answer that says why it ended is a right one.
    "empty_choices": in_turn(
        without_events(rb"event: content_block"),
        everywhere(rb'"content": \[(?:\{.*\})?\](?=, "stop_reason")', b'"content": []'),
        _NO_FINISH,
    ),
    **wrong_counts(rb'("(?:input|output|cache_creation_input|cache_read_input)_tokens": )\d+'),
    **wrong_call_ids(rb'(?<="type": "tool_use", )"id": "[^"]*", ', b'"id": "toolu_same", '),
    "duplicate_keys": everywhere(rb'"text": (?=")', b'"text": "said by nobody", "text": '),
    "same_call_index": everywhere(rb'(?<="index": )\d+', b"0"),
    "message_in_stream": in_events(rb'"delta": ', b'"message": '),
    "stray_call_index": everywhere(
        rb'(?<="index": )\d+(?=, "delta": \{"type": "input_json_delta", "partial_json": "[^"])', b"77"
    ),
    # A stream says its id once, in its first event.
    "foreign_answer": in_turn(everywhere(rb'"id": "msg_[^"]*"', b'"id": "msg_of_another_request"'), of_another_request),
}
"""By the fault's name."""
