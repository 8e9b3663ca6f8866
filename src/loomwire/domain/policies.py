"""The numbers that steer the layers. Seconds and bytes; the defaults are those of behaviour.md 2.0b."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from loomwire.domain.errors import LLMValidationError

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class TimeoutPolicy:
    """How long things may take, in seconds; infinity is no limit.

    Attributes:
        connect_s: Opening a connection, name resolution and TLS included.
        pool_queue_s: Waiting for a free connection.
        ttft_s: First meaningful event of a stream.
        idle_s: Silence between two reads of a stream.
        attempt_s: One attempt on one target.
        total_s: The whole call, unless the request says otherwise.
        min_attempt_s: No attempt starts with less left; may be 0.

    Raises:
        LLMValidationError: A time that is 0, negative or not a number.
    """

    connect_s: float = 5.0
    pool_queue_s: float = 5.0
    ttft_s: float = 60.0
    idle_s: float = 60.0
    attempt_s: float = 600.0
    total_s: float = 900.0
    min_attempt_s: float = 0.25

    def __post_init__(self) -> None:
        """Refuse times that would end every call at once."""
        for name in _TIMES:
            value: float = getattr(self, name)
            if not value > 0 and not (name == "min_attempt_s" and value == 0):
                raise LLMValidationError(f"timeouts: {name} must be more than 0 seconds, not {value}")


_TIMES = tuple(f.name for f in fields(TimeoutPolicy))


@dataclass(frozen=True, slots=True)
class PoolPolicy:
    """Connections to one origin, per event loop.

    Attributes:
        max_connections: At most this many at once; further calls wait in a queue.
        keepalive: Idle connections that are kept.
        keepalive_expiry_s: How long an idle connection is kept.
        trust_env: Use proxies of the environment.
    """

    max_connections: int = 100
    keepalive: int = 20
    keepalive_expiry_s: float = 30.0
    trust_env: bool = False


@dataclass(frozen=True, slots=True)
class WireLimits:
    """How much a server may send, and how much we send, in bytes unless said otherwise.

    Attributes:
        body: A whole answer, decompressed.
        stream: All of a stream, decompressed.
        event: One event or line of a stream.
        error_body: What is read of an error's body.
        headers: All response headers together.
        json_depth: Nesting of JSON, in levels.
        gzip_ratio: Decompressed to compressed, above 1 MiB.
        codings: Content encodings stacked on one answer.
        request: A whole request body.
    """

    body: int = 24 * MIB
    stream: int = 64 * MIB
    event: int = 1 * MIB
    error_body: int = 64 * KIB
    headers: int = 64 * KIB
    json_depth: int = 64
    gzip_ratio: int = 100
    codings: int = 2
    request: int = 32 * MIB


@dataclass(frozen=True, slots=True)
class CataloguePolicy:
    """What of the catalogue holds for a model.

    Attributes:
        enabled: Its facts fill in what the configuration leaves open.
        prices: Its prices do too; without them a model without prices of yours is `Unpriced`.
        strict: What nobody knows the model to do is refused before it is sent; else it is allowed with a warning.
        path: A folder that is read instead of the bundled one; None for that.
        read: Identifies the content of `path` at the time of reading; "" when nobody looked.
    """

    enabled: bool = True
    prices: bool = True
    strict: bool = False
    path: str | None = None
    read: str = ""


@dataclass(frozen=True, slots=True)
class DetectionPolicy:
    """Whether and how providers are asked what their models can do.

    Attributes:
        mode: off: never, and what was kept is not used; on_demand: when somebody says so; background: at start too.
        max_age_s: Seconds after which what was found counts no more.
        at_once: Providers that are asked at the same time.
        timeout_s: Seconds for one provider.
        file: Where what was found is kept over the end of the process; None for nowhere.
    """

    mode: Literal["off", "on_demand", "background"] = "on_demand"
    max_age_s: float = 86_400.0
    at_once: int = 4
    timeout_s: float = 10.0
    file: str | None = None


@dataclass(frozen=True, slots=True)
class TransportPolicy:
    """How one origin is talked to. Origins with equal policies share their connections.

    Attributes:
        pool: How many connections.
        connect_s: Seconds for opening one.
        queue_s: Seconds to wait for a free one.
        allow_private: Private, loopback and link-local addresses are allowed.
        limits: How much the server may send.
    """

    pool: PoolPolicy = PoolPolicy()
    connect_s: float = 5.0
    queue_s: float = 5.0
    allow_private: bool = False
    limits: WireLimits = WireLimits()
