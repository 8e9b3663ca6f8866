"""What a forked child must make anew: locks that another thread of the parent may have held, counts of its calls."""

from __future__ import annotations

import logging
import os
import sys
import threading
import weakref
from abc import abstractmethod
from typing import Final, Protocol


class Forked(Protocol):
    """Knows what to make anew in a child process."""

    @abstractmethod
    def after_fork(self) -> None:
        """Called in the child, before any other code of it runs."""


NO_FORK: Final = threading.RLock()
"""Held while a thread of ours imports: a child forked just then would inherit a module's lock that nobody releases."""

_FORKED: weakref.WeakSet[Forked] = weakref.WeakSet()


def renew_after_fork(thing: Forked) -> None:
    """Call `thing.after_fork()` in every child for as long as `thing` lives."""
    _FORKED.add(thing)


def _renew_all() -> None:
    for thing in tuple(_FORKED):
        thing.after_fork()


# Imported before, so that a fork takes NO_FORK first and logging's lock then, as a thread that imports does.
logging.getLogger("loomwire")

if sys.platform != "win32":  # pragma: no branch
    os.register_at_fork(after_in_child=_renew_all)
    os.register_at_fork(before=NO_FORK.acquire, after_in_parent=NO_FORK.release, after_in_child=NO_FORK.release)
