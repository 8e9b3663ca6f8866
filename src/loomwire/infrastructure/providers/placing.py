"""Where a target stands and with which key, from its configuration and its row."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, final

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.local.refusals import refused
from loomwire.infrastructure.providers.rows.kinds import Also, ProviderType

KEPT: Final = 256
"""How many places are remembered; whoever has more is served as well, only slower."""

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
    base_url = _base_url(config, row, spoken)
    allow_private = config.allow_private or (config.base_url is None and row.private)
    if (base_url, allow_private) == (config.base_url, config.allow_private):
        return config
    return replace(config, base_url=base_url, allow_private=allow_private)


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


@final
class Endpoints:
    """Remembers what base URLs were found to be, because a configuration has a thousand targets of few places.

    Threads may share it.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._known: dict[tuple[str, bool], str] = {}

    def of(self, base_url: str, *, allow_private: bool) -> str:
        """Return scheme, host and port of a base URL.

        Raises:
            ConfigError: The URL is not allowed; see `split_base_url`.
        """
        known = self._known.get((base_url, allow_private))
        if known is None:
            from loomwire.infrastructure.transport.addresses import split_base_url

            known = split_base_url(base_url, allow_private=allow_private)[0].endpoint
            if len(self._known) >= KEPT:
                self._known.clear()
            self._known[base_url, allow_private] = known
        return known


def checked_place(config: LLMConfig, endpoints: Endpoints) -> str:
    """Return what errors call the place; raises ConfigError for a base URL that is not allowed."""
    try:
        return endpoints.of(config.base_url or "", allow_private=config.allow_private)
    except ConfigError as error:
        raise refused(config, error.message, error.hint, reason=error.reason, key=("base_url",)) from None


def chatless(row: ProviderType) -> Also:
    """Return where a vendor without a chat stands; its embedder needs a key and a place all the same."""
    return Also(dialect="", base_url=row.base_url, path=row.path, auth=row.auth)
