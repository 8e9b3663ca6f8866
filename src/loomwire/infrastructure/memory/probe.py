"""ProcessProbe: how much memory this process takes, and how much it may."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.domain.ports.memory import IMemoryProbe, LimitSource, MemorySample

if TYPE_CHECKING:
    import psutil

    from loomwire.infrastructure.memory.cgroups import GroupMemory


def _own_group() -> GroupMemory | None:
    # As psutil: needed at the first look.
    from loomwire.infrastructure.memory.cgroups import group_memory

    return group_memory()


class ProcessProbe(IMemoryProbe):
    """Looks at this process through psutil, which is imported at the first look. Safe for threads, and after a fork.

    The limit is what was configured or what the control group allows, whichever is less: the group would end the
    process first. Without either it is what the process has and the machine has left.

    Args:
        group: Says what the control group allows.
    """

    def __init__(self, group: Callable[[], GroupMemory | None] = _own_group) -> None:
        """Look at nothing yet."""
        self._group = group
        self._process: psutil.Process | None = None
        self._trim: Callable[[], object] | None = None

    @override
    def sample(self, limit_bytes: int | None) -> MemorySample:
        # Takes some 20 ms to import, which no start of a container waits for.
        import psutil

        try:
            rss = self._current().memory_info().rss
            machine = psutil.virtual_memory()
        except psutil.Error as error:
            raise OSError(f"the process cannot be looked at: {type(error).__name__}") from None
        group = self._group()
        # Version 1 may allow more than there is.
        if group is not None and group.limit_bytes >= machine.total:
            group = None
        limits: list[tuple[int, LimitSource]] = [] if limit_bytes is None else [(limit_bytes, "configured")]
        available = machine.available
        if group is not None:
            limits.append((group.limit_bytes, "cgroup"))
            if group.available_bytes is not None:
                available = min(available, group.available_bytes)
        limit, source = min(limits, default=(rss + available, "machine"))
        return MemorySample(rss, limit, source, available)

    @override
    def release(self) -> None:
        if self._trim is None:
            self._trim = trimmer()
        self._trim()

    def _current(self) -> psutil.Process:
        import psutil

        # One that was made before a fork looks at the parent.
        if self._process is None or self._process.pid != os.getpid():
            self._process = psutil.Process()
        return self._process


def _library() -> object:
    # As psutil: only who is short of memory needs it.
    import ctypes

    return ctypes.CDLL(None)


def trimmer(library: Callable[[], object] = _library) -> Callable[[], object]:
    """Return what gives freed memory back to the system: glibc's `malloc_trim`, or elsewhere nothing.

    It takes 0.1 ms for each MiB that it gives back, and holds up other threads for about 4 ms of that; glibc keeps
    pages below the highest one in use for itself, as much as was ever freed.

    Args:
        library: Loads the C library.
    """
    try:
        trim = getattr(library(), "malloc_trim")  # noqa: B009  # not every C library has it
    except (AttributeError, OSError, TypeError):
        return lambda: None
    return lambda: trim(0)
