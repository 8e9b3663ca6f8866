"""Which dialect a target speaks, and how: its row, what the configuration chose, and the quirks it overrides."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

import msgspec

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.local.refusals import refused, unknown
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.rows.kinds import Also, DialectType, ProviderType
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.infrastructure.providers.wire.dialect import Dialect


def speech(config: LLMConfig, row: ProviderType, dialects: Mapping[str, DialectType]) -> Also:
    """Return the dialect of a target with everything that is None in its row filled in.

    Args:
        config: The target.
        row: Its provider type.
        dialects: All there are.

    Raises:
        ConfigError: The configuration must name a dialect and does not, or its quirks are none.
        UnknownNameError: There is no such dialect, or its servers do not speak it.
    """
    name = config.dialect or row.dialect
    if name is None:
        raise refused(
            config,
            f"type {row.name} does not say which dialect its server speaks",
            f"Set `dialect` at providers.{config.name} to one of: {', '.join(dialects)}.",
            needs=("dialect",),
        )
    if row.dialect is None and name not in dialects:
        raise unknown(f"provider {config.name!r} has the unknown dialect", name, dialects, key=("dialect",))
    chosen = _chosen(config, row, name)
    quirks = chosen.quirks or dialects[name].quirks
    base_url = chosen.base_url or row.base_url
    quirks = _overridden(config, row, quirks)
    _check_version(config, row, quirks)
    return replace(chosen, base_url=base_url, auth=chosen.auth or row.auth, quirks=quirks)


def dialect_of(spoken: Also, dialects: Mapping[str, DialectType]) -> Dialect:
    """Return the dialect itself, imported when it is needed first.

    Raises:
        ConfigError: It is another package's, and cannot be imported or built.
    """
    row = dialects[spoken.dialect]
    module, _, name = row.client.partition(":")
    try:
        maker: Callable[[Quirks], Dialect] = getattr(importlib.import_module(module), name)
        return maker(spoken.quirks or row.quirks)
    except Exception as error:
        if spoken.dialect in DIALECTS:
            raise
        raise ConfigError(
            f"the dialect {spoken.dialect!r} cannot be used: {row.client} raised {type(error).__name__}",
            reason="out_of_range",
            hint="Correct or update the package that brings it.",
        ) from error


def _chosen(config: LLMConfig, row: ProviderType, name: str) -> Also:
    if name == row.dialect:
        return Also(dialect=name, path=row.path, quirks=row.quirks)
    found = next((also for also in row.also if also.dialect == name), None)
    if found is not None or row.dialect is None:
        return found or Also(dialect=name, path=row.path)
    spoken = [row.dialect, *(also.dialect for also in row.also)]
    raise refused(
        config,
        f"type {row.name} does not speak {name}, but {', '.join(spoken)}",
        "Remove `dialect`, choose one of those, or use type custom.",
        "out_of_range",
        ("dialect",),
    )


def _check_version(config: LLMConfig, row: ProviderType, quirks: Quirks) -> None:
    if config.api_version is None:
        return
    from loomwire.infrastructure.providers.openai_chat.quirks import ChatQuirks

    if not isinstance(quirks, ChatQuirks) or not (quirks.deployments or quirks.api_version is not None):
        raise refused(
            config,
            f"type {row.name} says no api_version to its server over this dialect",
            "Remove `api_version`.",
            "out_of_range",
            ("api_version",),
        )


def _overridden(config: LLMConfig, row: ProviderType, quirks: Quirks) -> Quirks:
    """Return quirks, overridden by `options.quirks` of the configuration."""
    known_options = ("quirks", *row.options)
    if row.in_process:
        from loomwire.infrastructure.local.settings import LOCAL_OPTIONS

        known_options += LOCAL_OPTIONS
    for option in config.options:
        if option not in known_options:
            raise unknown(f"provider {config.name!r} has the unknown option", option, known_options, key=(option,))
    given = config.options.get("quirks")
    if given is None:
        return quirks
    if not isinstance(given, Mapping):
        raise _bad_quirks(config, "must be an object")
    known = asdict(quirks)
    for name in given:
        if name not in known:
            raise unknown(f"provider {config.name!r} has the unknown quirk", name, known, key=("quirks", name))
    try:
        return msgspec.convert({**known, **given}, type(quirks))
    except msgspec.ValidationError as error:
        raise _bad_quirks(config, str(error)) from None


def _bad_quirks(config: LLMConfig, why: str) -> ConfigError:
    hint = "Correct `quirks`; the defaults show what they hold."
    return refused(config, f"quirks: {why}", hint, "wrong_type", ("quirks",))
