"""Who waits for a slot, and in which order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from loomwire.application.state.pacing.waiter import CLASSES, Waiter


class Line:
    """The waiting ones by class, each class first come, first served. Not thread-safe: its lane's lock guards it.

    The next one is who asked first, where every class but the first counts as having asked `AGEING_S` later than the
    class before; of equals the more urgent one.

    Attributes:
        count: How many wait.
    """

    __slots__ = ("_classes", "_tokens", "count")

    def __init__(self) -> None:
        """Start empty."""
        # Not plain dicts: those get slow at their front when much is taken from there.
        self._classes: tuple[OrderedDict[Waiter, None], ...] = tuple(OrderedDict() for _ in range(CLASSES))
        self._tokens = [0] * CLASSES
        self.count = 0

    def __iter__(self) -> Iterator[Waiter]:
        """Yield all of them, class by class."""
        for queue in self._classes:
            yield from queue

    def add(self, waiter: Waiter) -> None:
        """Put one at the end of its class."""
        self._classes[waiter.urgency][waiter] = None
        self._tokens[waiter.urgency] += waiter.tokens
        self.count += 1

    def remove(self, waiter: Waiter) -> None:
        """Take one out, wherever it stands. Idempotent."""
        queue = self._classes[waiter.urgency]
        if waiter in queue:
            del queue[waiter]
            self._tokens[waiter.urgency] -= waiter.tokens
            self.count -= 1

    def first(self) -> Waiter | None:
        """Return who is next."""
        heads = [next(iter(queue)) for queue in self._classes if queue]
        return min(heads, key=_rank, default=None)

    def ahead_of(self, waiter: Waiter) -> tuple[int, int]:
        """Return how many will be served before a newcomer, and how many tokens they want."""
        count = tokens = 0
        for urgency, queue in enumerate(self._classes):
            if urgency <= waiter.urgency:
                count += len(queue)
                tokens += self._tokens[urgency]
                continue
            for other in queue:
                if other.rank >= waiter.rank:
                    break
                count += 1
                tokens += other.tokens
        return count, tokens


def _rank(waiter: Waiter) -> float:
    return waiter.rank
