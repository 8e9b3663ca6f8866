"""The ways in which only Gemini's answers can be wrong, by the names of the fault table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from loomwire.testing.speakers.spoiling import (
    Change,
    everywhere,
    from_the_middle,
    in_turn,
    of_another_request,
    two_answers,
    wrong_call_ids,
    wrong_counts,
)

_CANDIDATES: Final = rb'("candidates": \[)(\{.*\})\](?=, "(?:usageMetadata|modelVersion)")'

CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": everywhere(rb'"finishReason": "[^"]*"', b'"finishReason": null'),
    "two_choices": two_answers(_CANDIDATES, rb'"text": "(?:[^"\\]|\\.)*"', b'"text": "said by nobody"'),
    "empty_choices": everywhere(_CANDIDATES, rb"\g<1>]"),
    **wrong_counts(rb'("(?:prompt|candidates|total)TokenCount": )\d+'),
    **wrong_call_ids(rb', "id": "[^"]*"(?=\})', b', "id": "call"'),
    "duplicate_keys": everywhere(rb'"text": (?=")', b'"text": "said by nobody", "text": '),
    "foreign_answer": in_turn(
        from_the_middle(rb'"responseId": "[^"]*"', b'"responseId": "resp-of-another-request"'), of_another_request
    ),
}
"""By the fault's name."""
