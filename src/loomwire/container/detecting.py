"""Asking providers what their models can do: in the background at start, or when somebody says so."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from loomwire.application.loop_thread import LoopThread
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.store import ConfigStore
from loomwire.container.wiring import detected_of
from loomwire.domain.errors import ClientRemovedError, UnknownNameError

if TYPE_CHECKING:
    from dependency_injector import containers

    from loomwire.infrastructure.catalogue.detection.detector import Detection

_LOGGER = logging.getLogger("loomwire.catalogue")


class Detecting:
    """Asks, remembers, and has the clients built anew whose models turn out to be other than known.

    Args:
        wiring: The parts.
        registry: Says which models there are.
        store: Builds clients anew.
        threads: Where asking in the background runs.
    """

    def __init__(
        self, wiring: containers.Container, registry: ClientRegistry, store: ConfigStore, threads: LoopThread
    ) -> None:
        """Ask nobody yet."""
        self._wiring = wiring
        self._registry = registry
        self._store = store
        self._threads = threads

    def start(self) -> None:
        """Begin asking in the background if that is configured; returns at once and never fails."""
        if self._registry.generation.snapshot.detection.mode == "background":
            with suppress(ClientRemovedError):
                self._threads.begin(self._in_background())

    async def detect(self, provider: str | None = None, *, stale_only: bool = False) -> tuple[Detection, ...]:
        """Ask providers now; see `LLMContainer.detect`.

        Args:
            provider: The only one to ask.
            stale_only: Ask only those whose answers are too old.

        Raises:
            UnknownNameError: No model of the configuration is of that provider.
        """
        snapshot = self._registry.generation.snapshot
        # Clients written in code are of no named model.
        targets = chain.from_iterable(client.targets for client in snapshot.clients.values())
        known = [*snapshot.models.values(), *targets]
        models = [model for model in known if provider in (None, model.name)]
        if provider is not None and not models:
            names = ", ".join(sorted({model.name for model in known}))
            raise UnknownNameError(f"no model is of the provider {provider!r}", hint=f"Providers of models: {names}.")
        # On a thread, because the first one imports the network.
        detector = await asyncio.to_thread(self._wiring.model_detector)
        found: tuple[Detection, ...] = await detector.detect(models, snapshot.detection, stale_only=stale_only)
        if any(each.error is None for each in found):
            await asyncio.to_thread(self._kept, snapshot.detection.file)
        return found

    def _kept(self, file: str | None) -> None:
        if file is not None:
            from loomwire.infrastructure.catalogue.kept import write

            try:
                write(Path(file), detected_of(self._wiring.model_registry()).found)
            except OSError as error:
                _LOGGER.warning("what providers said of their models cannot be kept in %s: %s", file, error.strerror)
        self._store.renew()

    async def _in_background(self) -> None:
        try:
            found = await self.detect(stale_only=True)
        except Exception as error:  # noqa: BLE001  # whatever a host's own parts raise must not end in nobody's future
            _LOGGER.warning("providers could not be asked what their models can do: %s", type(error).__name__)
            return
        for each in found:
            if each.error is not None:
                _LOGGER.warning("provider %s does not say what its models can do: %s", each.provider, each.error)
