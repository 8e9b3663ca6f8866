"""Patience: ends what takes too long, with one timer per event loop instead of one per look."""

from __future__ import annotations

import asyncio
import weakref
from typing import Final

_LATE: Final = "took too long"


class Look:
    """Something that one task does and that may not take long.

    Attributes:
        until: The loop's time at which it is ended.
        is_late: It was ended.
    """

    __slots__ = ("_asked", "_task", "_watch", "is_late", "until")

    def __init__(self, watch: Watch, task: asyncio.Task[object], until: float) -> None:
        """Begin; only `Watch.begin` does."""
        self.until = until
        self.is_late = False
        # Weak: a loop that died in the middle must not live on in here.
        self._task = weakref.ref(task)
        self._asked = task.cancelling()
        self._watch = watch

    def give_up(self) -> None:
        """End it."""
        task = self._task()
        if task is not None:
            self.is_late = True
            task.cancel(_LATE)

    def end(self) -> bool:
        """Say that it is over; tell whether only its own time ended it, and nobody else wants the task to end."""
        self._watch.looks.pop(self, None)
        task = self._task() if self.is_late else None
        return task is not None and task.uncancel() <= self._asked


class Watch:
    """The looks that are going on in one event loop. Only to be used there.

    Attributes:
        looks: In the order in which they end.
    """

    __slots__ = ("__weakref__", "_is_set", "looks")

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.looks: dict[Look, None] = {}
        self._is_set = False

    def begin(self, within_s: float) -> Look:
        """Begin a look of the running task, which is to take so many seconds at most."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a look needs a task")
        loop = asyncio.get_running_loop()
        look = Look(self, task, loop.time() + within_s)
        self.looks[look] = None
        if not self._is_set:
            self._is_set = True
            loop.call_at(look.until, self._ring)
        return look

    def _ring(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for look in tuple(self.looks):
            if look.until > now:
                loop.call_at(look.until, self._ring)
                return
            self.looks.pop(look, None)
            look.give_up()
        self._is_set = False


class Patience:
    """Watches looks on any number of event loops. Safe for threads."""

    __slots__ = ("_watches",)

    def __init__(self) -> None:
        """Watch nothing yet."""
        self._watches: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = weakref.WeakKeyDictionary()

    def begin(self, within_s: float) -> Look:
        """Begin a look of the running task.

        Args:
            within_s: Seconds after which its task is cancelled; whoever began it must `end` it, and is told then.
        """
        loop = asyncio.get_running_loop()
        watch = self._watches.get(loop)
        if watch is None:
            watch = self._watches[loop] = Watch()
        return watch.begin(within_s)
