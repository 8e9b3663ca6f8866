"""Readings: what a question says once its wording is taken off. Pure functions, no model."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final

from loomwire.application.caching.semantic.words import (
    ASKING,
    CONTRACTIONS,
    GREETINGS,
    MENTIONS,
    NUMBERS,
    OPENERS,
    REQUESTS,
    SPELLINGS,
    TELLING,
)

_STRAIGHT: Final = str.maketrans({"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u00a0": " ", "\u202f": " "})
# Code, quotations, formulas and what follows a colon: there every character may matter.
_EXACT = re.compile(r"[\"\u201c\u201d\u201e\u00ab\u00bb`=<>{}\[\]()\\|^~*;]|:\s|(?<!\w)'|'(?!\w)")
_PIECES = re.compile(r"[,:]|[^\s,:]+(?:[,:](?=\S)[^\s,:]+)*")
_GROUPED = re.compile(r"[0-9]{1,3}(?:,[0-9]{3})+")
_MEASURE = re.compile(r"([0-9]+)(%|km|cm|mm|kg|ml|mg|KB|MB|GB|TB|px|ms|mph)")
# Not after a digit or a single letter: there it is a factorial.
_END = re.compile(r"(?:[.?\u2026]|(?<=[^\W\d_]{2})!)+$")
_STATIVE: Final = frozenset({"be", "look", "seem", "sound", "feel", "do", "know", "have", "rank", "compare"})
_THANKS: Final = (("thank", "you"), ("thanks",), ("please",))


@dataclass(frozen=True, slots=True)
class Reading:
    """A question as it is compared: two that mean the same to us are equal.

    Attributes:
        words: Its words in order, with what nobody means taken off.
        asks: It ends as a question, or begins as one.
        exact: It is about words, code or something quoted, and was left as it is.
    """

    words: tuple[str, ...]
    asks: bool
    exact: bool


def read(text: str) -> Reading:
    """Return what a question of one line says.

    Taken off are only things that cannot change an answer: spaces, the last full stop, `please` and `thanks`, the
    capital letter of a first word that is no name, contractions, and beginnings such as `can you tell me`. Articles,
    plurals, tenses and the order of words stay: each of them tells questions apart ("break the ice", "break ice").

    Example:
        >>> read("Hi, what's the capital of France, please?") == read("What is the capital of France")
        True
        >>> read("How do I sort two lists?").words
        ('how', 'to', 'sort', '2', 'lists')
    """
    plain = unicodedata.normalize("NFC", text).translate(_STRAIGHT).strip()
    pieces = plain.split()
    if _EXACT.search(plain) or MENTIONS & {piece.strip(".,?!").lower() for piece in pieces}:
        return Reading(tuple(pieces), plain.endswith("?"), exact=True)
    ended = _END.sub("", plain)
    asks = "?" in plain[len(ended) :]
    words = _without_manners(_PIECES.findall(ended))
    words = _first_lowered(words)
    words = [part for word in words for part in CONTRACTIONS.get(word, (word,))]
    asked = _without_request(words)
    # "Could you explain it?" asks no more than "Explain it." does.
    asks = asks and len(asked) == len(words)
    words = [part for word in _framed(asked) for part in _spelled(word)]
    return Reading(tuple(_between(words)), asks or not ASKING.isdisjoint(words[:1]), exact=False)


def _without_manners(words: list[str]) -> list[str]:
    lowered = [word.lower().rstrip("!") for word in words]
    start = 0
    while start < len(words) - 2 and lowered[start] in GREETINGS:
        start += 1
        start += lowered[start] == "there"
        start += words[start] == ","
    end = len(words)
    for thanks in _THANKS:
        at = end - len(thanks) - 1
        if at > start and words[at] == "," and tuple(lowered[at + 1 : end]) == thanks:
            end = at
    return words[start:end]


def _first_lowered(words: list[str]) -> list[str]:
    first = words[0].lower() if words else ""
    if first in OPENERS and words[0] == first.capitalize():
        return [first, *words[1:]]
    return words


def _without_request(words: list[str]) -> list[str]:
    lowered = tuple(word.lower() for word in words[:4])
    for request in REQUESTS:
        if lowered[: len(request)] == request:
            return words[3 if request[2] == "please" else 2 :]
    return words


def _framed(words: list[str]) -> list[str]:
    lowered = [word.lower() for word in words]
    for telling in TELLING:
        after = lowered[len(telling) :]
        if tuple(lowered[: len(telling)]) == telling and after and after[0] in ASKING:
            return _how(_turned(words[len(telling) :]))
    if lowered[:3] == ["tell", "me", "the"] and "of" in lowered[4:]:
        return ["what", "is", *words[2:]]
    return _how(words)


def _turned(words: list[str]) -> list[str]:
    """Turn `what the capital of France is` into the question."""
    if len(words) > 2 and words[-1] in {"is", "are", "was", "were"} and words[0] in {"what", "who", "where", "when"}:
        return [words[0], words[-1], *words[1:-1]]
    return words


def _how(words: list[str]) -> list[str]:
    asks_how = words[:1] == ["how"] and words[1:2] in (["do"], ["can"]) and words[2:3] in (["I"], ["i"], ["we"])
    if asks_how and len(words) > 3 and words[3] not in _STATIVE:
        return ["how", "to", *words[3:]]
    return words


def _spelled(word: str) -> tuple[str, ...]:
    if _GROUPED.fullmatch(word):
        return (word.replace(",", ""),)
    measure = _MEASURE.fullmatch(word)
    if measure:
        return (measure[1], measure[2])
    return (NUMBERS.get(word) or SPELLINGS.get(word, word),)


def _between(words: list[str]) -> list[str]:
    """Put both ends of `difference between A and B` into one order."""
    at = words.index("between") if "between" in words else len(words)
    ends = words[at + 1 : at + 4]
    is_whole = len(words) == at + 4 and words[at - 1 : at] == ["difference"]
    if is_whole and ends[1] == "and" and not any(character.isdigit() for end in ends for character in end):
        first, last = sorted((ends[0], ends[2]))
        return [*words[: at + 1], first, "and", last]
    return words
