"""SimilarMemory: the questions of one client that were answered, and where their answers are kept."""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from typing_extensions import override

from loomwire.application.caching.semantic.tallies import SimilarCounts, SimilarTally
from loomwire.application.forks import renew_after_fork
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.ports.caching.similarity import ISimilarityIndex
from loomwire.domain.ports.memory import IMemoryHolder
from loomwire.domain.vectors.embeddings import Vector

IndexMaker: TypeAlias = Callable[[int], ISimilarityIndex]
"""Makes an index for vectors of so many numbers."""

_PENDING: Final = 256
_BESIDE: Final = 600
"""Bytes that Python takes for one entry beside its text and its vector, measured: 420 here, the rest in the index."""
_CONTEXT: Final = 800
"""Bytes that one more context takes, measured: its index and its key. Each turn of a conversation is one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its vector.

    Attributes:
        context: The key of everything around it, which has to be equal: the tenant too.
        question: Its text.
        vector: Where the model put it.
    """

    context: CacheKey
    question: str = field(repr=False)
    vector: Vector = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """A question that is like another one.

    Attributes:
        question: Its text.
        key: Where its answer is kept.
        similarity: The cosine of both.
    """

    question: str = field(repr=False)
    key: CacheKey
    similarity: float


@dataclass(frozen=True, slots=True)
class _Entry:
    place: tuple[CacheKey, int]
    question: str = field(repr=False)
    key: CacheKey


class SimilarMemory(IMemoryHolder):
    """Remembers so many questions, the oldest leave. Safe for threads and event loops; nothing here waits.

    Each context has an index of its own, so that nothing is ever compared across tenants, conversations or tools, and
    a child process begins with nothing.

    Args:
        name: The client's, for reports.
        index: Makes the indexes.
        entries: How many questions are remembered.

    Attributes:
        tally: What is counted.
    """

    def __init__(self, name: str, index: IndexMaker, entries: int) -> None:
        """Remember nothing yet."""
        self.tally = SimilarTally()
        self._name = name
        self._index = index
        self._most = entries
        self._share = 1.0
        self._labels = itertools.count()
        self.after_fork()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """Begin anew in a child: another thread of the parent may have been in the middle of a change."""
        self._lock = threading.Lock()
        self._indexes: dict[tuple[CacheKey, int], ISimilarityIndex] = {}
        # Ordered: to find the first of a plain dict whose front was emptied takes longer and longer.
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._by_key: dict[CacheKey, int] = {}
        self._pending: OrderedDict[CacheKey, Asked] = OrderedDict()
        self._characters = 0
        self.tally.after_fork()

    @property
    @override
    def name(self) -> str:
        """What it is, for reports."""
        return f"semantic cache of {self._name}"

    def warm(self) -> None:
        """Import what the indexes need. Takes a tenth of a second the first time: never on an event loop.

        Raises:
            ImportError: The package is gone, or broken.
        """
        self._index(1)

    def __len__(self) -> int:
        """Return how many questions are remembered."""
        return len(self._entries)

    def size(self, context: CacheKey, dimensions: int) -> int:
        """Return how many numbers a search has to look at."""
        index = self._indexes.get((context, dimensions))
        return 0 if index is None else len(index) * dimensions

    def search(self, asked: Asked, limit: int) -> Sequence[Found]:
        """Return the questions of the same context that are nearest, the nearest first.

        Raises:
            ValueError: The vector is like nothing: all zeros.
        """
        with self._lock:
            index = self._indexes.get((asked.context, len(asked.vector)))
        if index is None:
            return ()
        near = index.search(asked.vector, limit)
        found: list[Found] = []
        with self._lock:
            for label, similarity in near:
                entry = self._entries.get(label)
                if entry is not None:
                    found.append(Found(entry.question, entry.key, similarity))
        return found

    def add(self, asked: Asked, key: CacheKey) -> None:
        """Remember a question in place of the one whose answer is kept under the same key.

        Raises:
            ValueError: The vector is like nothing: all zeros.
            ImportError: The package behind the index is gone.
        """
        place = (asked.context, len(asked.vector))
        with self._lock:
            self._forget(key)
            if self._room() < 1:
                return
            index = self._indexes.get(place)
            label = next(self._labels)
        if index is None:
            index = self._index(len(asked.vector))
        # Outside the lock: a graph takes a millisecond. Until it is noted below, a search passes over the label.
        index.add(label, asked.vector)
        with self._lock:
            # Another thread may have noted the same key meanwhile, or dropped the empty index and begun another.
            self._forget(key)
            if self._indexes.setdefault(place, index) is not index:
                return
            self._entries[label] = _Entry(place, asked.question, key)
            self._by_key[key] = label
            self._characters += len(asked.question)
            self._trim()

    def forget(self, key: CacheKey) -> None:
        """Forget the question whose answer is, or was, kept there."""
        with self._lock:
            self._forget(key)

    def hold(self, key: CacheKey, asked: Asked) -> None:
        """Hold on to a vector until its question is answered; the oldest of 256 gives way."""
        with self._lock:
            self._pending[key] = asked
            if len(self._pending) > _PENDING:
                self._pending.popitem(last=False)

    def take(self, key: CacheKey) -> Asked | None:
        """Give back what was held, once."""
        with self._lock:
            return self._pending.pop(key, None)

    def limit(self, entries: int) -> None:
        """Remember at most so many questions from now on."""
        with self._lock:
            self._most = entries
            self._trim()

    @override
    def held_bytes(self) -> int:
        with self._lock:
            vectors = sum(index.held_bytes() for index in self._indexes.values())
            pending = sum(4 * len(asked.vector) + len(asked.question) for asked in self._pending.values())
            beside = _BESIDE * len(self._entries) + _CONTEXT * len(self._indexes)
            return vectors + pending + self._characters + beside

    @override
    def allow(self, share: float) -> None:
        with self._lock:
            self._share = share
            if share <= 0:
                self._pending.clear()
            self._trim()

    def counts(self) -> SimilarCounts:
        """Return what was counted, and what is remembered now."""
        return self.tally.counts(len(self), self.held_bytes())

    def _room(self) -> int:
        return int(self._most * self._share)

    def _trim(self) -> None:
        while len(self._entries) > self._room():
            # Labels only grow and nothing is put in twice, so the first one is the oldest.
            self._drop(next(iter(self._entries)))

    def _forget(self, key: CacheKey) -> None:
        label = self._by_key.get(key)
        if label is not None:
            self._drop(label)

    def _drop(self, label: int) -> None:
        entry = self._entries.pop(label)
        del self._by_key[entry.key]
        self._characters -= len(entry.question)
        index = self._indexes[entry.place]
        index.remove(label)
        if not len(index):
            del self._indexes[entry.place]
