"""Sync tools on threads of their own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


async def on_thread(function: Callable[[], T], name: str) -> T:
    """Run a sync function on a thread of its own, in the caller's context, and wait for it.

    Not on the loop's own pool of threads: what hangs there would take the place of name look-ups and of everything
    else that has to leave the loop. The thread is a daemon, so that the process can end although a tool does not.

    Cancelled, it stops waiting; the function goes on, and what it returns or raises is dropped.

    Args:
        function: What to run.
        name: What the thread is called.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = copy_context()

    def tell(deliver: Callable[[], None]) -> None:
        def delivered() -> None:
            if not future.done():
                deliver()

        # The loop may be closed by now: then nobody waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(delivered)

    def work() -> None:
        try:
            result = context.run(function)
        except StopIteration:
            # No future carries it.
            failure = RuntimeError("the tool raised StopIteration")
            tell(lambda: future.set_exception(failure))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to who waits
            kept = error
            tell(lambda: future.set_exception(kept))
        else:
            tell(lambda: future.set_result(result))

    threading.Thread(target=work, name=name, daemon=True).start()
    return await future
