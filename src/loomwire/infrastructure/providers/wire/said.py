"""Text that comes in small pieces, kept in blocks."""

from __future__ import annotations

from itertools import chain

_BLOCK = 1024


class Said:
    """Collects the pieces of one text. Belongs to one task.

    A piece of two letters takes sixty bytes of memory, so a server that streams without end would get thirty bytes of
    ours for each of its own; joined to blocks they take what they are long.

    Attributes:
        count: How many pieces came.
    """

    __slots__ = ("_blocks", "_joined", "_tail", "count")

    def __init__(self) -> None:
        """Hold nothing."""
        self._blocks: list[str] = []
        self._tail: list[str] = []
        self._joined = 0
        self.count = 0

    def __bool__(self) -> bool:
        """Tell whether anything came."""
        return self.count > 0

    def add(self, piece: str) -> None:
        """Note the next piece."""
        self._tail.append(piece)
        self.count += 1
        if not self.count % _BLOCK:
            block = "".join(self._tail)
            self._blocks.append(block)
            self._joined += len(block)
            self._tail.clear()

    def text(self) -> str:
        """Return all of it."""
        return "".join((*self._blocks, *self._tail))

    def since(self, start: int) -> str:
        """Return what came after the first `start` characters, looking at nothing before them."""
        left = self._joined + sum(map(len, self._tail)) - start
        parts: list[str] = []
        for piece in chain(reversed(self._tail), reversed(self._blocks)):
            if left <= 0:
                break
            parts.append(piece[-left:])
            left -= len(piece)
        return "".join(reversed(parts))
