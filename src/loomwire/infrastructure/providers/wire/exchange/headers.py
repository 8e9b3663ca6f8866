"""The headers of a target's requests, which hold the key."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Protocol

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.values import FrozenDict

JSON_TYPE = "application/json"

NO_HEADERS: Mapping[str, str] = FrozenDict()
"""What a dialect without headers of its own adds, and what an error inside an answer has."""

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_NOT_THEIRS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)


class HasHeaders(Protocol):
    """A dialect, as far as headers go."""

    @abstractmethod
    def headers(self, config: LLMConfig) -> Mapping[str, str]:
        """Return the dialect's own headers, names in lower case."""


class HiddenHeaders(tuple[tuple[str, str], ...]):
    """Request headers that a traceback with locals cannot show: the key is among them."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"HiddenHeaders({len(self)} headers)"


def request_headers(config: LLMConfig, dialect: HasHeaders, auth: str, accept: str) -> HiddenHeaders:
    """Return the headers of a target's requests; those of the configuration replace ours of the same name.

    Args:
        config: The target; its first key is used.
        dialect: Adds its own.
        auth: bearer, none, or the name of the header that carries the key.
        accept: The content type that is asked for.

    Raises:
        ConfigError: A header's name or value is not allowed. The value is not part of the error.
    """
    headers = {"content-type": JSON_TYPE, "accept": accept, "user-agent": "loomwire", **dialect.headers(config)}
    if config.keys and auth == "bearer":
        headers["authorization"] = f"Bearer {config.keys[0].reveal()}"
    elif config.keys and auth != "none":
        headers[auth] = config.keys[0].reveal()
    for name, value in config.headers.items():
        if not _TOKEN.fullmatch(name) or name.lower() in _NOT_THEIRS:
            raise _bad_header(config, f"the header {name[:40]!r} cannot be set")
        if not value.isprintable():
            raise _bad_header(config, f"the value of the header {name} has a control character")
        headers[name.lower()] = value
    return HiddenHeaders(headers.items())


def _bad_header(config: LLMConfig, message: str) -> ConfigError:
    return ConfigError(
        f"provider {config.name!r}: {message}",
        reason="out_of_range",
        provider=config.name,
        hint="Correct `headers` of the provider; loomwire and its transport write the others.",
    )
