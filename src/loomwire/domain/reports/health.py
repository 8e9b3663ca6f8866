"""How well providers and their models do: values that are shown, compared and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum

from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import JSON

HEALTH_SCHEMA = "loomwire/provider-health/1"
"""Names the shape of what `ProviderHealth.to_dict` returns; fields may be added to it."""

STATS_SCHEMA = "loomwire/provider-stats/1"
"""Names the shape of what `ProviderStatistics.to_dict` returns; fields may be added to it."""


class HealthState(StrEnum):
    """How well something does. The values are stable strings."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """How well one model of one provider does.

    A failure counts when it says something of the provider: not the caller's errors, not cancellation, not a limit of
    our own.

    Attributes:
        target: provider/model.
        state: The worst of what is known.
        reasons: Stable words for what is not well, the worst first: circuit_open, isolated, half_open, credentials,
            denied, quota_exhausted, model, unreachable, failing, throttled, limited, slow, not_loaded.
        recommendations: What to do about each of them, one sentence or two.
        answered: Answers since the process started.
        failed: Failures that count, since then.
        success_rate: Answers over both; None before the first.
        recent_calls: Answers and failures that count in the last five minutes, of 200 at most.
        recent_success_rate: The rate among these.
        p50_s: Seconds within which half of the answers of these five minutes came, or None.
        p95_s: Seconds within which 95 of 100 came, or None.
        circuit: closed, open or half_open: the target's own circuit, or its provider's where that is in the way.
        circuit_since_s: For how many seconds the circuit is so.
        circuit_wait_s: Seconds until the circuit lets a call through; None when nobody can know.
        resting_s: Seconds for which it is left alone, because the provider refused all its keys, or asked for that.
        headroom: How much of the configured rate limit is left, 0 to 1; None without a limit.
        in_flight: Calls that it is answering now.
        last_error: The code of the last failure that counts, or "".
        last_error_s_ago: Seconds since it, or None.
        used_s_ago: Seconds since the last call ended, or None.
        listed: The provider lists the model; None when nobody looked, or it does not tell.
        loaded: The model is in the server's memory; None when nobody looked, or nobody can tell.
    """

    target: str
    state: HealthState = HealthState.UNKNOWN
    reasons: tuple[str, ...] = ()
    recommendations: tuple[str, ...] = ()
    answered: int = 0
    failed: int = 0
    success_rate: float | None = None
    recent_calls: int = 0
    recent_success_rate: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    circuit: str = "closed"
    circuit_since_s: float = 0.0
    circuit_wait_s: float | None = 0.0
    resting_s: float = 0.0
    headroom: float | None = None
    in_flight: int = 0
    last_error: str = ""
    last_error_s_ago: float | None = None
    used_s_ago: float | None = None
    listed: bool | None = None
    loaded: bool | None = None

    def to_dict(self) -> dict[str, JSON]:
        """Return the health as JSON."""
        return {name: _json(getattr(self, name)) for name in _TARGET_FIELDS}


_TARGET_FIELDS = tuple(each.name for each in fields(TargetHealth))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """How well one provider does: its models, and the last look at it.

    Attributes:
        provider: Its name in the configuration.
        type: Its type.
        state: unhealthy when nothing of it is well, degraded when something is not.
        recommendations: What to do, of all its models, each sentence once.
        targets: Its models.
        answered: As of `TargetHealth`, over all models; likewise all up to `last_error_s_ago`.
        reach: What the last look found; None when nobody looked. Looks never open or close a circuit.
        looked_s_ago: Seconds since that look, or None.
    """

    provider: str
    type: str
    state: HealthState = HealthState.UNKNOWN
    recommendations: tuple[str, ...] = ()
    targets: tuple[TargetHealth, ...] = ()
    answered: int = 0
    failed: int = 0
    success_rate: float | None = None
    recent_calls: int = 0
    recent_success_rate: float | None = None
    p50_s: float | None = None
    p95_s: float | None = None
    last_error: str = ""
    last_error_s_ago: float | None = None
    reach: Reach | None = None
    looked_s_ago: float | None = None

    @property
    def healthy(self) -> bool:
        """Whether nothing is known against it."""
        return self.state in (HealthState.HEALTHY, HealthState.UNKNOWN)

    @property
    def reachable(self) -> bool | None:
        """Whether it answered the last look; None when nobody looked or could."""
        return None if self.reach is None else self.reach.answered

    def to_dict(self) -> dict[str, JSON]:
        """Return the health as JSON, with the name of its shape."""
        own = {name: _json(getattr(self, name)) for name in _PROVIDER_FIELDS}
        targets: list[JSON] = [target.to_dict() for target in self.targets]
        reach = None if self.reach is None else self.reach.to_dict()
        return {"schema": HEALTH_SCHEMA, **own, "healthy": self.healthy, "targets": targets, "reach": reach}


_PROVIDER_FIELDS = tuple(each.name for each in fields(ProviderHealth) if each.name not in ("targets", "reach"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderStats:
    """What was sent to one provider, or to all of them, since the process started.

    Attributes:
        answered: Attempts that ended with an answer.
        failed: Attempts that failed and say something of the provider.
        excused: Attempts that failed and say nothing of it: the caller's errors, limits of our own.
        left: Attempts that were cancelled, or streams left early.
        success_rate: Answered over answered and failed, or None.
        latency_s: Seconds of an answer or failure on average, or None.
        input_tokens: As the providers reported them.
        output_tokens: Likewise.
        cost_micro_usd: The known costs, in millionths of a US dollar.
        unpriced: Answers whose cost is not known.
        errors: How often each error code came, excused ones too.
    """

    answered: int = 0
    failed: int = 0
    excused: int = 0
    left: int = 0
    success_rate: float | None = None
    latency_s: float | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    cost_micro_usd: int = 0
    unpriced: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JSON]:
        """Return the numbers as JSON."""
        numbers = {name: _json(getattr(self, name)) for name in _STATS_FIELDS}
        return {**numbers, "errors": dict(self.errors)}


_STATS_FIELDS = tuple(each.name for each in fields(ProviderStats) if each.name != "errors")


@dataclass(frozen=True, slots=True)
class ProviderStatistics:
    """What was sent to all providers and to each.

    Attributes:
        overall: All attempts. Its success rate is that of attempts, not the share of healthy providers.
        providers: By the provider's name.
    """

    overall: ProviderStats = ProviderStats()
    providers: Mapping[str, ProviderStats] = field(default_factory=dict)

    def to_dict(self) -> dict[str, JSON]:
        """Return the numbers as JSON, with the name of their shape."""
        each: dict[str, JSON] = {name: stats.to_dict() for name, stats in self.providers.items()}
        return {"schema": STATS_SCHEMA, "overall": self.overall.to_dict(), "providers": each}


def _json(value: JSON) -> JSON:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, StrEnum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
