"""What is remembered is bounded, apart by context, and gone when it has to be."""

from __future__ import annotations

import threading

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typing_extensions import override

from loomwire.application.caching.semantic.memories import SimilarMemories
from loomwire.application.caching.semantic.memory import Asked, SimilarMemory
from loomwire.application.caching.semantic.reading import read
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.errors import ConfigError
from loomwire.domain.vectors.embeddings import Vector
from support.similar import PlainIndex, PlainIndexes, word_vector

HERE = CacheKey("planner", b"here")
THERE = CacheKey("planner", b"there")


def key(number: int) -> CacheKey:
    return CacheKey("planner", number.to_bytes(32, "big"))


def asked(question: str, context: CacheKey = HERE) -> Asked:
    return Asked(context, question, word_vector(question))


def remembered(memory: SimilarMemory, question: str, context: CacheKey = HERE) -> list[CacheKey]:
    return [found.key for found in memory.search(asked(question, context), 8)]


def memory(entries: int = 10) -> SimilarMemory:
    return SimilarMemory("planner", PlainIndex, entries)


def test_the_nearest_comes_first_with_its_own_similarity() -> None:
    it = memory()
    it.add(asked("red green"), key(1))
    it.add(asked("red blue"), key(2))
    first, second = it.search(asked("red blue"), 8)
    assert (first.key, first.question) == (key(2), "red blue")
    assert first.similarity == pytest.approx(1.0)
    assert second.similarity == pytest.approx(0.5)


def test_no_repr_shows_a_question() -> None:
    it = memory()
    it.add(asked("CANARY"), key(1))
    shown = repr((it, asked("CANARY"), it.search(asked("CANARY"), 1), it.counts()))
    assert "CANARY" not in shown
    assert "CANARY" not in repr(read("CANARY"))


def test_contexts_are_apart() -> None:
    it = memory()
    it.add(asked("red"), key(1))
    assert remembered(it, "red", THERE) == []
    assert it.size(HERE, 64) == 64
    assert it.size(THERE, 64) == 0


def test_vectors_of_another_size_are_never_compared() -> None:
    it = memory()
    it.add(asked("red"), key(1))
    assert it.search(Asked(HERE, "red", [1.0, 0.0]), 8) == ()


def test_the_oldest_leave_when_there_are_too_many() -> None:
    it = memory(entries=2)
    for number, question in enumerate(("red", "green", "blue")):
        it.add(asked(question, THERE if number else HERE), key(number))
    assert len(it) == 2
    assert remembered(it, "red") == []
    assert set(remembered(it, "green", THERE)) == {key(1), key(2)}


def test_a_key_has_one_question_the_newest() -> None:
    it = memory()
    it.add(asked("red"), key(1))
    it.add(asked("green"), key(1))
    assert len(it) == 1
    assert [found.question for found in it.search(asked("green"), 8)] == ["green"]
    it.forget(key(1))
    it.forget(key(1))
    assert len(it) == 0


def test_what_is_like_nothing_leaves_no_trace() -> None:
    it = memory()
    with pytest.raises(ValueError, match="like nothing"):
        it.add(Asked(HERE, "nothing", [0.0] * 64), key(1))
    assert (len(it), it.size(HERE, 64), remembered(it, "nothing")) == (0, 0, [])


def test_it_gives_memory_back_and_takes_it_again() -> None:
    it = memory(entries=4)
    for number in range(4):
        it.add(asked(f"red{number}"), key(number))
    full = it.held_bytes()
    assert full > 4 * 64 * 4
    it.allow(0.5)
    assert len(it) == 2
    assert it.held_bytes() < full
    it.hold(key(9), asked("pending"))
    it.allow(0)
    assert (len(it), it.held_bytes()) == (0, 0)
    it.add(asked("red"), key(1))
    assert len(it) == 0
    it.allow(1)
    it.add(asked("red"), key(1))
    assert len(it) == 1
    assert it.name == "semantic cache of planner"


def test_a_vector_is_held_until_its_question_is_answered() -> None:
    it = memory()
    it.hold(key(1), asked("red"))
    assert it.held_bytes() == 64 * 4 + 3
    assert it.take(key(1)) == asked("red")
    assert it.take(key(1)) is None
    for number in range(300):
        it.hold(key(number), asked("red"))
    assert it.take(key(0)) is None
    assert it.take(key(299)) is not None


def test_a_child_process_begins_with_nothing() -> None:
    it = memory()
    it.add(asked("red"), key(1))
    it.tally.note("near")
    it.after_fork()
    assert (len(it), remembered(it, "red")) == (0, [])
    assert it.counts().near == 1


def test_who_was_overtaken_while_adding_leaves_no_trace() -> None:
    made: list[PlainIndex] = []

    class Overtaken(PlainIndex):
        """While the first one takes a vector in, another call begins an index for the same place."""

        @override
        def add(self, label: int, vector: Vector) -> None:
            if self is made[0] and len(made) == 1:
                it.add(asked("blue"), key(2))
            super().add(label, vector)

    def make(dimensions: int) -> PlainIndex:
        made.append(Overtaken(dimensions))
        return made[-1]

    it = SimilarMemory("planner", make, 5)
    it.add(asked("red"), key(1))
    assert len(it) == 1
    assert remembered(it, "red") == [key(2)]
    it.forget(key(2))
    assert it.held_bytes() == 0


def test_threads_may_use_it_at_once() -> None:
    it = memory(entries=50)
    seen: list[int] = []

    def work(start: int) -> None:
        for number in range(start, start + 200):
            it.add(asked(f"red {number % 7}", HERE if number % 2 else THERE), key(number))
            seen.extend(len(it.search(asked("red 1"), 8)) for _ in range(2))
            it.forget(key(number - 3))

    threads = [threading.Thread(target=work, args=(1000 * n + 3,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(it) <= 50
    assert len(it) * 64 == it.size(HERE, 64) + it.size(THERE, 64)
    assert seen


class Remembering(RuleBasedStateMachine):
    """The memory beside a list of what was put in."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = memory(entries=5)
        self.model: list[tuple[CacheKey, CacheKey, str]] = []
        self.most = 5

    def trim(self) -> None:
        self.model = self.model[max(0, len(self.model) - self.most) :]

    @rule(
        context=st.sampled_from([HERE, THERE]),
        number=st.integers(0, 7),
        question=st.sampled_from(["red", "green", "blue sky"]),
    )
    def add(self, context: CacheKey, number: int, question: str) -> None:
        self.memory.add(asked(question, context), key(number))
        self.model = [one for one in self.model if one[1] != key(number)]
        self.model.append((context, key(number), question))
        self.trim()

    @rule(number=st.integers(0, 7))
    def forget(self, number: int) -> None:
        self.memory.forget(key(number))
        self.model = [one for one in self.model if one[1] != key(number)]

    @rule(share=st.sampled_from([0.0, 0.4, 1.0]))
    def allow(self, share: float) -> None:
        self.memory.allow(share)
        self.most = int(5 * share)
        self.trim()

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        assert len(self.memory) == len(self.model)
        for context in (HERE, THERE):
            found = self.memory.search(asked("blue sky", context), 8)
            expected = {(one[1], one[2]) for one in self.model if one[0] == context}
            assert {(one.key, one.question) for one in found} == expected


test_it_does_what_a_list_does = Remembering.TestCase


def test_a_memory_outlives_a_reload_as_long_as_its_vectors_are_comparable() -> None:
    memories = SimilarMemories(PlainIndexes())
    it = memories.memory("planner", "numpy", b"model", 10)
    it.add(asked("red"), key(1))
    it.add(asked("green"), key(2))
    assert memories.memory("planner", "numpy", b"model", 1) is it
    assert len(it) == 1
    other = memories.memory("planner", "numpy", b"other", 10)
    assert other is not it
    assert memories.holders() == [it, other]
    assert memories.memory("helper", "numpy", b"other", 10) is not other
    assert list(memories.counts()) == ["helper", "planner"]
    memories.after_fork()
    memories.retain({"helper", "planner"})
    assert it not in memories.holders()
    assert other in memories.holders()
    memories.retain({"helper"})
    assert list(memories.counts()) == ["helper"]
    with pytest.raises(ConfigError):
        memories.memory("planner", "usearch", b"model", 10)


def test_a_configuration_that_is_not_adopted_takes_no_memory_away() -> None:
    memories = SimilarMemories(PlainIndexes())
    it = memories.memory("planner", "numpy", b"model", 10)
    it.add(asked("red"), key(1))
    memories.memory("planner", "numpy", b"other", 10)
    # What was in force is built once more.
    assert memories.memory("planner", "numpy", b"model", 10) is it
    memories.retain({"planner"})
    assert memories.holders() == [it]
    assert memories.counts()["planner"].entries == 1
