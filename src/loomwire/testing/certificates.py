"""Throw-away certificates of the fake provider, right and wrong."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, TypeAlias, get_args

from loomwire.domain.errors import ConfigError

TlsFault: TypeAlias = Literal["expired", "wrong_host", "aborts"]
TLS_FAULTS: Final[Mapping[str, TlsFault]] = {word: word for word in get_args(TlsFault)}

Tls: TypeAlias = bool | TlsFault | ssl.SSLContext
"""True for a good certificate; `expired`; `wrong_host` for one of another name; `aborts` to reset in the handshake."""

_LONG_AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)
_PAST: Final = datetime(2002, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server shows, and what its clients should trust.

    Attributes:
        shown: The server's context.
        trusted: A client's context that knows the throw-away authority and no other.
        authority: That authority's certificate, in PEM.
    """

    shown: ssl.SSLContext
    trusted: ssl.SSLContext
    authority: bytes


def identity(tls: Literal[True] | TlsFault, host: str) -> Identity:
    """Make an authority and a certificate of it. Blocks for some milliseconds and touches a temporary file.

    Raises:
        ConfigError: trustme is not installed.
    """
    try:
        import trustme
    except ImportError:
        raise ConfigError(
            "a fake provider with TLS needs the package trustme", hint='pip install "loomwire[testing]"'
        ) from None
    authority = trustme.CA()
    names = ("elsewhere.invalid",) if tls == "wrong_host" else (host, "localhost")
    if tls == "expired":
        certificate = authority.issue_cert(*names, not_before=_LONG_AGO, not_after=_PAST)
    else:
        certificate = authority.issue_cert(*names)
    shown = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(shown)
    # Not the system's authorities: nobody else may sign for this machine.
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusted)
    return Identity(shown, trusted, authority.cert_pem.bytes())
