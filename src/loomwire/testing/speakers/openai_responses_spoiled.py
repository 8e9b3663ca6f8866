"""The ways in which only answers of the Responses API can be wrong, by the names of the fault table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    from_the_middle,
    in_turn,
    of_another_request,
    without_events,
    wrong_call_ids,
    wrong_counts,
)
from loomwire.testing.speaking import Saying

_ITEM_IDS: Final = re.compile(rb'("(?:item_)?id": "fc_)[^"]*"')
_PLACE: Final = re.compile(rb'(?<="output_index": )\d+')
_IS_PIECE: Final = re.compile(rb'"type": "response\.[a-z_.]+\.delta"')


def _stray_place(saying: Saying) -> Saying:
    events = tuple(
        _ITEM_IDS.sub(rb'\g<1>nobody"', _PLACE.sub(b"77", event)) if _IS_PIECE.search(event) else event
        for event in saying.events
    )
    return replace(saying, events=events)


CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": everywhere(rb'"status": "(?:completed|incomplete)"(?=, "error")', b'"status": null'),
    "content_parts": everywhere(
        rb'"content": \[\{"type": "output_text", [^\]]*\], [^\]]*\], "text": ("(?:[^"\\]|\\.)*")\}\]', rb'"content": \1'
    ),
    # A stream keeps its last event: with it a careless client takes nothing for a whole answer.
    "empty_choices": in_turn(
        without_events(b"output_index"),
        everywhere(rb'"output": \[\{.*\}\](?=, "parallel_tool_calls")', b'"output": []'),
    ),
    **wrong_counts(rb'("(?:input|output|total)_tokens": )\d+'),
    **wrong_call_ids(rb'"call_id": "[^"]*", ', b'"call_id": "call", '),
    "duplicate_keys": everywhere(rb'"(delta|text)": (?=")', rb'"\1": "said by nobody", "\1": '),
    "same_call_index": everywhere(_PLACE, b"0"),
    "message_in_stream": without_events(_IS_PIECE),
    "stray_call_index": _stray_place,
    "foreign_answer": in_turn(
        from_the_middle(rb'("(?:item_)?id": "(?:resp|msg|rs|fc)_)[^"_]*', rb"\g<1>of-another-request"),
        of_another_request,
    ),
}
"""By the fault's name. Of choices and finish reasons the API knows none."""
