"""Readings: what a question says once its wording is taken off. Pure functions, no model."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import Final

from loomwire.application.caching.semantic.words import (
    ASKING,
    CONTRACTIONS,
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
# What ends a word, not what stands alone as one ("what is ?"); nor a factorial's, after a digit or a single letter.
_END = re.compile(r"(?<=[\w%\u00b0])(?:[.?\u2026]|(?<=[^\W\d_]{2})!)[.?!\u2026]*$")
_STATIVE: Final = frozenset({"be", "look", "seem", "sound", "feel", "do", "know", "have", "rank", "still", "already"})
_GREETING = re.compile(r"(?:(?:hi|hello|hey)(?: there)?(?:!| ,) )?(?:(?:please|pls|kindly)(?: ,)? )?")
_THANKS: Final = (("thank", "you"), ("thanks",), ("please",))


@dataclass(frozen=True, slots=True)
class Reading:
    """A question as it is compared: two that mean the same to us are equal.

    Attributes:
        words: Its words in order, with what nobody means taken off.
        asks: It ends as a question, or begins as one.
        exact: It is about words, code or something quoted, and was left as it is.
    """

    words: tuple[str, ...] = field(repr=False)
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
    words = _expanded(_first_lowered(_without_manners(_PIECES.findall(ended))))
    asked = _without_request(words)
    # "Could you explain it?" asks no more than "Explain it." does.
    asks = "?" in plain[len(ended) :] and len(asked) == len(words)
    words = _framed(asked)
    asks = asks or not ASKING.isdisjoint(words[:1])
    return Reading(tuple(_between(_spelled(words))), asks, exact=False)


def _without_manners(words: list[str]) -> list[str]:
    """Take greetings and thanks off, but not off `hello kitty` and `hey, Jude`: what follows must begin a request."""
    lowered = [word.lower() for word in words]
    said = _GREETING.match(" ".join(lowered[:6]) + " ")
    start = len(said[0].split()) if said else 0
    if OPENERS.isdisjoint(lowered[start : start + 1]):
        start = 0
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


def _expanded(words: list[str]) -> list[str]:
    return [part for word in words for part in CONTRACTIONS.get(word, (word,))]


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
    asks_how = words[:1] == ["how"] and words[1:2] in (["do"], ["can"]) and words[2:3] in (["I"], ["i"])
    if asks_how and len(words) > 3 and words[3] not in _STATIVE:
        return ["how", "to", *words[3:]]
    return words


def _spelled(words: list[str]) -> list[str]:
    return [part for word in words for part in _parts(word)]


def _parts(word: str) -> tuple[str, ...]:
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
    is_whole = len(words) == at + 4 == 8 and words[:at] == ["what", "is", "the", "difference"]
    if is_whole and ends[1] == "and" and not any(character.isdigit() for end in ends for character in end):
        first, last = sorted((ends[0], ends[2]))
        return [*words[: at + 1], first, "and", last]
    return words
