"""A Redis level plays against a dict, over a socket."""

from __future__ import annotations

from typing import ClassVar

from hypothesis import settings
from typing_extensions import override

from loomwire.domain.caching.policies import RedisLevel
from loomwire.domain.ports.caching.cache import ICacheStrategy
from loomwire.domain.values import Secret
from loomwire.infrastructure.caching.redis_cache import RedisCache
from loomwire.infrastructure.caching.shielded import Shielded
from support.cache_model import CacheMachine
from support.fake_redis import fake_redis


class OverFakeRedis(CacheMachine):
    """A level that is shielded, over a server whose clock is the machine's."""

    swept: ClassVar[bool] = False

    @override
    def build(self) -> ICacheStrategy:
        self.running = fake_redis()
        server = self.running.__enter__()
        server.now = self.clock.now
        cache = RedisCache(RedisLevel(Secret(server.url)), wall=lambda: 1e9 + self.clock.now())
        return Shielded(cache, timeout_s=5, now=self.clock.now)

    @override
    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "running"):
            self.running.__exit__(None, None, None)


TestOverFakeRedis = OverFakeRedis.TestCase
TestOverFakeRedis.settings = settings(max_examples=settings().max_examples // 6, stateful_step_count=25)
