"""The closed lists by which questions are compared. Whatever stands in none of them has to be the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


REQUESTS: Final = (
    ("can", "you", "please"),
    ("could", "you", "please"),
    ("would", "you", "please"),
    ("can", "you", "explain"),
    ("could", "you", "explain"),
    ("can", "you", "describe"),
    ("could", "you", "describe"),
    ("can", "you", "tell", "me"),
    ("could", "you", "tell", "me"),
    ("would", "you", "tell", "me"),
    ("can", "you", "show", "me"),
    ("could", "you", "show", "me"),
    ("can", "you", "give", "me"),
    ("could", "you", "give", "me"),
)
"""Beginnings whose `can you` says nothing. Without the words after it, it may ask for an ability."""

TELLING: Final = (
    ("tell", "me"),
    ("i", "want", "to", "know"),
    ("i", "need", "to", "know"),
    ("i", "would", "like", "to", "know"),
    ("i'd", "like", "to", "know"),
)
"""Beginnings that say nothing before a question word."""

ASKING: Final = frozenset({"what", "who", "when", "where", "why", "how", "which", "whose", "whom"})

OPENERS: Final = ASKING | _words(
    "is are was were do does did can could should would will has have had isn't aren't wasn't weren't don't doesn't "
    "didn't can't couldn't shouldn't wouldn't won't what's who's where's how's when's why's which tell give show "
    "write explain describe list summarize summarise translate compare define convert calculate find make create "
    "generate in on at for with without if my a an the there this that these those name recommend suggest best how "
    "it's that's there's"
)
"""First words whose capital letter is that of the sentence and not of a name."""

CONTRACTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "what's": ("what", "is"),
    "who's": ("who", "is"),
    "where's": ("where", "is"),
    "how's": ("how", "is"),
    "when's": ("when", "is"),
    "why's": ("why", "is"),
    "it's": ("it", "is"),
    "that's": ("that", "is"),
    "there's": ("there", "is"),
    "I'm": ("I", "am"),
    "I've": ("I", "have"),
    "you're": ("you", "are"),
    "we're": ("we", "are"),
    "they're": ("they", "are"),
    "isn't": ("is", "not"),
    "aren't": ("are", "not"),
    "wasn't": ("was", "not"),
    "weren't": ("were", "not"),
    "don't": ("do", "not"),
    "doesn't": ("does", "not"),
    "didn't": ("did", "not"),
    "can't": ("can", "not"),
    "cannot": ("can", "not"),
    "couldn't": ("could", "not"),
    "shouldn't": ("should", "not"),
    "wouldn't": ("would", "not"),
    "won't": ("will", "not"),
    "hasn't": ("has", "not"),
    "haven't": ("have", "not"),
}

_SMALL: Final = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)

NUMBERS: Final[Mapping[str, str]] = {
    **{word: str(at) for at, word in enumerate(_SMALL, 1)},
    "thirty": "30",
    "forty": "40",
    "fifty": "50",
    "sixty": "60",
    "seventy": "70",
    "eighty": "80",
    "ninety": "90",
    "2nd": "second",
    "1st": "first",
    "3rd": "third",
    "percent": "%",
}
"""Number words and the form they are compared in."""

COUNTING: Final = _words(
    "% zero hundred thousand million billion dozen half quarter double triple once twice thrice first second third "
    "fourth fifth last next single pair couple few many several all some any both each every most more less least "
    "january february march april may june july august september october november december monday tuesday wednesday "
    "thursday friday saturday sunday today tomorrow yesterday seconds minute minutes hour hours day days week weeks "
    "month months year years dollar dollars euro euros pound pounds mile miles meter meters metre metres foot feet "
    "inch inches km cm mm m kg g mg lb lbs oz kb mb gb tb celsius fahrenheit am pm"
)
"""Words of amount, unit and date."""

NEGATIONS: Final = _words(
    "not no never none nobody nothing nowhere neither nor without cannot unless except hardly barely rarely lacks non "
    "isnt arent dont doesnt didnt cant wont"
)

CONTRASTS: Final = _words(
    "before after increase decrease on off min max minimum maximum first last left right with without up down in out "
    "into from to over under above below more less most least best worst better worse high low higher lower highest "
    "lowest big small bigger smaller biggest smallest large largest long short longest shortest fast slow faster "
    "slower fastest slowest open close start stop begin end enable disable add remove buy sell import export upload "
    "download encode decode encrypt decrypt push pull true false yes no always never hot cold warm cool old new "
    "oldest newest early late earlier later earliest latest input output read write public private male female "
    "husband wife mother father son daughter his her he she ascending descending horizontal vertical rows columns row "
    "column north south east west cheap expensive cheapest safe dangerous legal illegal can should must may will "
    "would was is were are did does do than as by for against and or"
)
"""Words that have an opposite, or turn a sentence round."""

SPELLINGS: Final[Mapping[str, str]] = {
    "colour": "color",
    "colours": "colors",
    "favourite": "favorite",
    "flavour": "flavor",
    "behaviour": "behavior",
    "neighbour": "neighbor",
    "centre": "center",
    "organise": "organize",
    "optimise": "optimize",
    "summarise": "summarize",
    "visualise": "visualize",
    "initialise": "initialize",
    "normalise": "normalize",
    "minimise": "minimize",
    "maximise": "maximize",
    "analyse": "analyze",
    "e-mail": "email",
    "e-mails": "emails",
}
"""British and American, and one word that everybody writes as they like."""

MENTIONS: Final = _words(
    "translate translation say saying spell spelling pronounce pronunciation mean means meaning definition define "
    "synonym synonyms antonym antonyms rhyme rhymes rhyming word words phrase sentence text letter letters character "
    "characters string typo grammar grammatical correct rewrite rephrase paraphrase proofread abbreviation acronym "
    "contraction capital-letter uppercase lowercase repeat reply respond type count anagram palindrome haiku"
)
"""Words of questions that are about words: there every letter may matter."""
