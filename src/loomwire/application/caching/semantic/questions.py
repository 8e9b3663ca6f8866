"""Which requests have a question that can be compared, and what must be the very same around it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from loomwire.domain.messages import Message, Text
from loomwire.domain.requests import LLMRequest

MAX_CHARACTERS: Final = 500
"""Longer questions are not compared: models that embed read about a thousand characters and ignore the rest."""

_UNASKED: Final = (Text(""),)
_UNSEEN: Final = "\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def question_of(request: LLMRequest) -> str | None:
    """Return what a request asks: the text of its last message.

    None when that is not the user's, holds a picture, is empty, has several lines or more than 500 characters: such
    requests are never answered by another's answer.
    """
    last = request.messages[-1]
    if last.role != "user" or not all(isinstance(part, Text) for part in last.parts):
        return None
    text = last.text.strip()
    if not text or len(text) > MAX_CHARACTERS or any(character in text for character in _UNSEEN):
        return None
    # What cannot be sent as UTF-8 cannot be embedded either.
    return text if text.isprintable() else None


def without_question(request: LLMRequest) -> LLMRequest:
    """Return the request with nothing asked: what has to be equal before two questions are compared at all."""
    *earlier, last = request.messages
    bare: Message = replace(last, parts=_UNASKED)
    return replace(request, messages=(*earlier, bare))
