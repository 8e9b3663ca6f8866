"""Where a base URL leads: its parts, whether that is allowed, and the environment's proxy for it."""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from urllib.request import getproxies_environment, proxy_bypass

import httpx

from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.transport.public import is_address, is_public

_HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_NOT_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")

PRIVATE_HINT = "Set allow_private: true for this provider if the address is meant."


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a base URL.

    Attributes:
        scheme: http or https.
        host: Lower-case ASCII; an IPv6 address without brackets.
        port: Always known.
    """

    scheme: str
    host: str
    port: int

    @property
    def endpoint(self) -> str:
        """The origin as a URL, the way errors name it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def split_base_url(base_url: str, *, allow_private: bool) -> tuple[Origin, str]:
    """Take a base URL apart.

    Args:
        base_url: http or https, a host, and a path.
        allow_private: Whether addresses that are not public are accepted.

    Returns:
        The origin, and the base URL in its normal form without a final slash.

    Raises:
        ConfigError: The URL is not allowed; the message never holds more of it than its host.
    """
    url = _parse(base_url)
    host = url.raw_host.decode("ascii").lower()
    if not is_address(host):
        _check_name(host, allow_private=allow_private)
    elif not allow_private and not is_public(host):
        raise _refused(f"the address {host} is not public", PRIVATE_HINT)
    origin = Origin(url.scheme, host, url.port or (443 if url.scheme == "https" else 80))
    return origin, str(url).rstrip("/")


def environment_proxy(origin: Origin) -> str | None:
    """Return the proxy URL that the environment names for an origin, or None. Reads the environment.

    Raises:
        ConfigError: The proxy speaks neither http nor https.
    """
    if proxy_bypass(origin.host):
        return None
    proxies = getproxies_environment()
    proxy = proxies.get(origin.scheme) or proxies.get("all") or None
    if proxy is not None and not proxy.startswith(("http://", "https://")):
        raise _refused(f"the environment's proxy for {origin.scheme} is neither http:// nor https://")
    return proxy


def _parse(base_url: str) -> httpx.URL:
    if _NOT_IN_A_URL.search(base_url):
        raise _refused("base_url has a blank, a backslash or a control character")
    try:
        url = httpx.URL(base_url)
    except (httpx.InvalidURL, ValueError):
        raise _refused("base_url is not a URL") from None
    _check_parts(url, base_url)
    return url


def _check_parts(url: httpx.URL, base_url: str) -> None:
    if url.scheme not in ("http", "https"):
        raise _refused(f"base_url must begin with http:// or https://, not {url.scheme[:20]!r}")
    if not url.raw_host:
        raise _refused("base_url has no host")
    if url.port is not None and not 0 < url.port < 65536:
        raise _refused("base_url has a port that does not exist")
    if url.userinfo or "@" in base_url.split("/", 3)[2]:
        raise _refused("base_url must not hold a user name or password", "Put the key under `keys`.")
    if "?" in base_url or "#" in base_url:
        raise _refused("base_url must have neither a query nor a fragment")


def _check_name(host: str, *, allow_private: bool) -> None:
    try:
        # The C library reads 2130706433, 0x7f.1 and 017700000001 as addresses, so they must never count as names.
        socket.inet_aton(host)
    except OSError:
        pass
    else:
        raise _refused("base_url writes an address in an unusual form", "Write it as four decimal numbers.")
    if not _HOST_NAME.fullmatch(host) or ".." in host:
        raise _refused("base_url has a host name with forbidden characters")
    name = host.rstrip(".")
    if not allow_private and (name == "localhost" or name.endswith(".localhost")):
        raise _refused("the host localhost is not public", PRIVATE_HINT)


def _refused(message: str, hint: str | None = None) -> ConfigError:
    return ConfigError(message, reason="out_of_range", hint=hint)
