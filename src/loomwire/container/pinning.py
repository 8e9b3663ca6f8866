"""One configuration for a whole run: a view of a container that sees no reload."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import override

from loomwire.application.loop_thread import LoopThread
from loomwire.application.pinned import PinnedRegistry
from loomwire.container.resolving import Resolver
from loomwire.domain.errors import LLMValidationError

if TYPE_CHECKING:
    from dependency_injector import containers


class PinnedContainer(Resolver):
    """Hands out clients of the generation that was in force when the run began, whatever is reloaded meanwhile.

    Its clients refuse calls once the run has ended. Pass it on wherever a container is wanted; runs may be nested, and
    an inner one sees what the outer one sees.

    Attributes:
        generation: The number of the generation.
    """

    def __init__(self, wiring: containers.Container, pinned: PinnedRegistry, threads: LoopThread) -> None:
        """Use `LLMContainer.pinned()`."""
        super().__init__(wiring, pinned, threads)
        self._pinned = pinned
        self.generation = pinned.generation.number

    def pinned(self) -> Pinning:
        """Return a run inside this one, on the same generation.

        Beginning it after this one has ended raises `ClientRemovedError`.
        """
        return Pinning(self.wiring, self._pinned.pinned, self._threads)


class Pinning(AbstractContextManager[PinnedContainer], AbstractAsyncContextManager[PinnedContainer]):
    """A run: `with` and `async with` give a `PinnedContainer` and hold its generation until the end of the block.

    Neither waits for anything. The generation's connections stay open meanwhile, so do not hold it for ever. One run
    at a time: threads and tasks call `pinned()` each for themselves.

    Args:
        wiring: The parts.
        pin: Takes the generation.
        threads: The loop of blocking clients.
    """

    def __init__(self, wiring: containers.Container, pin: Callable[[], PinnedRegistry], threads: LoopThread) -> None:
        """Take nothing yet."""
        self._wiring = wiring
        self._pin = pin
        self._threads = threads
        self._held: PinnedRegistry | None = None

    @override
    def __enter__(self) -> PinnedContainer:
        if self._held is not None:
            # The first to leave would end the other one's run.
            raise LLMValidationError("this run has begun already", hint="Call `pinned()` once for each run.")
        self._held = pinned = self._pin()
        return PinnedContainer(self._wiring, pinned, self._threads)

    @override
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    @override
    async def __aenter__(self) -> PinnedContainer:
        return self.__enter__()

    @override
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)
