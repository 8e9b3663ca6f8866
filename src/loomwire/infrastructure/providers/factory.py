"""Builds clients from the provider table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final
from weakref import WeakValueDictionary

from typing_extensions import override

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMValidationError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.local.settings import local_problems, local_settings
from loomwire.infrastructure.providers.refusals import refused, unknown
from loomwire.infrastructure.providers.speech import dialect_of, speech
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, Also, DialectType, ProviderType
from loomwire.infrastructure.providers.wire.dialect import Dialect

if TYPE_CHECKING:
    from loomwire.infrastructure.recordings.replay import ReplayPool

_ClientMaker: TypeAlias = Callable[[LLMConfig, IClock], ILLMClient]


@final
class ClientFactory(ILLMClientFactory):
    """Builds a client for one model. Dialects, and the network with them, are imported when one needs them first.

    Args:
        pool: Shared by all networked clients.
        clock: The time.
        providers: The rows; further ones may be added by the host.
        servers: Model servers in this process; shared by all clients of the factory. Whoever made them closes them.
        dialects: The dialects that rows and configurations may name.
    """

    __slots__ = ("_clock", "_dialects", "_pool", "_providers", "_replays", "_servers")

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        servers: LocalServers | None = None,
        dialects: Mapping[str, DialectType] = DIALECTS,
    ) -> None:
        """Build nothing yet."""
        self._dialects = dialects
        self._servers = servers or LocalServers()
        self._replays: WeakValueDictionary[tuple[str, str], ReplayPool] = WeakValueDictionary()
        self._pool = pool
        self._clock = clock
        self._providers = providers

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        row = self._row(config)
        target = self.resolved(config)
        if row.client is not None:
            return _client_maker(row.client)(target, self._clock)
        spoken = speech(config, row, self._dialects)
        dialect = dialect_of(spoken, self._dialects)
        if _is_served(config, row):
            return self._served(target, dialect)
        endpoint = _checked_place(target)
        pool = self._pool if config.replay is None else self._replayed(config.replay, config.recorded)
        # At build time, on no event loop: the first call would otherwise stop the loop for the import of aiohttp.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.providers.wire.client import WireClient

        return WireClient(target, dialect, pool, self._clock, spoken.auth or row.auth, endpoint)

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        row = self._row(config)
        capabilities = _sourced(config.capabilities).over(row.capabilities.stated_by("provider"))
        if row.client is not None:
            return replace(config, capabilities=capabilities, free=config.free or row.free)
        spoken = speech(config, row, self._dialects)
        _check_key(config, row, spoken)
        placed = config if _is_served(config, row) else _placed(config, row, spoken)
        if not row.keepalive:
            placed = replace(placed, pool=replace(placed.pool, keepalive=0))
        return replace(placed, capabilities=capabilities, free=config.free or row.free)

    def problems(self, config: LLMConfig) -> Iterator[ConfigError]:
        """Yield everything that keeps a target from being built or asked, without building it; opens no connection.

        Of a target without a network nothing is imported and nothing is wrong: its options have checks of their own.

        Args:
            config: A target, as `create` takes it.

        Yields:
            Errors, not raised. Their `metadata` says where in the provider's block: `key` is the way to what is
            wrong, `needs` are keys of which none is there.
        """
        try:
            row = self._row(config)
        except ConfigError as error:
            yield error
            return
        if row.client is not None:
            return
        try:
            spoken = speech(config, row, self._dialects)
        except ConfigError as error:
            yield from _place_problems(config, row, Also(dialect="", path=row.path, base_url=row.base_url))
            yield error
            return
        yield from _caught(partial(_check_key, config, row, spoken))
        yield from _place_problems(config, row, spoken)
        yield from _added_problems(config, dialect_of(spoken, self._dialects), spoken)

    def _served(self, config: LLMConfig, dialect: Dialect) -> ILLMClient:
        for found in local_problems(config):
            raise found
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.providers.local import LocalClient
        from loomwire.infrastructure.providers.wire.client import WireClient

        def wired(engine: Engine) -> ILLMClient:
            own = replace(config, base_url=engine.base_url, keys=(engine.key,), allow_private=True)
            return WireClient(own, dialect, self._pool, self._clock, endpoint=engine.base_url.removesuffix("/v1"))

        return LocalClient(config, self._servers.lease(local_settings(config)), self._clock, wired)

    def _replayed(self, folder: str, recorded: str) -> IConnectionPool:
        from loomwire.infrastructure.recordings.book import Book
        from loomwire.infrastructure.recordings.folder import read_folder
        from loomwire.infrastructure.recordings.replay import ReplayPool

        # One for all clients of the folder as it is now: it is read once, and equal requests of two clients take turns.
        known = self._replays.get((folder, recorded))
        if known is None:
            path = Path(folder)
            book = Book(path, read_folder(path), repeat=True)
            known = self._replays[folder, recorded] = ReplayPool(book, self._clock)
        return known

    def _row(self, config: LLMConfig) -> ProviderType:
        row = self._providers.get(config.type)
        if row is None:
            raise unknown(f"provider {config.name!r} has the unknown type", config.type, self._providers, key=("type",))
        return row


def _is_served(config: LLMConfig, row: ProviderType) -> bool:
    return row.in_process and config.replay is None


def _place_problems(config: LLMConfig, row: ProviderType, spoken: Also) -> Iterator[ConfigError]:
    if _is_served(config, row):
        yield from local_problems(config)
    else:
        yield from _caught(lambda: _checked_place(_placed(config, row, spoken)))


def _caught(check: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        check()
    except ConfigError as error:
        yield error


def _check_key(config: LLMConfig, row: ProviderType, spoken: Also) -> None:
    named = {name.lower() for name in config.headers}
    if row.needs_key and config.replay is None and not config.keys and not named & {"authorization", spoken.auth}:
        raise refused(
            config,
            f"type {row.name} needs an API key",
            f'Set the variable {row.hint} and write `api_key: "${{{row.hint}}}"` at providers.{config.name}; '
            "in code, give api_key=.",
            needs=("api_key", "keys", "headers"),
        )


def _placed(config: LLMConfig, row: ProviderType, spoken: Also) -> LLMConfig:
    own = config.base_url is None
    allow_private = config.allow_private or (own and row.private)
    return replace(config, base_url=_base_url(config, row, spoken), allow_private=allow_private)


def _base_url(config: LLMConfig, row: ProviderType, spoken: Also) -> str:
    base_url = config.base_url or spoken.base_url
    if base_url is None:
        raise refused(
            config,
            f"type {row.name} needs a base_url",
            f'Set `base_url: "{row.hint}"` (yours) at providers.{config.name}; '
            "add `allow_private: true` if it is on this machine or network.",
            needs=("base_url",),
        )
    base_url = base_url.rstrip("/")
    has_path = "/" in base_url.partition("://")[2]
    return base_url if has_path else base_url + spoken.path


def _checked_place(config: LLMConfig) -> str:
    from loomwire.infrastructure.transport.addresses import split_base_url

    try:
        origin, _ = split_base_url(config.base_url or "", allow_private=config.allow_private)
    except ConfigError as error:
        raise refused(config, error.message, error.hint, reason=error.reason, key=("base_url",)) from None
    return origin.endpoint


def _added_problems(config: LLMConfig, dialect: Dialect, spoken: Also) -> Iterator[ConfigError]:
    """Yield what is wrong with headers and fields that are added to what the dialect writes."""
    from loomwire.infrastructure.providers.wire.client import request_headers

    # One at a time, because both stop at the first that is wrong.
    for name, value in config.headers.items():
        alone = replace(config, headers={name: value}, keys=())
        for found in _caught(partial(request_headers, alone, dialect, spoken.auth or "bearer", "")):
            says = found.message.removeprefix(f"provider {config.name!r}: ")
            yield refused(config, says, found.hint, found.reason, ("headers", name))
    for field, given in config.extra.items():
        try:
            dialect.encode(LLMRequest.of("x"), replace(config, extra={field: given}), stream=False)
        except LLMValidationError as error:
            yield refused(config, error.message, error.hint, "out_of_range", ("extra", field))


def _sourced(capabilities: ModelCapabilities) -> ModelCapabilities:
    # Facts given in code carry no source; they are the operator's own word.
    stated = capabilities.stated_by("yaml")
    return replace(capabilities, sources={**stated.sources, **capabilities.sources})


def _client_maker(place: str) -> _ClientMaker:
    module, _, name = place.partition(":")
    maker: _ClientMaker = getattr(importlib.import_module(module), name)
    return maker
