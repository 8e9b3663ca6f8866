"""UsearchIndex: the nearest vectors by a graph, for hundreds of thousands of them.

It may miss a few that numpy would find, which is a miss of the cache; what it finds has its true similarity. usearch is
imported when the first graph is made.
"""

from __future__ import annotations

import importlib
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from loomwire.domain.ports.caching.similarity import ISimilarityIndex, Near
from loomwire.domain.vectors.embeddings import Vector

_LINKS: Final = 800
"""Bytes of a vector's links to others, measured; the package's own figure counts space that is never touched."""


class Matches(Protocol):
    """What a graph finds."""

    keys: Iterable[int]
    distances: Iterable[float]


class Graph(Protocol):
    """What we use of the package's class `Index`."""

    @abstractmethod
    def add(self, keys: int, vectors: npt.NDArray[np.float32]) -> object:
        """Take a vector in."""

    @abstractmethod
    def search(self, vectors: npt.NDArray[np.float32], count: int) -> Matches:
        """Find the nearest ones."""

    @abstractmethod
    def remove(self, keys: int) -> object:
        """Forget a vector."""

    @abstractmethod
    def __len__(self) -> int:
        """Count them."""


def graph(dimensions: int) -> Graph:
    """Return an empty graph of the package's.

    Raises:
        ImportError: usearch is not there, or broken.
    """
    module = importlib.import_module("usearch.index")
    made: Graph = module.Index(ndim=dimensions, metric="cos", dtype="f32")
    return made


class UsearchIndex(ISimilarityIndex):
    """Keeps vectors in a graph, and one lock around it: it must not change while it is searched.

    Args:
        dimensions: Numbers of each vector.
        made: Makes the graph.

    Raises:
        ImportError: usearch is not there, or broken.
    """

    def __init__(self, dimensions: int, made: Callable[[int], Graph] = graph) -> None:
        """Hold nothing yet."""
        self._dimensions = dimensions
        self._graph = made(dimensions)
        self._lock = threading.Lock()

    @override
    def add(self, label: int, vector: Vector) -> None:
        checked = self._checked(vector)
        with self._lock:
            self._graph.add(label, checked)

    @override
    def search(self, vector: Vector, limit: int) -> Sequence[Near]:
        checked = self._checked(vector)
        with self._lock:
            matches = self._graph.search(checked, limit)
        found = zip(matches.keys, matches.distances, strict=True)
        return [Near(int(label), 1.0 - float(distance)) for label, distance in found]

    @override
    def remove(self, label: int) -> None:
        with self._lock:
            self._graph.remove(label)

    @override
    def held_bytes(self) -> int:
        return len(self) * (4 * self._dimensions + _LINKS)

    @override
    def __len__(self) -> int:
        return len(self._graph)

    def _checked(self, vector: Vector) -> npt.NDArray[np.float32]:
        given: npt.NDArray[np.float32] = np.asarray(vector, dtype=np.float32)
        if given.shape != (self._dimensions,):
            raise ValueError(f"the vector has {given.size} numbers, not {self._dimensions}")
        if not 0 < float(np.linalg.norm(given)) < np.inf:
            raise ValueError("the vector has no direction")
        return given
