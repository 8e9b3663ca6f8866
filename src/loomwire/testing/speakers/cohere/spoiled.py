"""The ways in which only Cohere's chat v2 can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    in_body,
    in_turn,
    of_another_request,
    wrong_call_ids,
    wrong_counts,
)
from loomwire.testing.speaking import Saying

_ID: Final = re.compile(rb'(?<=\{"id":)"00000000-[^"]*"')
_OTHER_ID: Final = b'"of-another-request"'
_NO_FINISH: Final = everywhere(rb'(?<="finish_reason":)"[^"]*"', b"null")


def _begun_again(saying: Saying) -> Saying:
    # Only the first event has an id, so a second one begins where the other answer does.
    half = len(saying.events) // 2
    again = tuple(_ID.sub(_OTHER_ID, event) for event in saying.events[:1])
    return replace(saying, events=(*saying.events[:half], *again, *saying.events[half:]))


CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": _NO_FINISH,
    "content_parts": everywhere(rb'"text":("(?:[^"\\]|\\.)+")', rb'"text":[{"type":"text","text":\1}]'),
    # Without a reason: an empty answer that says why it ended is a right one.
    "empty_choices": in_turn(
        everywhere(
            rb'"content":(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}|\[\{.*?\}\](?=\}|,"tool_calls"))', b'"content":[]'
        ),
        _NO_FINISH,
    ),
    **wrong_counts(rb'("(?:input|output)_tokens":)\d+'),
    **wrong_call_ids(rb'"id":"[^"]*",(?="type":"function")', b'"id":"call",'),
    "duplicate_keys": everywhere(rb'"text":(?=")', b'"text":"said by nobody","text":'),
    "same_call_index": everywhere(rb'(?<="type":"tool-call-)(start|delta|end)","index":\d+', rb'\1","index":0'),
    "message_in_stream": everywhere(rb'"delta":\{"message":(.*)\}\}(?=\n\n\Z)', rb'"message":\1}'),
    "stray_call_index": everywhere(rb'(?<="type":"tool-call-delta","index":)\d+', b"77"),
    "foreign_answer": in_turn(_begun_again, in_body(_ID, _OTHER_ID), of_another_request),
}
"""By the fault's name. An answer has no second choice to be wrong with."""
