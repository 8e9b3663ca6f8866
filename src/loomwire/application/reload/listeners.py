"""Who is told of reloads: functions and coroutine functions, each on its own, in order, and never in the way."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from loomwire.application.reload.adoptions import Diff
from loomwire.application.reload.ear import Ear
from loomwire.application.reload.telling import Teller
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.reports.problems import Problem

UpdatedListener: TypeAlias = Callable[[Snapshot, Snapshot, Diff], Awaitable[None] | None]
"""Takes the configuration before, the one in force now, and what differs."""

RejectedListener: TypeAlias = Callable[[Snapshot, tuple[Problem, ...]], Awaitable[None] | None]
"""Takes the configuration that stays in force, and why the new one did not come into force."""

Remove: TypeAlias = Callable[[], None]

_L = TypeVar("_L")


class Listeners(Generic[_L]):
    """The listeners of one kind. Safe for threads.

    Args:
        teller: Calls them.
    """

    def __init__(self, teller: Teller) -> None:
        """Know nobody."""
        self._teller = teller
        self._known: dict[Ear, _L] = {}

    def add(self, listener: _L) -> Remove:
        """Add a listener and return a function that removes it; twice added is twice called.

        Raises:
            LLMValidationError: No function; or a coroutine function outside of a running loop: nobody would run it.
        """
        if not callable(listener):
            hint = "Give a function, or inside its event loop a coroutine function."
            raise LLMValidationError(f"a listener is a function, not {type(listener).__name__}", hint=hint)
        ear = Ear(_name_of(listener), _loop_of(listener))
        self._known[ear] = listener

        def remove() -> None:
            """Tell the listener nothing more; also what is on its way."""
            ear.gone = True
            self._known.pop(ear, None)

        return remove

    def tell(self, call: Callable[[_L], Awaitable[None] | None]) -> None:
        """Have the teller call every listener there is now by `call`."""
        for ear, listener in tuple(self._known.items()):
            self._teller.put(ear, partial(call, listener))


def _name_of(listener: object) -> str:
    while isinstance(listener, functools.partial):
        listener = listener.func
    named = listener if hasattr(listener, "__qualname__") else type(listener)
    return f"{getattr(named, '__module__', None)}.{getattr(named, '__qualname__', None)}"


def _loop_of(listener: object) -> asyncio.AbstractEventLoop | None:
    called = listener if inspect.isroutine(listener) else getattr(listener, "__call__", None)  # noqa: B004
    if not (inspect.iscoroutinefunction(listener) or inspect.iscoroutinefunction(called)):
        return None
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise LLMValidationError(
            "an async listener is registered inside the event loop that shall run it", hint="Or give a plain function."
        ) from None
