"""From facts to health: of one target, of one provider, and what was sent to it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from loomwire.application.health.blame import Lately, failures, rate, total
from loomwire.application.health.facts import Facts, Look
from loomwire.application.health.signals import Signs, signs_of
from loomwire.application.state.breaking.permits import CircuitState, CircuitStatus
from loomwire.application.state.counts import CallCounts
from loomwire.domain.reports.health import HealthState, ProviderHealth, ProviderStats, TargetHealth

# Of a target for which no chain was built yet.
_NO_CIRCUIT: Final = CircuitStatus("", CircuitState.CLOSED)


def target_health(facts: Facts) -> TargetHealth:
    """Judge one target."""
    signs = signs_of(facts)
    failed = failures(facts.counts)
    failure, lately, circuit = facts.failure, facts.lately, facts.circuit or _NO_CIRCUIT
    reach, model = facts.seen, facts.config.model
    return TargetHealth(
        target=facts.config.target,
        state=_state(facts, signs),
        reasons=tuple(sign.word for sign in signs),
        recommendations=tuple(sign.advice for sign in signs),
        answered=facts.counts.answered,
        failed=failed,
        success_rate=rate(facts.counts.answered, failed),
        recent_calls=lately.calls,
        recent_success_rate=lately.success_rate,
        p50_s=lately.within_s(0.5),
        p95_s=lately.within_s(0.95),
        circuit=circuit.state.value,
        circuit_since_s=circuit.since_s,
        circuit_wait_s=circuit.retry_after_s,
        resting_s=max((facts.resting_s, *(lane.paused_s for lane in facts.lanes))),
        headroom=facts.headroom,
        in_flight=facts.in_flight,
        last_error=failure.code,
        last_error_s_ago=_ago(failure.at, facts.now),
        used_s_ago=_ago(facts.used_at, facts.now),
        listed=reach.has(model),
        loaded=reach.holds(model),
    )


def provider_health(facts: Sequence[Facts], targets: Sequence[TargetHealth], look: Look | None) -> ProviderHealth:
    """Judge one provider by its targets.

    Args:
        facts: Of its targets; at least one.
        targets: Their health, in the same order.
        look: The last look at it.
    """
    counts = total(each.counts for each in facts)
    failed, lately = failures(counts), Lately.merged(each.lately for each in facts)
    failure = max((each.failure for each in facts), key=lambda each: (each.at or 0.0, each.code))
    config, now = facts[0].config, facts[0].now
    looked_at, reach = (None, None) if look is None else (look.at, look.reach)
    return ProviderHealth(
        provider=config.name,
        type=config.type,
        state=_of_all(targets),
        recommendations=tuple(dict.fromkeys(advice for each in targets for advice in each.recommendations)),
        targets=tuple(targets),
        answered=counts.answered,
        failed=failed,
        success_rate=rate(counts.answered, failed),
        recent_calls=lately.calls,
        recent_success_rate=lately.success_rate,
        p50_s=lately.within_s(0.5),
        p95_s=lately.within_s(0.95),
        last_error=failure.code,
        last_error_s_ago=_ago(failure.at, now),
        reach=reach,
        looked_s_ago=_ago(looked_at, now),
    )


def provider_stats(several: Iterable[CallCounts]) -> ProviderStats:
    """Add up what was sent to some targets."""
    counts = total(several)
    failed, ended = failures(counts), counts.answered + counts.failed
    return ProviderStats(
        answered=counts.answered,
        failed=failed,
        excused=counts.failed - failed,
        left=counts.cancelled + counts.abandoned,
        success_rate=rate(counts.answered, failed),
        latency_s=counts.latency_s / ended if ended else None,
        input_tokens=counts.input_tokens,
        output_tokens=counts.output_tokens,
        cost_micro_usd=counts.cost_micro_usd,
        unpriced=counts.unpriced,
        errors=counts.errors,
    )


def _ago(at: float | None, now: float) -> float | None:
    return None if at is None else now - at


def _state(facts: Facts, signs: Signs) -> HealthState:
    if signs:
        return signs[0].state
    is_known = facts.lately.answers or (facts.reach is not None and facts.reach.answered)
    return HealthState.HEALTHY if is_known else HealthState.UNKNOWN


def _of_all(targets: Sequence[TargetHealth]) -> HealthState:
    known = {each.state for each in targets} - {HealthState.UNKNOWN}
    if len(known) <= 1:
        return next(iter(known), HealthState.UNKNOWN)
    # One model that does better shows that the provider is there.
    return HealthState.DEGRADED
