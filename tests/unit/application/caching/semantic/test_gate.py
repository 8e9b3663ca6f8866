"""The second gate lets manners differ, and no word that could carry meaning."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loomwire.application.caching.semantic.gate import DIFFERENCES, told_apart
from loomwire.application.caching.semantic.reading import read
from support.likeness import SAME_TO_PEOPLE, SAME_TO_US, TRAPS, Pair

ALL_TRAPS = [pytest.param(pair, id=f"{kind}: {pair[0]}") for kind, pairs in TRAPS.items() for pair in pairs]
PLAIN = ("cat", "river", "solar", "panels", "price", "garden", "paint", "engine", "bread", "music")
WORDS = st.lists(st.sampled_from(PLAIN), min_size=2, max_size=8)


@pytest.mark.parametrize("pair", ALL_TRAPS)
def test_what_only_looks_alike_is_told_apart(pair: Pair) -> None:
    assert told_apart(*pair) is not None
    assert told_apart(*pair) == told_apart(*reversed(pair))


def test_there_are_enough_traps_and_every_difference_is_among_them() -> None:
    pairs = [pair for pairs in TRAPS.values() for pair in pairs]
    assert len(pairs) >= 60
    assert {told_apart(*pair) for pair in pairs} == set(DIFFERENCES)


@pytest.mark.parametrize("pair", SAME_TO_US)
def test_manners_make_no_difference(pair: Pair) -> None:
    assert told_apart(*pair) is None
    assert told_apart(*reversed(pair)) is None


@pytest.mark.parametrize("pair", SAME_TO_PEOPLE)
def test_what_takes_an_understanding_is_left_to_the_model(pair: Pair) -> None:
    assert told_apart(*pair) is not None


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ("Is it two?", "Is it three?", "numbers"),
        ("Is it good?", "Is it not good?", "negation"),
        ("Is Ann here?", "Is Bob here?", "names"),
        ("Who is here?", "What is here?", "question"),
        ("Is it up?", "Is it down?", "contrast"),
        ("Is it red?", "Is it blue?", "words"),
        ("Is cat dog?", "Is dog cat?", "order"),
        ('Say "a"', 'Say "b"', "wording"),
    ],
)
def test_it_says_what_told_them_apart(one: str, other: str, apart: str) -> None:
    assert told_apart(one, other) == apart


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ()),
        ("please", ("please",)),
        ("Hi there, what is it?", ("what", "is", "it")),
        ("What is it, thank you.", ("what", "is", "it")),
        ("What is it, thanks", ("what", "is", "it")),
        ("What is red, blue, thanks", ("what", "is", "red,", "blue,", "thanks")),
        ("What is it, thanks!", ("what", "is", "it,", "thanks!")),
        ("I'm lost", ("I'm", "lost")),
        ("What\u2019s the time", ("what", "is", "the", "time")),
        ("What's up", ("what's", "up")),
        ("What's app pricing", ("what's", "app", "pricing")),
        ("Why is it what's there", ("why", "is", "it", "what's", "there")),
        ("Tell me what's the time", ("what", "is", "the", "time")),
        ("Can you tell me?", ("can", "you", "tell", "me")),
        ("Can you tell me about it?", ("tell", "me", "about", "it")),
        ("Hello! Please tell me why it is", ("why", "it", "is")),
        ("Hello kitty", ("Hello", "kitty")),
        ("Hello!", ("Hello!",)),
        ("Hello! Dolly", ("Hello!", "Dolly")),
        ("Please a crowd", ("Please", "a", "crowd")),
        ("Tell me why it is", ("why", "it", "is")),
        ("Tell me what is", ("what", "is")),
        ("Tell me the time", ("tell", "me", "the", "time")),
        ("Tell me the price of bread", ("what", "is", "the", "price", "of", "bread")),
        ("Tell me the story of bread", ("tell", "me", "the", "story", "of", "bread")),
        ("Can you please list them?", ("list", "them")),
        ("Can you please everyone", ("can", "you", "please", "everyone")),
        ("May you please list them", ("May", "you", "please", "list", "them")),
        ("How do I look?", ("how", "do", "I", "look")),
        ("How do I?", ("how", "do", "I")),
        ("How can I delete it?", ("how", "to", "delete", "it")),
        ("How nice!", ("how", "nice!")),
        ("Is 5km far?", ("is", "5km", "far")),
        ("Is it 1,000...", ("is", "it", "1,000...")),
        ("Polish sausage", ("Polish", "sausage")),
        ("May sales", ("May", "sales")),
        (" a  b ", (" a  b ",)),
    ],
)
def test_a_reading_keeps_what_carries_meaning(text: str, words: tuple[str, ...]) -> None:
    assert read(text).words == words


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_read_and_is_like_itself(one: str, other: str) -> None:
    assert told_apart(one, one) is None
    assert told_apart(one, other) == told_apart(other, one)


@given(WORDS, st.data())
def test_no_content_word_may_be_missing_added_changed_or_moved(words: list[str], data: st.DataObject) -> None:
    text = f"How do I find {' '.join(words)} here?"
    at = data.draw(st.integers(0, len(words) - 1))
    other = data.draw(st.sampled_from(PLAIN))
    missing = [*words[:at], *words[at + 1 :]]
    added = [*words[:at], other, *words[at:]]
    changed = [*words[:at], other, *words[at + 1 :]]
    moved = data.draw(st.permutations(words))
    for variant in (missing, added, changed, moved):
        apart = told_apart(text, f"How do I find {' '.join(variant)} here?")
        assert (apart is None) == (variant == words)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_no_number_may_differ(one: int, other: int) -> None:
    assume(one != other)
    assert told_apart(f"What is {one} times 7?", f"What is {other} times 7?") == "numbers"


@given(st.integers(1000, 10**9))
def test_a_number_is_compared_as_it_is_written(number: int) -> None:
    # What groups thousands in one language begins the fraction in another, and may part the numbers of a list.
    assert told_apart(f"Was sind {number:,} km?", f"Was sind {number} km?") == "numbers"


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_what_stands_in_quotes_is_compared_by_the_letter(one: str, other: str) -> None:
    assume(one != other)
    assert told_apart(f'How long is "{one}"?', f'How long is "{other}"?') == "wording"
