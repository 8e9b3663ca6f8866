"""The second gate: whether two questions that look alike mean the same. Pure functions, no model.

Cosines cannot tell: of all-MiniLM-L6-v2, "fly from Paris to London" and "fly from London to Paris" have .998, a
negation .989, "break the ice" and "break ice" .960, while a true paraphrase, "what's" for "what is", may have .908. So
no word that could carry meaning may differ, and nothing is taken for a synonym.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final, Literal, TypeAlias

from loomwire.application.caching.semantic.reading import Reading, read
from loomwire.application.caching.semantic.words import ASKING, CONTRASTS, COUNTING, NEGATIONS

Difference: TypeAlias = Literal["wording", "numbers", "negation", "names", "question", "contrast", "words", "order"]
"""What told two questions apart: the first of these that differs."""

DIFFERENCES: Final[tuple[Difference, ...]] = (
    *("wording", "numbers", "negation", "names", "question", "contrast", "words", "order"),
)

_NAMELIKE = re.compile(r"[A-Z]|[^\W\d_]['._/@\\:#+-]+\w|\w[+#]|[._/@\\]\w|[^\x00-\x7f]")


def told_apart(one: str, other: str) -> Difference | None:
    """Return what tells two questions of one line apart, or None when they mean the same.

    wording: one is about words, code or something quoted, so that each character may matter. names: also identifiers,
    addresses, file names and every word of another script. question: one asks, the other does not.

    Example:
        >>> told_apart("What's the boiling point of water?", "what is the boiling point of water")
        >>> told_apart("Is it safe to drink?", "Is it not safe to drink?")
        'negation'
    """
    return difference(read(one), read(other))


def difference(one: Reading, other: Reading) -> Difference | None:
    """Return the same for readings."""
    if one == other:
        return None
    if one.exact or other.exact:
        return "wording"
    for name, picks in _PICKED:
        if Counter(picks(one)) != Counter(picks(other)):
            return name
    return "order" if Counter(one.words) == Counter(other.words) else "words"


def _numbers(reading: Reading) -> Iterable[str]:
    return (word for word in reading.words if word.lower() in COUNTING or any(map(str.isdigit, word)))


def _negations(reading: Reading) -> Iterable[str]:
    return (word for word in reading.words if word.lower() in NEGATIONS or word.endswith("n't"))


def _names(reading: Reading) -> Iterable[str]:
    return (word for word in reading.words if word != "I" and _NAMELIKE.search(word))


def _asked(reading: Reading) -> Iterable[str]:
    return (*filter(ASKING.__contains__, reading.words), "?" if reading.asks else "")


def _contrasts(reading: Reading) -> Iterable[str]:
    return filter(CONTRASTS.__contains__, reading.words)


_PICKED: Final[tuple[tuple[Difference, Callable[[Reading], Iterable[str]]], ...]] = (
    ("numbers", _numbers),
    ("negation", _negations),
    ("names", _names),
    ("question", _asked),
    ("contrast", _contrasts),
)
