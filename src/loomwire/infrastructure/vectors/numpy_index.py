"""NumpyIndex: the nearest vectors by looking at all of them. Exact; numpy is imported with this module."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from typing_extensions import override

from loomwire.domain.ports.caching.similarity import ISimilarityIndex, Near
from loomwire.domain.vectors.embeddings import Vector

Floats: TypeAlias = npt.NDArray[np.float32]

_MOST_ROWS: Final = 1024
_FREE: Final = -1


class NumpyIndex(ISimilarityIndex):
    """Keeps vectors in blocks that are never copied: one row first, as many as there are next, at most 1,024.

    Searching takes no lock while numpy multiplies. What it finds is looked at again under the lock, number by number,
    so that a row that was given away meanwhile is never taken for its former vector.

    Args:
        dimensions: Numbers of each vector.
    """

    def __init__(self, dimensions: int) -> None:
        """Hold nothing yet."""
        self._dimensions = dimensions
        self._blocks: list[Floats] = []
        self._starts: list[int] = []
        self._labels: list[int] = []
        self._rows: dict[int, int] = {}
        self._room = 0
        self._lock = threading.Lock()

    @override
    def add(self, label: int, vector: Vector) -> None:
        unit = self._unit(vector)
        with self._lock:
            row = len(self._labels)
            if row == self._room:
                self._grow()
            self._row(row)[:] = unit
            self._labels.append(label)
            self._rows[label] = row

    @override
    def search(self, vector: Vector, limit: int) -> Sequence[Near]:
        unit = self._unit(vector)
        with self._lock:
            blocks = tuple(zip(self._starts, self._blocks, strict=True))
            count = len(self._labels)
        best: list[tuple[float, int]] = []
        for start, block in blocks:
            likeness = block[: max(0, count - start)] @ unit
            rows = np.argpartition(-likeness, limit)[:limit] if len(likeness) > limit else np.arange(len(likeness))
            best += [(float(likeness[row]), start + int(row)) for row in rows]
        best.sort(reverse=True)
        with self._lock:
            near = [self._seen(row, unit) for _, row in best[:limit] if row < len(self._labels)]
        return sorted(near, key=lambda one: -one.similarity)

    @override
    def remove(self, label: int) -> None:
        with self._lock:
            row = self._rows.pop(label, _FREE)
            if row == _FREE:
                return
            last = len(self._labels) - 1
            moved = self._labels.pop()
            if row != last:
                self._row(row)[:] = self._row(last)
                self._labels[row] = moved
                self._rows[moved] = row
            if last == self._starts[-1]:
                self._room = self._starts.pop()
                self._blocks.pop()

    @override
    def held_bytes(self) -> int:
        return 4 * self._room * self._dimensions

    @override
    def __len__(self) -> int:
        return len(self._labels)

    def _unit(self, vector: Vector) -> Floats:
        given: Floats = np.asarray(vector, dtype=np.float32)
        if given.shape != (self._dimensions,):
            raise ValueError(f"the vector has {given.size} numbers, not {self._dimensions}")
        length = float(np.linalg.norm(given))
        if not 0 < length < np.inf:
            raise ValueError("the vector has no direction")
        unit: Floats = given / np.float32(length)
        return unit

    def _grow(self) -> None:
        rows = min(_MOST_ROWS, max(1, self._room))
        self._blocks.append(np.zeros((rows, self._dimensions), np.float32))
        self._starts.append(self._room)
        self._room += rows

    def _row(self, row: int) -> Floats:
        at = _block_of(row)
        taken: Floats = self._blocks[at][row - self._starts[at]]
        return taken

    def _seen(self, row: int, unit: Floats) -> Near:
        return Near(self._labels[row], float(self._row(row) @ unit))


def _block_of(row: int) -> int:
    """Return which block holds a row: they begin at 0, 1, 2, 4, 8, ... 1024, 2048, 3072, ..."""
    if row >= _MOST_ROWS:
        return row // _MOST_ROWS + _MOST_ROWS.bit_length() - 1
    return row.bit_length()
