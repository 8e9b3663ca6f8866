"""The ways in which only Ollama's chat can be wrong, by the names of the fault table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from loomwire.testing.speakers.spoiling import Change, everywhere, of_another_request, wrong_call_ids, wrong_counts

_WORDS: Final = rb'"content":("(?:[^"\\]|\\.)+")'

CHANGES: Final[Mapping[str, Change]] = {
    "no_finish_reason": everywhere(rb'"done_reason":"[^"]*",', b""),
    "content_parts": everywhere(_WORDS, rb'"content":[{"type":"text","text":\1}]'),
    "empty_choices": everywhere(_WORDS, b'"content":[]'),
    **wrong_counts(rb'("(?:prompt_)?eval_count":)\d+'),
    **wrong_call_ids(rb'"id":"[^"]*",(?="function")', b'"id":"call",'),
    "duplicate_keys": everywhere(rb'"content":(?="[^"])', b'"content":"said by nobody","content":'),
    "same_call_index": everywhere(rb'(?<="function":\{"index":)\d+', b"0"),
    "foreign_answer": of_another_request,
}
"""By the fault's name.

An answer has no second choice, no ids and no fragments of calls to be wrong with, and a stream of messages is right.
"""
