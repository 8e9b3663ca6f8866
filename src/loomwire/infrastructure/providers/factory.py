"""Builds clients from the provider table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, final
from weakref import WeakValueDictionary

import msgspec
from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, LLMValidationError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.requests import LLMRequest
from loomwire.infrastructure.local.engine import Engine
from loomwire.infrastructure.local.refusals import refused, unknown
from loomwire.infrastructure.local.server import LocalServers
from loomwire.infrastructure.local.settings import LOCAL_OPTIONS, local_problems, local_settings
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.shared import Shared
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, ProviderType
from loomwire.infrastructure.providers.wire.dialect import Dialect

if TYPE_CHECKING:
    from loomwire.infrastructure.recordings.replay import ReplayPool

_ClientMaker: TypeAlias = Callable[[LLMConfig, IClock], ILLMClient]
_DialectMaker: TypeAlias = Callable[[ChatQuirks], Dialect]


@final
class ClientFactory(ILLMClientFactory):
    """Builds a client for one model. Dialects, and the network with them, are imported when one needs them first.

    Args:
        pool: Shared by all networked clients.
        clock: The time.
        providers: The rows; further ones may be added by the host.
        servers: Model servers in this process; shared by all clients of the factory. Whoever made them closes them.
    """

    __slots__ = ("_clock", "_pool", "_providers", "_replays", "_servers", "_shared")

    def __init__(
        self,
        pool: IConnectionPool,
        clock: IClock,
        providers: Mapping[str, ProviderType] = PROVIDERS,
        servers: LocalServers | None = None,
    ) -> None:
        """Build nothing yet."""
        self._servers = servers or LocalServers()
        self._replays: WeakValueDictionary[tuple[str, str], ReplayPool] = WeakValueDictionary()
        self._shared = Shared()
        self._pool = pool
        self._clock = clock
        self._providers = providers

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        row = self._row(config)
        target = self.resolved(config)
        if row.client is not None:
            return _client_maker(row.client)(target, self._clock)
        dialect = _dialect_maker(DIALECTS[_dialect_name(config, row)].client)(_quirks(config, row))
        if _is_served(config, row):
            return self._served(target, dialect)
        endpoint = _checked_place(target, self._shared)
        pool = self._pool if config.replay is None else self._replayed(config.replay, config.recorded)
        # At build time, on no event loop: the first call would otherwise stop the loop for the import of aiohttp.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.providers.wire.client import WireClient

        return WireClient(target, dialect, pool, self._clock, row.auth, endpoint)

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        row = self._row(config)
        capabilities = self._shared.capabilities(config.capabilities, row.capabilities)
        free = config.free or row.free
        base_url, private, pool = config.base_url, config.allow_private, config.pool
        if row.client is None:
            _check_key(config, row)
            if not _is_served(config, row):
                base_url, private = _place(config, row)
            if pool.keepalive and not row.keepalive:
                pool = replace(pool, keepalive=0)
        if (base_url, private, pool, capabilities, free) == (
            config.base_url,
            config.allow_private,
            config.pool,
            config.capabilities,
            config.free,
        ):
            return config
        return replace(
            config, base_url=base_url, allow_private=private, pool=pool, capabilities=capabilities, free=free
        )

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
        if row.client is None:
            yield from _caught(partial(_check_key, config, row))
            yield from _place_problems(config, row, self._shared)
            yield from _spoken_problems(config, row)

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


def _place_problems(config: LLMConfig, row: ProviderType, shared: Shared) -> Iterator[ConfigError]:
    if _is_served(config, row):
        yield from local_problems(config)
        return

    def checked() -> None:
        base_url, private = _place(config, row)
        _checked_place(replace(config, base_url=base_url, allow_private=private), shared)

    yield from _caught(checked)


def _caught(check: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        check()
    except ConfigError as error:
        yield error


def _check_key(config: LLMConfig, row: ProviderType) -> None:
    named = {name.lower() for name in config.headers}
    if row.needs_key and config.replay is None and not config.keys and not named & {"authorization", row.auth}:
        raise refused(
            config,
            f"type {row.name} needs an API key",
            f'Set the variable {row.hint} and write `api_key: "${{{row.hint}}}"` at providers.{config.name}; '
            "in code, give api_key=.",
            needs=("api_key", "keys", "headers"),
        )


def _place(config: LLMConfig, row: ProviderType) -> tuple[str, bool]:
    """Return a target's base URL, and whether that may be private."""
    own = config.base_url is None
    return _base_url(config, row), config.allow_private or (own and row.private)


def _base_url(config: LLMConfig, row: ProviderType) -> str:
    base_url = config.base_url or row.base_url
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
    return base_url if has_path else base_url + row.path


def _checked_place(config: LLMConfig, shared: Shared) -> str:
    try:
        return shared.endpoint(config.base_url or "", allow_private=config.allow_private)
    except ConfigError as error:
        raise refused(config, error.message, error.hint, reason=error.reason, key=("base_url",)) from None


def _spoken_problems(config: LLMConfig, row: ProviderType) -> Iterator[ConfigError]:
    """Yield what is wrong with the dialect, and with headers and fields that are added to what it writes."""
    try:
        dialect = _dialect_maker(DIALECTS[_dialect_name(config, row)].client)(_quirks(config, row))
    except ConfigError as error:
        yield error
        return
    from loomwire.infrastructure.providers.wire.client import request_headers

    # One at a time, because both stop at the first that is wrong.
    for name, value in config.headers.items():
        alone = replace(config, headers={name: value}, keys=())
        for found in _caught(partial(request_headers, alone, dialect, row.auth, "")):
            says = found.message.removeprefix(f"provider {config.name!r}: ")
            yield refused(config, says, found.hint, found.reason, ("headers", name))
    for field, given in config.extra.items():
        try:
            dialect.encode(LLMRequest.of("x"), replace(config, extra={field: given}), stream=False)
        except LLMValidationError as error:
            yield refused(config, error.message, error.hint, "out_of_range", ("extra", field))


def _dialect_name(config: LLMConfig, row: ProviderType) -> str:
    name = row.dialect or config.dialect
    if name is None:
        raise refused(
            config,
            f"type {row.name} does not say which dialect its server speaks",
            f"Set `dialect` at providers.{config.name} to one of: {', '.join(DIALECTS)}.",
            needs=("dialect",),
        )
    if config.dialect not in (None, name):
        raise refused(
            config,
            f"type {row.name} speaks {name}; `dialect` is for type custom",
            "Remove `dialect`, or use type custom.",
            "out_of_range",
            ("dialect",),
        )
    if name not in DIALECTS:
        raise unknown(f"provider {config.name!r} has the unknown dialect", name, DIALECTS, key=("dialect",))
    return name


def _quirks(config: LLMConfig, row: ProviderType) -> ChatQuirks:
    """Return the row's quirks, overridden by `options.quirks` of the configuration."""
    for option in config.options:
        known_options = ("quirks", *(LOCAL_OPTIONS if row.in_process else ()))
        if option not in known_options:
            raise unknown(f"provider {config.name!r} has the unknown option", option, known_options)
    if "quirks" not in config.options:
        return row.quirks
    given = config.options["quirks"]
    known = asdict(row.quirks)
    if not isinstance(given, Mapping):
        raise _bad_quirks(config, "must be an object")
    for name in given:
        if name not in known:
            raise unknown(f"provider {config.name!r} has the unknown quirk", name, known)
    try:
        return msgspec.convert({**known, **given}, ChatQuirks)
    except msgspec.ValidationError as error:
        raise _bad_quirks(config, str(error)) from None


def _bad_quirks(config: LLMConfig, why: str) -> ConfigError:
    return ConfigError(f"provider {config.name!r}: options.quirks: {why}", reason="wrong_type", provider=config.name)


def _client_maker(place: str) -> _ClientMaker:
    module, _, name = place.partition(":")
    maker: _ClientMaker = getattr(importlib.import_module(module), name)
    return maker


def _dialect_maker(place: str) -> _DialectMaker:
    module, _, name = place.partition(":")
    maker: _DialectMaker = getattr(importlib.import_module(module), name)
    return maker
