"""Indexes find what is nearest, whatever is added and removed meanwhile, and say so when their package is missing."""

from __future__ import annotations

import subprocess
import sys
import threading
from array import array
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.domain.errors import ConfigError
from loomwire.domain.ports.caching.similarity import ISimilarityIndex
from loomwire.infrastructure.vectors.numpy_index import NumpyIndex
from loomwire.infrastructure.vectors.table import SimilarityIndexes
from loomwire.infrastructure.vectors.usearch_index import Graph, Matches, UsearchIndex

Floats = npt.NDArray[np.float32]


class PlainMatches(Matches):
    """What `PlainGraph` finds."""

    def __init__(self, found: Sequence[tuple[float, int]]) -> None:
        self.keys: Iterable[int] = [key for _, key in found]
        self.distances: Iterable[float] = [distance for distance, _ in found]


class PlainGraph(Graph):
    """Does what usearch's index does, by looking at everything."""

    def __init__(self) -> None:
        self.vectors: dict[int, Floats] = {}

    @override
    def add(self, keys: int, vectors: Floats) -> object:
        self.vectors[keys] = vectors.copy()
        return keys

    @override
    def search(self, vectors: Floats, count: int) -> Matches:
        lengths = {key: float(np.linalg.norm(one)) for key, one in self.vectors.items()}
        own = float(np.linalg.norm(vectors))
        found = [(1 - float(one @ vectors) / lengths[key] / own, key) for key, one in self.vectors.items()]
        return PlainMatches(sorted(found)[:count])

    @override
    def remove(self, keys: int) -> object:
        return self.vectors.pop(keys, None)

    @override
    def __len__(self) -> int:
        return len(self.vectors)


def made(kind: str, dimensions: int = 4) -> ISimilarityIndex:
    return NumpyIndex(dimensions) if kind == "numpy" else UsearchIndex(dimensions, lambda _: PlainGraph())


KINDS = ("numpy", "usearch")


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_comes_first_whatever_its_length(kind: str) -> None:
    index = made(kind)
    index.add(7, [0.0, 9.0, 0.0, 0.0])
    index.add(8, array("f", [0.1, 0.1, 0.0, 0.0]))
    first, second = index.search([0.0, 0.5, 0.0, 0.0], 5)
    assert (first.label, second.label) == (7, 8)
    assert first.similarity == pytest.approx(1.0)
    assert second.similarity == pytest.approx(0.5**0.5)
    assert [one.label for one in index.search([0.0, 0.5, 0.0, 0.0], 1)] == [7]
    assert index.held_bytes() >= 2 * 4 * 4
    index.remove(7)
    index.remove(7)
    assert [one.label for one in index.search([0.0, 1.0, 0.0, 0.0], 5)] == [8]
    assert len(index) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_has_no_direction_or_another_size_is_refused(kind: str) -> None:
    index = made(kind)
    for vector in ([0.0] * 4, [float("nan")] * 4, [float("inf")] * 4, [1.0] * 3, [1.0] * 5):
        with pytest.raises(ValueError, match="the vector has"):
            index.add(1, vector)
        with pytest.raises(ValueError, match="the vector has"):
            index.search(vector, 1)
    assert len(index) == 0
    assert list(index.search([1.0] * 4, 3)) == []


@given(st.lists(st.one_of(st.integers(0, 40), st.just(None)), max_size=120), st.integers(1, 12))
def test_numpy_finds_what_looking_at_all_finds(steps: list[int | None], limit: int) -> None:
    index, model = NumpyIndex(3), dict[int, Floats]()
    for label, removed in enumerate(steps):
        if removed is None or removed not in model:
            vector = np.random.default_rng(label).normal(size=3).astype(np.float32)
            index.add(label, list(map(float, vector)))
            model[label] = vector / np.float32(np.linalg.norm(vector))
        else:
            index.remove(removed)
            del model[removed]
    asked = np.array([0.3, -0.5, 0.8], np.float32)
    found = index.search(list(map(float, asked)), limit)
    unit = asked / np.linalg.norm(asked)
    expected = sorted(((float(one @ unit), label) for label, one in model.items()), reverse=True)[:limit]
    assert [one.label for one in found] == [label for _, label in expected]
    assert [one.similarity for one in found] == pytest.approx([similarity for similarity, _ in expected], abs=1e-5)
    assert len(index) == len(model)


def test_numpy_gives_room_back() -> None:
    index = NumpyIndex(8)
    vectors = [list(map(float, one)) for one in np.random.default_rng(3).normal(size=(3000, 8))]
    for label, vector in enumerate(vectors):
        index.add(label, vector)
    assert 3000 * 32 <= index.held_bytes() <= 4096 * 32
    assert [one.label for one in index.search(vectors[2500], 1)] == [2500]
    for label in range(2999):
        index.remove(label)
    assert index.held_bytes() == 32
    index.remove(2999)
    assert (index.held_bytes(), len(index)) == (0, 0)


def test_a_similarity_is_that_of_its_label_while_others_change_it() -> None:
    index = NumpyIndex(2)
    index.add(10**6, [0.0, 1.0])
    failed: list[object] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            failed.extend(
                one for one in index.search([1.0, 0.0], 4) if abs(one.similarity - (one.label % 2 == 1)) > 1e-6
            )

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for label in range(3000):
        index.add(label, [1.0, 0.0] if label % 2 else [0.0, 1.0])
        index.remove(label - 5)
    stop.set()
    for thread in threads:
        thread.join()
    assert failed == []


def test_the_table_makes_what_is_named_and_says_what_is_missing() -> None:
    indexes = SimilarityIndexes()
    indexes.check("numpy")
    assert isinstance(indexes.index("numpy", 3), NumpyIndex)
    without = SimilarityIndexes(has=lambda package: package == "numpy")
    without.check("numpy")
    with pytest.raises(ConfigError) as missing:
        without.check("usearch")
    assert missing.value.hint == 'pip install "loomwire[usearch]"'
    with pytest.raises(ConfigError) as missing:
        SimilarityIndexes(has=lambda _: None).check("numpy")
    assert missing.value.hint == 'pip install "loomwire[semantic]"'


def test_the_table_costs_no_import_of_numpy() -> None:
    code = "import sys, loomwire.infrastructure.vectors.table as t; t.SimilarityIndexes().check('numpy'); "
    code += "sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_numpy_index_of_one_vector_takes_the_room_of_one() -> None:
    # Each turn of a conversation is a context of its own, and most of them hold one question.
    index = NumpyIndex(1536)
    index.add(1, [1.0] * 1536)
    assert index.held_bytes() == 4 * 1536
