"""Builds clients from the provider table."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, replace
from difflib import get_close_matches
from typing import TypeAlias, final

import msgspec
from typing_extensions import override

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.infrastructure.providers.dialect import Dialect
from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS, ProviderType

_ClientMaker: TypeAlias = Callable[[LLMConfig, IClock], ILLMClient]
_DialectMaker: TypeAlias = Callable[[ChatQuirks], Dialect]


@final
class ClientFactory(ILLMClientFactory):
    """Builds a client for one model. Dialects, and the network with them, are imported when one needs them first.

    Args:
        pool: Shared by all networked clients.
        clock: The time.
        providers: The rows; further ones may be added by the host.
    """

    __slots__ = ("_clock", "_pool", "_providers")

    def __init__(self, pool: IConnectionPool, clock: IClock, providers: Mapping[str, ProviderType] = PROVIDERS) -> None:
        """Build nothing yet."""
        self._pool = pool
        self._clock = clock
        self._providers = providers

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        row = self._row(config)
        target = self.resolved(config)
        if row.client is not None:
            return _client_maker(row.client)(target, self._clock)
        dialect = _dialect_maker(DIALECTS[_dialect_name(config, row)])(_quirks(config, row))
        endpoint = _checked_place(target)
        # At build time, on no event loop: the first call would otherwise stop the loop for the import of aiohttp.
        importlib.import_module("loomwire.infrastructure.transport.pool")
        from loomwire.infrastructure.providers.wire_client import WireClient

        return WireClient(target, dialect, self._pool, self._clock, row.auth, endpoint)

    @override
    def resolved(self, config: LLMConfig) -> LLMConfig:
        row = self._row(config)
        capabilities = _sourced(config.capabilities).over(row.capabilities.stated_by("provider"))
        if row.client is not None:
            return replace(config, capabilities=capabilities, free=config.free or row.free)
        named = {name.lower() for name in config.headers}
        if row.needs_key and not config.keys and not named & {"authorization", row.auth}:
            raise ConfigError(
                f"provider {config.name!r} of type {row.name} has no API key",
                reason="missing_key",
                provider=config.name,
                hint=f'Set `api_key: "${{{row.hint}}}"` at providers.{config.name}, or give api_key= in code.',
            )
        own = config.base_url is None
        return replace(
            config,
            base_url=_base_url(config, row),
            allow_private=config.allow_private or (own and row.private),
            capabilities=capabilities,
            free=config.free or row.free,
        )

    def _row(self, config: LLMConfig) -> ProviderType:
        row = self._providers.get(config.type)
        if row is None:
            raise _unknown(f"provider {config.name!r} has the unknown type", config.type, self._providers)
        return row


def _base_url(config: LLMConfig, row: ProviderType) -> str:
    base_url = config.base_url or row.base_url
    if base_url is None:
        raise ConfigError(
            f"provider {config.name!r} of type {row.name} has no base_url",
            reason="missing_key",
            provider=config.name,
            hint=f'Set `base_url: "{row.hint}"` (yours) at providers.{config.name}; '
            "add `allow_private: true` if it is on this machine or network.",
        )
    base_url = base_url.rstrip("/")
    has_path = "/" in base_url.partition("://")[2]
    return base_url if has_path else base_url + row.path


def _checked_place(config: LLMConfig) -> str:
    from loomwire.infrastructure.transport.addresses import split_base_url

    try:
        origin, _ = split_base_url(config.base_url or "", allow_private=config.allow_private)
    except ConfigError as error:
        message = f"provider {config.name!r}: {error.message}"
        raise ConfigError(message, reason=error.reason, provider=config.name, hint=error.hint) from None
    return origin.endpoint


def _dialect_name(config: LLMConfig, row: ProviderType) -> str:
    name = row.dialect or config.dialect
    if name is None:
        raise ConfigError(
            f"provider {config.name!r} of type {row.name} does not say which dialect its server speaks",
            reason="missing_key",
            provider=config.name,
            hint=f"Set `dialect` at providers.{config.name} to one of: {', '.join(DIALECTS)}.",
        )
    if config.dialect not in (None, name):
        raise ConfigError(
            f"provider {config.name!r} of type {row.name} speaks {name}; `dialect` is for type custom",
            reason="out_of_range",
            provider=config.name,
            hint="Remove `dialect`, or use type custom.",
        )
    if name not in DIALECTS:
        raise _unknown(f"provider {config.name!r} has the unknown dialect", name, DIALECTS)
    return name


def _quirks(config: LLMConfig, row: ProviderType) -> ChatQuirks:
    """Return the row's quirks, overridden by `options.quirks` of the configuration."""
    for option in config.options:
        if option != "quirks":
            raise _unknown(f"provider {config.name!r} has the unknown option", option, ("quirks",))
    given = config.options.get("quirks", {})
    known = asdict(row.quirks)
    if not isinstance(given, Mapping):
        raise _bad_quirks(config, "must be an object")
    for name in given:
        if name not in known:
            raise _unknown(f"provider {config.name!r} has the unknown quirk", name, known)
    try:
        return msgspec.convert({**known, **given}, ChatQuirks)
    except msgspec.ValidationError as error:
        raise _bad_quirks(config, str(error)) from None


def _bad_quirks(config: LLMConfig, why: str) -> ConfigError:
    return ConfigError(f"provider {config.name!r}: options.quirks: {why}", reason="wrong_type", provider=config.name)


def _sourced(capabilities: ModelCapabilities) -> ModelCapabilities:
    # Facts given in code carry no source; they are the operator's own word.
    stated = capabilities.stated_by("yaml")
    return replace(capabilities, sources={**stated.sources, **capabilities.sources})


def _unknown(what: str, name: str, existing: Collection[str]) -> UnknownNameError:
    near = get_close_matches(name, existing, 1)
    meant = f"Did you mean `{near[0]}`? " if near else ""
    return UnknownNameError(f"{what} {name!r}", hint=f"{meant}There are: {', '.join(existing)}.")


def _client_maker(place: str) -> _ClientMaker:
    module, _, name = place.partition(":")
    maker: _ClientMaker = getattr(importlib.import_module(module), name)
    return maker


def _dialect_maker(place: str) -> _DialectMaker:
    module, _, name = place.partition(":")
    maker: _DialectMaker = getattr(importlib.import_module(module), name)
    return maker
