"""Where a target stands and with which key, from its configuration and its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.providers.refusals import refused
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType

_REGION: Final = "{region}"


def check_key(config: LLMConfig, row: ProviderType, spoken: Also) -> None:
    """Raise ConfigError when a call without a key cannot succeed, and there is none."""
    named = {name.lower() for name in config.headers}
    if row.needs_key and config.replay is None and not config.keys and not named & {"authorization", spoken.auth}:
        raise refused(
            config,
            f"type {row.name} needs an API key",
            f'Set the variable {row.hint} and write `api_key: "${{{row.hint}}}"` at providers.{config.name}; '
            "in code, give api_key=.",
            needs=("api_key", "keys", "headers"),
        )


def placed(config: LLMConfig, row: ProviderType, spoken: Also) -> LLMConfig:
    """Return the configuration with its base URL filled in; raises ConfigError when nobody says one."""
    own = config.base_url is None
    allow_private = config.allow_private or (own and row.private)
    return replace(config, base_url=_base_url(config, row, spoken), allow_private=allow_private)


def _base_url(config: LLMConfig, row: ProviderType, spoken: Also) -> str:
    base_url = config.base_url or _regional(config, row, spoken.base_url)
    if base_url is None:
        raise refused(
            config,
            f"type {row.name} needs a base_url",
            f'Set `base_url: "{row.example or row.hint}"` (yours) at providers.{config.name}; '
            "add `allow_private: true` if it is on this machine or network.",
            needs=("base_url",),
        )
    base_url = base_url.rstrip("/")
    has_path = "/" in base_url.partition("://")[2]
    return base_url if has_path else base_url + spoken.path


def _regional(config: LLMConfig, row: ProviderType, base_url: str | None) -> str | None:
    if base_url is None or _REGION not in base_url:
        return base_url
    region = config.options.get("region")
    if region is None:
        raise refused(
            config,
            f"type {row.name} needs a region",
            f"Set `region: us-east-1` (yours), or base_url, at providers.{config.name}.",
            needs=("region", "base_url"),
        )
    from loomwire.infrastructure.providers.bedrock.signing import checked_region

    return base_url.replace(_REGION, checked_region(config, region))


def checked_place(config: LLMConfig) -> str:
    """Return what errors call the place; raises ConfigError for a base URL that is not allowed."""
    from loomwire.infrastructure.transport.addresses import split_base_url

    try:
        origin, _ = split_base_url(config.base_url or "", allow_private=config.allow_private)
    except ConfigError as error:
        raise refused(config, error.message, error.hint, reason=error.reason, key=("base_url",)) from None
    return origin.endpoint


def chatless(row: ProviderType) -> Also:
    """Return where a vendor without a chat stands; its embedder needs a key and a place all the same."""
    return Also(dialect="", base_url=row.base_url, path=row.path, auth=row.auth)
