"""Readings: what a question says once its manners are taken off. Pure functions, no model."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from loomwire.application.caching.semantic.words import (
    AFTER_ME,
    ASKING,
    BEGINNINGS,
    CONTRACTIONS,
    MENTIONS,
    OPENERS,
    POINTING,
    PROCEDURES,
    REQUESTS,
    TELLING,
    TOLD,
)

# Code, quotations, formulas, lists with holes and what follows a colon: there every character may matter.
_EXACT = re.compile(
    r"[\"\u201c\u201d\u201e\u00ab\u00bb`=<>{}\[\]()\\|^~*;]|[:,]\s*[:,]|:\s|\s\s|(?<!\w)['\u2019]|['\u2019](?!\w)"
)
# What ends a sentence, not what stands alone ("what is ?"), nor what may be part of a name or go on ("save!", "...").
_END = re.compile(r"(?<=[\w%\u00b0])(?:\.|\?+)$")
_GREETING = re.compile(r"(?:(?:hi|hello|hey)(?: there)?[,!] )?(?:(?:please|kindly),? )?", re.IGNORECASE)
_THANKS = re.compile(r"(?<=\w), (?:please|thanks|thank you)$", re.IGNORECASE)
_HOW: Final = (["how", "do", "i"], ["how", "can", "i"])


@dataclass(frozen=True, slots=True)
class Reading:
    """A question as it is compared: two that mean the same to us are equal.

    Attributes:
        words: Its words in order, with what nobody means taken off; all of it as one when it is exact.
        asks: It ends as a question, or begins as one.
        exact: It is about words, code or something quoted, and was left as it is.
    """

    words: tuple[str, ...] = field(repr=False)
    asks: bool
    exact: bool


def read(text: str) -> Reading:
    """Return what a question of one line says.

    Taken off are only things that cannot change an answer: spaces around it, the last full stop, `please` and `thanks`,
    the capital letter of a first word that is no name, and beginnings such as `can you tell me`. Spellings, numbers,
    punctuation, articles, plurals, tenses and the order of words stay: each of them tells questions apart ("is colour a
    valid CSS property", "was sind 1,234 km", "is two a noun", "break ice").

    Example:
        >>> read("Hi, what's the capital of France, please?") == read("What is the capital of France")
        True
        >>> read("How do I sort two lists?").words
        ('how', 'to', 'sort', 'two', 'lists')
    """
    plain = text.strip()
    if _EXACT.search(plain) or MENTIONS & {piece.strip(".,?!").lower() for piece in plain.split()}:
        return Reading((text,), plain.endswith("?"), exact=True)
    ended = _END.sub("", plain)
    # Between letters, both apostrophes are the same.
    words = _first_lowered(_without_manners(ended).replace("\u2019", "'").split())
    asked = _without_request(words)
    # "Could you explain it?" asks no more than "Explain it." does.
    asks = plain.endswith("?") and ended != plain and len(asked) == len(words)
    words = _how(_framed(_expanded(asked)))
    return Reading(tuple(words), asks or not ASKING.isdisjoint(words[:1]), exact=False)


def _without_manners(text: str) -> str:
    """Take greetings and thanks off, but not off `hello kitty` and `hey, Jude`: what follows must begin a request."""
    said = _GREETING.match(text)
    rest = text[said.end() :] if said else text
    if BEGINNINGS.isdisjoint(rest.lower().split(" ", 1)[:1]):
        rest = text
    # Among other commas it may be one of a list: "what comes after sorry, please, thanks".
    return _THANKS.sub("", rest) if rest.count(",") == 1 else rest


def _first_lowered(words: list[str]) -> list[str]:
    first = words[0].lower() if words else ""
    if first in OPENERS and words[0] == first.capitalize():
        return [first, *words[1:]]
    return words


def _without_request(words: list[str]) -> list[str]:
    lowered = tuple(word.lower() for word in words[:5])
    for request in REQUESTS:
        if lowered[: len(request)] == request and (request[-1] != "me" or not AFTER_ME.isdisjoint(lowered[4:])):
            return words[2:]
    if lowered[2:3] == ("please",) and lowered[1:2] == ("you",) and not BEGINNINGS.isdisjoint(lowered[3:4]):
        return words[3:] if lowered[0] in {"can", "could", "would"} else words
    return words


def _expanded(words: list[str]) -> list[str]:
    """Write `what's` out where it begins the question; anywhere else it may be what is asked about."""
    at = next((len(telling) for telling in TELLING if _begins(words, telling)), 0)
    first = words[at] if len(words) > at + 2 else ""
    if first in CONTRACTIONS and words[at + 1].lower() in POINTING:
        return [*words[:at], *CONTRACTIONS[first], *words[at + 1 :]]
    return words


def _framed(words: list[str]) -> list[str]:
    for telling in TELLING:
        if _begins(words, telling) and not ASKING.isdisjoint(words[len(telling) : len(telling) + 1]):
            return words[len(telling) :]
    if _begins(words, ("tell", "me", "the")) and words[4:5] == ["of"] and words[3] in TOLD:
        return ["what", "is", *words[2:]]
    return words


def _how(words: list[str]) -> list[str]:
    if [word.lower() for word in words[:3]] in _HOW and not PROCEDURES.isdisjoint(words[3:4]):
        return ["how", "to", *words[3:]]
    return words


def _begins(words: list[str], beginning: tuple[str, ...]) -> bool:
    return tuple(word.lower() for word in words[: len(beginning)]) == beginning
