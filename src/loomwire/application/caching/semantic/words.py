"""The closed lists by which questions are compared. Whatever stands in none of them has to be the same in both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _words(listed: str) -> frozenset[str]:
    return frozenset(listed.split())


REQUESTS: Final = (
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

BEGINNINGS: Final = ASKING | _words(
    "do does did can could should would don't doesn't didn't can't couldn't shouldn't wouldn't what's who's where's "
    "how's when's why's tell give show write explain describe list summarize summarise translate compare define "
    "convert calculate find make create generate name recommend suggest"
)
"""First words of requests: what stands before them may be a greeting. Before `is it` it may be a name or a song."""

OPENERS: Final = BEGINNINGS | _words(
    "is are was were will has have had isn't aren't wasn't weren't won't "
    "in on at for with without if my an the there this that these those best it's that's there's"
)
"""First words whose capital letter is that of the sentence and not of a name; `A` may be a note."""

CONTRACTIONS: Final[Mapping[str, tuple[str, str]]] = {
    f"{word}'s": (word, "is") for word in ("what", "who", "where", "how", "when", "why")
}
"""First words that are written out."""

POINTING: Final = _words("the a an my your our their this that these those")
"""Words before which they are: `who's left it` is who has, `what's up` asks for nothing, and `what's app` is a name."""

AFTER_ME: Final = ASKING | _words("a an the some about")
"""Words before which `can you tell me` asks for no ability; `can you tell me apart` does."""

PROCEDURES: Final = _words(
    "cancel configure convert create delete disable disconnect download enable export import install "
    "merge reinstall remove rename reset restart restore sort uninstall update upgrade upload"
)
"""What one does on purpose, step by step: only there `how do I`, `how can I` and `how to` ask for the same.

Of others they do not: how do I affect the climate, how do I see colors, how do I keep getting colds.
"""

TOLD: Final = _words("age area capital date height length name population price purpose size weight")
"""What `tell me the ... of` asks for as `what is the ... of` does. A story is told, and not said what it is."""

COUNTING: Final = _words(
    "% percent 1st 2nd 3rd one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety zero hundred "
    "thousand million billion dozen half quarter double triple once twice thrice first second third "
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

MENTIONS: Final = _words(
    "translate translation say saying spell spelling pronounce pronunciation mean means meaning definition define "
    "synonym synonyms antonym antonyms rhyme rhymes rhyming word words phrase sentence text letter letters character "
    "characters string typo grammar grammatical correct rewrite rephrase paraphrase proofread abbreviation acronym "
    "contraction uppercase lowercase repeat reply respond type count anagram palindrome haiku "
    "written spelled spelt hyphenated hyphen apostrophe comma punctuation space spaces whitespace strings byte bytes "
    "regex regexp glob wildcard wildcards pattern patterns match matches matching polite politer"
)
"""Words of questions that are about words: there every letter may matter."""
