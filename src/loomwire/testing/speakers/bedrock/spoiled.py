"""The ways in which only Converse can be wrong, by the names of the fault table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    in_body,
    in_turn,
    of_another_request,
    without_events,
    wrong_call_ids,
    wrong_counts,
)

_NO_FINISH: Final = everywhere(rb'(?<="stopReason":)"[^"]*"', b"null")

CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": _NO_FINISH,
    "content_parts": everywhere(rb'(?<=\{)"text":("(?:[^"\\]|\\.)+")', rb'"text":[{"text":\1}]'),
    # Without a reason: an empty answer that says why it ended is a right one.
    "empty_choices": in_turn(
        without_events(rb"contentBlock"),
        in_body(rb'(?<="message":\{)"content":\[.*\](?=,"role")', b'"content":[]'),
        _NO_FINISH,
    ),
    **wrong_counts(rb'("(?:input|output)Tokens":)\d+'),
    **wrong_call_ids(rb',"toolUseId":"[^"]*"', b',"toolUseId":"call"'),
    "duplicate_keys": everywhere(rb'"text":(?=")', b'"text":"said by nobody","text":'),
    "same_call_index": everywhere(rb'(?<="contentBlockIndex":)\d+', b"0"),
    "message_in_stream": everywhere(rb'"delta":(\{.*\})(?=,"p":)', rb'"output":{"message":{"content":[\1]}}'),
    "stray_call_index": everywhere(rb'(?<="contentBlockIndex":)\d+(?=,"delta":\{"toolUse")', b"77"),
    "foreign_answer": of_another_request,
}
"""By the fault's name. An answer has no id of its own and no second choice."""
