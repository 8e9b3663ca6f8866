"""The ports for likeness: who finds the vectors that are nearest to one, and who makes such an index."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from loomwire.domain.caching.policies import CacheIndex
from loomwire.domain.vectors.embeddings import Vector


class Near(NamedTuple):
    """A vector that was found.

    Attributes:
        label: What it was added under.
        similarity: The cosine of both, -1 to 1.
    """

    label: int
    similarity: float


class ISimilarityIndex(Protocol):
    """Holds vectors of one size in memory, each of length 1 whatever it was given. Safe for threads.

    Nothing here waits for I/O; among 10,000 vectors of 384 numbers `search` takes about half a millisecond, and `add`
    of a graph likewise; the other methods take microseconds.
    """

    @abstractmethod
    def add(self, label: int, vector: Vector) -> None:
        """Take a vector in.

        Args:
            label: Not used before, in this index.
            vector: Of the index's size.

        Raises:
            ValueError: It is of another size, or all zeros, and so like nothing.
        """

    @abstractmethod
    def search(self, vector: Vector, limit: int) -> Sequence[Near]:
        """Return the nearest ones, the nearest first; of what changes meanwhile, either state.

        A similarity is always that of the label it comes with.

        Raises:
            ValueError: The vector is of another size, or all zeros.
        """

    @abstractmethod
    def remove(self, label: int) -> None:
        """Forget a vector; one that is not there is no error."""

    @abstractmethod
    def held_bytes(self) -> int:
        """Return what the vectors take, with the room that is kept for more."""

    @abstractmethod
    def __len__(self) -> int:
        """Return how many vectors there are."""


class ISimilarityIndexes(Protocol):
    """Makes indexes. Safe to call from any thread."""

    @abstractmethod
    def check(self, kind: CacheIndex) -> None:
        """Look whether the package behind a kind is installed, without importing it. Called at build time.

        Raises:
            ConfigError: It is not; the hint says how to install it.
        """

    @abstractmethod
    def index(self, kind: CacheIndex, dimensions: int) -> ISimilarityIndex:
        """Return an empty index; the first one imports the package, which takes a tenth of a second.

        Raises:
            ImportError: The package is not there, or broken.
        """
