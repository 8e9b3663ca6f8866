"""LLMConfigManager: everything about the configuration of a container that is not a call."""

from __future__ import annotations

from loomwire.application.loop_thread import refuse_in_loop
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.listeners import RejectedListener, Remove, UpdatedListener
from loomwire.application.reload.results import Adoption, Rejection, ReloadResult
from loomwire.application.reload.store import ConfigStore
from loomwire.domain.config import ClientConfig, Snapshot


class LLMConfigManager:
    """Shows the configuration in force, where it came from, and tells of changes. Safe for threads.

    Args:
        registry: What is in force.
        store: Keeps it up to date.
    """

    def __init__(self, registry: ClientRegistry, store: ConfigStore) -> None:
        """Show these."""
        self._registry = registry
        self._store = store

    @property
    def snapshot(self) -> Snapshot:
        """The configuration in force."""
        return self._registry.generation.snapshot

    @property
    def generation(self) -> int:
        """The number of the generation in force, from 1."""
        return self._registry.generation.number

    @property
    def history(self) -> tuple[Adoption, ...]:
        """The last generations, oldest first; the last is in force."""
        return self._store.history

    @property
    def rejection(self) -> Rejection | None:
        """The edit that is not in force, or None when the files say what is in force."""
        return self._store.rejection

    def get_client_config(self, name: str) -> ClientConfig:
        """Return the configuration a client in force was built from, its provider's defaults filled in.

        Raises:
            UnknownNameError: No such client.
        """
        return self._registry.generation.entry(name).config

    def reload(self, *, allow_shrink: bool = False) -> ReloadResult:
        """Read everything now and put what is new in force; blocks. See `ConfigStore.reload`.

        Raises:
            LLMValidationError: Inside a running event loop.
        """
        refuse_in_loop("reload()", "`await asyncio.to_thread(configs.reload)`")
        return self._store.reload(allow_shrink=allow_shrink)

    def rollback(self, number: int) -> ReloadResult:
        """Put an earlier configuration in force again until the next valid edit; blocks for the building.

        Raises:
            UnknownNameError: The history does not know this generation.
            LLMValidationError: Inside a running event loop.
        """
        refuse_in_loop("rollback()", "`await asyncio.to_thread(configs.rollback, number)`")
        return self._store.rollback(number)

    def on_config_updated(self, listener: UpdatedListener) -> Remove:
        """Call `listener(old, new, diff)` after every swap; returns a function that ends that.

        A plain function is called on the thread that reloads, so it delays the next listener; a coroutine function is
        run by the event loop it was registered in. What it raises is logged and disturbs nobody.

        Raises:
            LLMValidationError: A coroutine function, outside of a running event loop.
        """
        return self._store.updated.add(listener)

    def on_config_rejected(self, listener: RejectedListener) -> Remove:
        """Call `listener(kept, problems)` once per edit that does not come into force; else as `on_config_updated`.

        Raises:
            LLMValidationError: A coroutine function, outside of a running event loop.
        """
        return self._store.rejected.add(listener)
