"""The part of a container by which it is operated: from code, and from other processes of the same user."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from loomwire.application.caching.states import CacheStates
from loomwire.application.registry import ClientRegistry
from loomwire.application.state.circuits import Circuits
from loomwire.application.state.targets import TargetStates
from loomwire.domain.requests import LLMRequest

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.application.selection.route import Route


class OperatingDoor:
    """Tells whom a client would ask, and opens the control socket. Safe for threads and event loops.

    Attributes:
        operable: Whether a container of this class has a control socket when its configuration names one.
    """

    operable: ClassVar[bool] = True

    wiring: containers.Container
    _registry: ClientRegistry

    @property
    def circuits(self) -> Circuits:
        """The circuits of all targets, for an operator: `find("openai/gpt-4o").isolate()`, `reset()`, `statuses()`."""
        states: TargetStates = self.wiring.target_states()
        return states.circuits

    @property
    def caches(self) -> CacheStates:
        """What all clients keep, for an operator: `stores.levels()`, `counts()`."""
        caches: CacheStates = self.wiring.cache_states()
        return caches

    def route(self, name: str, request: LLMRequest, *, streamed: bool = False) -> Route:
        """Return whom a client would ask for a request now, in which order, and why the others not. Sends nothing.

        A rule that draws lots draws again for every call.

        Args:
            name: The client.
            request: What would be asked.
            streamed: As a stream.

        Raises:
            UnknownNameError: No such client.

        Example:
            >>> from loomwire import LLMContainer, LLMRequest
            >>> with LLMContainer.open("config", watch=False) as container:
            ...     [kept.candidate.name for kept in container.route("planner", LLMRequest.of("Hi")).kept]
            ['offline/helper']
        """
        # Asked by operators, and not by every process that starts.
        from loomwire.application.selection.route import route

        states: TargetStates = self.wiring.target_states()
        return route(self._registry.generation.entry(name).config, states, request, streamed=streamed)
