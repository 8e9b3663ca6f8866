"""CacheCare: has what is kept cleaned up while its container lives, and ends it with the container."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING

from loomwire.application.caching.states import CacheStates
from loomwire.application.loop_thread import inside_a_loop
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.domain.config import Snapshot

if TYPE_CHECKING:
    from loomwire.infrastructure.caching.sweeping import CacheSweeper


class CacheCare:
    """Cleans up as often as the configuration in force says, and closes caches. Safe for threads.

    Args:
        caches: What is kept.
    """

    def __init__(self, caches: CacheStates) -> None:
        """Clean up nothing yet."""
        self._caches = caches
        self._sweeper: CacheSweeper | None = None
        self._closing: threading.Thread | None = None

    def start(self, configs: LLMConfigManager) -> None:
        """Clean up as the configuration in force says, and follow its edits."""
        from loomwire.infrastructure.caching.sweeping import CacheSweeper

        self._sweeper = sweeper = CacheSweeper(self._caches.stores)
        held = weakref.ref(sweeper)

        def follow(_old: Snapshot, new: Snapshot, _diff: object) -> None:
            living = held()
            if living is not None:
                living.every(new.cleanup_s)

        configs.on_config_updated(follow)
        sweeper.every(configs.snapshot.cleanup_s)

    def close(self) -> None:
        """End what goes on behind calls, and write what is still to be written. Idempotent.

        It waits for that, but not inside an event loop; then the process waits when it ends.
        """
        if self._sweeper is not None:
            self._sweeper.stop()
        self._caches.flights.close()
        if self._closing is None:
            self._closing = threading.Thread(target=self._close, name="loomwire-cache-close")
            self._closing.start()
        if not inside_a_loop():
            self._closing.join()

    def _close(self) -> None:
        asyncio.run(self._caches.stores.aclose())
