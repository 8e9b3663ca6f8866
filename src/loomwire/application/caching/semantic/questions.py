"""Which requests have a question that can be compared, and what must be the very same around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from loomwire.domain.messages import Message, Text
from loomwire.domain.requests import LLMRequest

MAX_CHARACTERS: Final = 500
"""Longer questions are not compared: models that embed read about a thousand characters and ignore the rest."""

_UNASKED: Final = (Text(""),)


def question_of(request: LLMRequest) -> str | None:
    """Return what a request asks: the text of its last message, to the letter.

    None when that is not the user's, has several parts, is a picture, is empty, has several lines or more than 500
    characters: such requests are never answered by another's answer.
    """
    last = request.messages[-1]
    if last.role != "user" or len(last.parts) != 1 or not isinstance(last.parts[0], Text):
        return None
    text = last.text
    if not text.strip() or len(text) > MAX_CHARACTERS:
        return None
    # Line breaks are not printable, nor is what cannot be sent as UTF-8.
    return text if text.isprintable() else None


def without_question(request: LLMRequest) -> LLMRequest:
    """Return the request with nothing asked: what has to be equal before two questions are compared at all."""
    *earlier, last = request.messages
    bare: Message = replace(last, parts=_UNASKED)
    return replace(request, messages=(*earlier, bare))
