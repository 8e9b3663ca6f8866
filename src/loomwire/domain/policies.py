"""The numbers that steer the layers. Seconds and bytes; the defaults are those of behaviour.md 2.0b."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When the same target is asked again. An attempt is a send.

    Attributes:
        attempts: Sends to one target, the first included, 1 to 5; the owner's `max_retries: n` is `attempts: n + 1`.
        total_attempts: Sends of one call, over all targets, 1 to 40.
        base_s: Longest delay before the second send, in seconds; it doubles every time, and the delay is drawn anywhere
            between 0 and it.
        throttle_base_s: The same after a rate limit that named no wait.
        max_delay_s: Longest delay of our own.
        retry_after_cap_s: Longest wait that a provider may ask for; a longer one goes to the next target at once.
        hedge: A call that is slower than 95 of 100 is sent a second time, and the answer that comes first counts.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    attempts: int = 3
    total_attempts: int = 8
    base_s: float = 0.5
    throttle_base_s: float = 1.0
    max_delay_s: float = 8.0
    retry_after_cap_s: float = 60.0
    hedge: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that would never send, or never end."""
        _check(self, "retry", {"attempts": (1, 5), "total_attempts": (1, 40), **_DELAYS})


@dataclass(frozen=True, slots=True)
class RetryBudgetPolicy:
    """How many retries one endpoint is given in all, so that an outage is not answered by a storm.

    Attributes:
        ratio: Retries earned by every first attempt, 0 to 1.
        floor_per_s: Retries per second that are always allowed.
        ttl_s: How long an earned retry is good, in seconds.
        last_resort_ratio: Retries earned, process-wide, for the last target of a call, 0 to 1.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    ratio: float = 0.4
    floor_per_s: float = 2.0
    ttl_s: float = 10.0
    last_resort_ratio: float = 0.05

    def __post_init__(self) -> None:
        """Refuse shares that are none."""
        shares: dict[str, tuple[float, float]] = {"ratio": (0, 1), "last_resort_ratio": (0, 1)}
        _check(self, "retry_budget", {**shares, "floor_per_s": (0, math.inf)}, ("ttl_s",))


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a failing target is left alone, and for how long.

    Attributes:
        window_s: What is looked back on, in seconds.
        buckets: Parts of the window.
        min_calls: Calls in the window before its rates count.
        failure_rate: Share of failures in the window that opens it, 0 to 1.
        consecutive: Failures in a row that open it; more of them where failures are common, so that chance does not.
        slow_rate: Share of slow calls in the window that opens it, 0 to 1.
        slow_after_s: What counts as slow (for streams: until the first token); None for nothing.
        open_s: How long it stays open the first time; every further time twice as long.
        open_max_s: Longest time it stays open.
        probes: Calls let through at once while it is half open, and successes that close it.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    window_s: float = 30.0
    buckets: int = 10
    min_calls: int = 10
    failure_rate: float = 0.5
    consecutive: int = 8
    slow_rate: float = 0.8
    slow_after_s: float | None = None
    open_s: float = 5.0
    open_max_s: float = 120.0
    probes: int = 3

    def __post_init__(self) -> None:
        """Refuse a breaker that would never or always be open."""
        counts = dict.fromkeys(("buckets", "min_calls", "consecutive", "probes"), (1, 10**6))
        shares = dict.fromkeys(("failure_rate", "slow_rate"), (0.0, 1.0))
        _check(self, "breaker", {**counts, **shares}, ("window_s", "open_s", "open_max_s", "slow_after_s"))


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """How fast a provider, a key or a model may be asked. None is no limit.

    Attributes:
        rpm: Requests per minute.
        tpm: Tokens per minute, input estimate and longest answer together.
        concurrency: Calls at once.
        queue: Calls that may wait.
        burst_s: How much of a limit may be used at once, in seconds' worth of it.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    queue: int = 1000
    burst_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse limits that nobody could keep."""
        counts = dict.fromkeys(("rpm", "tpm", "concurrency"), (1, 10**12))
        _check(self, "rate", {**counts, "queue": (0, 10**9), "burst_s": (0, _YEAR_S)})


BalanceRule: TypeAlias = Literal["ordered", "weighted", "least_busy", "latency", "cost", "sticky"]


@dataclass(frozen=True, slots=True)
class BalancePolicy:
    """In which order the targets of a client are asked.

    Attributes:
        policy: The rule for all of them.
        equals: The rule among those that are the same model at several providers, or with several keys.
        warmup_s: How slowly a recovered target gets its share back, in seconds.
        panic_probe_per_s: Calls per second that are let through when nothing is well.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    policy: BalanceRule = "ordered"
    equals: BalanceRule = "latency"
    warmup_s: float = 30.0
    panic_probe_per_s: float = 1.0

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        _check(self, "balance", {"warmup_s": (0, _YEAR_S), "panic_probe_per_s": (0, _YEAR_S)})


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """How targets without traffic are looked after.

    Attributes:
        interval_s: Between two looks, in seconds; 0 looks only when somebody asks.
        timeout_s: For one look.
        paid_probe: A look may cost money: a call with one token, where nothing cheaper exists.

    Raises:
        LLMValidationError: A number that is out of its range; the message says which.
    """

    interval_s: float = 30.0
    timeout_s: float = 3.0
    paid_probe: bool = False

    def __post_init__(self) -> None:
        """Refuse times that are none."""
        _check(self, "health", {"interval_s": (0, _YEAR_S)}, ("timeout_s",))


@dataclass(frozen=True, slots=True)
class ExhaustedPolicy:
    """What a client does when none of its targets answered.

    Attributes:
        mode: raise: the error goes to the caller; static: `text` is the answer; callable: `function` makes it;
            stale_cache: what was kept for the request, however old. All but the first are marked as degraded.
        text: The answer of mode `static`.
        function: `module:function` of mode `callable`; it takes the request and the error, and returns a text.
    """

    mode: Literal["raise", "stale_cache", "static", "callable"] = "raise"
    text: str = ""
    function: str = ""


RAISE = ExhaustedPolicy()


# What the YAML takes; an endless delay times a chance of 0 would be no number.
_YEAR_S = 86_400 * 365
_DELAYS = dict.fromkeys(("base_s", "throttle_base_s", "max_delay_s", "retry_after_cap_s"), (0.0, _YEAR_S))


def _check(policy: object, block: str, ranges: Mapping[str, tuple[float, float]], seconds: Sequence[str] = ()) -> None:
    for name, (low, high) in ranges.items():
        value: float | None = getattr(policy, name)
        if value is not None and not low <= value <= high:
            limits = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise LLMValidationError(f"{block}: {name} must be {limits}, not {value}")
    for name in seconds:
        time: float | None = getattr(policy, name)
        if time is not None and not 0 < time <= _YEAR_S:
            raise LLMValidationError(f"{block}: {name} must be more than 0 seconds and at most a year, not {time}")
