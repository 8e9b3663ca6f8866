"""LLMConfigManager: everything about the configuration of a container that is not a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loomwire.application.loop_thread import refuse_in_loop
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.listeners import RejectedListener, Remove, UpdatedListener
from loomwire.application.reload.store import ConfigStore
from loomwire.domain.config import ClientConfig, Snapshot

if TYPE_CHECKING:
    from loomwire.application.reload.results import Adoption, Rejection, ReloadResult, SlowListener


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
        """The edit that is bad and so not in force, or None; a rollback leaves it standing, the next edit ends it."""
        return self._store.rejection

    @property
    def rolled_back_to(self) -> int | None:
        """The generation that is in force again instead of what the files say, or None."""
        return self._store.rolled_back_to

    @property
    def slow_listeners(self) -> tuple[SlowListener, ...]:
        """The plain listeners that have been running for more than a second, or missed something since they had."""
        return self._store.slow

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
        """Put an earlier configuration in force again, as a new generation; blocks for the building.

        The files stay as they are, and out of force as long as they hold just what they hold now: what is edited in
        any of them brings all of them into force again, as does a restart. `loomwire config rollback` is the one that
        changes the files. `rolled_back_to` says that it holds, and `rejection` goes on telling of a bad edit.

        Raises:
            UnknownNameError: The history does not know this generation.
            LLMValidationError: Inside a running event loop.
        """
        refuse_in_loop("rollback()", "`await asyncio.to_thread(configs.rollback, number)`")
        return self._store.rollback(number)

    def on_config_updated(self, listener: UpdatedListener) -> Remove:
        """Call `listener(old, new, diff)` after every swap; returns a function that ends that.

        A plain function is called on a thread of ours, one after the other in the order of events, and a reload returns
        when all were told. One that runs for more than a second is left to itself: the others are told without it, the
        log and `health()` say so, and up to 32 events wait for it, the oldest is dropped first. A coroutine function is
        run by the event loop it was registered in. What it raises is logged and disturbs nobody.

        Raises:
            LLMValidationError: A coroutine function, outside of a running event loop.
        """
        return self._store.updated.add(listener)

    def follow(self, listener: UpdatedListener) -> tuple[Snapshot, Remove]:
        """Return the configuration in force, and have `listener` told of every change from that one on.

        Else as `on_config_updated`, which may leave a gap for an edit between the call and a look at `snapshot`.
        Blocks while a reload goes on.

        Raises:
            LLMValidationError: Inside a running event loop, or a coroutine function.
        """
        refuse_in_loop("follow()", "`await asyncio.to_thread(configs.follow, listener)`")
        return self._store.follow(listener)

    def on_config_rejected(self, listener: RejectedListener) -> Remove:
        """Call `listener(kept, problems)` once per edit that does not come into force; else as `on_config_updated`.

        Raises:
            LLMValidationError: A coroutine function, outside of a running event loop.
        """
        return self._store.rejected.add(listener)
