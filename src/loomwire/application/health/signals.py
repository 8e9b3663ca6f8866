"""What may not be well with a target, and what to do about it: one function per sign, and one table."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from loomwire.application.health.facts import Facts
from loomwire.domain.config import LLMConfig
from loomwire.domain.faults import CODES, FAULTS
from loomwire.domain.reports.health import HealthState
from loomwire.domain.values import listed, may_be_shown

ENOUGH: Final = 5
"""Calls from which on a rate says something."""

POOR: Final = 0.95
BAD: Final = 0.5
"""Success rates below which a target is degraded, and unhealthy."""

_FULL: Final = 0.9
_SHOWN: Final = 8
_KEY: Final = ("credentials", "denied", "quota_exhausted")
_GONE: Final = ("NET", "TIM")


@dataclass(frozen=True, slots=True)
class Sign:
    """One thing that is not well.

    Attributes:
        word: A stable word for it.
        state: How bad it is.
        advice: What is so, and what to do.
    """

    word: str
    state: HealthState
    advice: str


def circuit_open(facts: Facts) -> Sign | None:
    """Say since when and until when the breaker lets nothing through."""
    status = facts.circuit
    if status is None or status.state != "open" or status.hold == "isolated":
        return None
    wait = "" if status.retry_after_s is None else f" for another {_seconds(status.retry_after_s)}"
    fault = CODES.get(status.error)
    why = f" after {status.error} ({fault.reason}): {fault.meaning} {fault.remedy}" if fault is not None else "."
    if status.reason == "forced":
        why = f", because an operator decided so: `loomwire breaker reset {status.name}` closes it."
    advice = f"The circuit of {status.name} opened {_seconds(status.since_s)} ago{why}"
    return Sign("circuit_open", HealthState.UNHEALTHY, f"{advice} Nothing is sent to {facts.config.target}{wait}.")


def isolated(facts: Facts) -> Sign | None:
    """Say that an operator took it out."""
    status = facts.circuit
    if status is None or status.hold != "isolated":
        return None
    advice = f"An operator isolated {status.name} {_seconds(status.since_s)} ago: "
    advice += f"`loomwire breaker reset {status.name}` has it used again."
    return Sign("isolated", HealthState.UNHEALTHY, advice)


def half_open(facts: Facts) -> Sign | None:
    """Say that it is being tried again."""
    status = facts.circuit
    if status is None or status.state != "half_open" or status.hold == "isolated":
        return None
    advice = f"The circuit of {status.name} is half open: the next calls decide whether it closes. Wait for them."
    return Sign("half_open", HealthState.DEGRADED, advice)


def key_refused(facts: Facts) -> Sign | None:
    """Say where the key stands that is not accepted, not allowed, or out of money."""
    refused = [rest for rest in facts.rests if rest.reason in _KEY]
    reason = refused[0].reason if refused else _reason_of(facts)
    if reason not in _KEY:
        return None
    numbers = listed(str(rest.number) for rest in refused)
    others_do = refused and len(refused) < len(facts.config.keys)
    state = HealthState.DEGRADED if others_do else HealthState.UNHEALTHY
    return Sign(reason, state, _about_the_key(facts.config, reason, numbers))


def model_missing(facts: Facts) -> Sign | None:
    """Say which models there are instead of one that the provider does not know."""
    config = facts.config
    refused = facts.standing == FAULTS["model"].code
    if not refused and (facts.reach is None or facts.reach.has(config.model) is not False):
        return None
    knows = "does not know" if refused else "does not list"
    advice = f"{config.name} {knows} the model {config.model!r}: correct its name in `models`."
    # A listing may leave out what is served all the same: previews, aliases, fine-tuned models.
    return Sign("model", HealthState.UNHEALTHY if refused else HealthState.DEGRADED, advice + _instead(facts))


def unreachable(facts: Facts) -> Sign | None:
    """Say that the last look got no answer, and what that error wants."""
    reach = facts.reach
    if reach is None or reach.answered is not False or CODES.get(reach.code, FAULTS["unknown"]).reason in _KEY:
        return None
    fault = CODES.get(reach.code, FAULTS["unknown"])
    said = f"{facts.config.name} did not answer {reach.asked or 'the last look'} ({reach.code}): {fault.meaning}"
    gone = reach.code.startswith(_GONE)
    return Sign("unreachable", HealthState.UNHEALTHY if gone else HealthState.DEGRADED, f"{said} {fault.remedy}")


def failing(facts: Facts) -> Sign | None:
    """Say how many of the last calls failed, and with what most of them."""
    lately = facts.lately
    rate = lately.success_rate
    if rate is None or rate >= POOR or lately.calls < ENOUGH:
        return None
    (code, _), *_ = Counter(lately.failures).most_common(1)
    fault = CODES.get(code)
    why = "." if fault is None else f": {fault.meaning} {fault.remedy}"
    much = f"{len(lately.failures)} of the last {lately.calls} calls of {facts.config.target} failed"
    return Sign(
        "failing", HealthState.UNHEALTHY if rate < BAD else HealthState.DEGRADED, f"{much}, most with {code}{why}"
    )


def throttled(facts: Facts) -> Sign | None:
    """Say for how long the provider wants to be left alone, and how to ask it less."""
    paused_s = facts.paused_s
    if not paused_s and facts.standing != FAULTS["throttled"].code:
        return None
    config = facts.config
    wait = f" for another {_seconds(paused_s)}" if paused_s else ""
    advice = (
        f"{config.target} is throttled{wait}: {_ask_it_less(config)}, so that calls wait here and are not refused "
        "there, or add a key or another model."
    )
    return Sign("throttled", HealthState.DEGRADED, advice)


def limited(facts: Facts) -> Sign | None:
    """Say that our own limit is what holds calls up."""
    waiting = sum(lane.waiting for lane in facts.lanes)
    if not waiting or max(lane.fill for lane in facts.lanes) < _FULL:
        return None
    advice = (
        f"{waiting} calls wait for the rate limit that `limits` sets for {facts.config.target}: raise it if the "
        "provider allows more, or add another model."
    )
    return Sign("limited", HealthState.DEGRADED, advice)


def slow(facts: Facts) -> Sign | None:
    """Say that answers take longer than the operator called slow, or nearly as long as they may."""
    median_s, late_s = facts.lately.within_s(0.5), facts.lately.within_s(0.95)
    if median_s is None or late_s is None or len(facts.lately.answers) < ENOUGH:
        return None
    config = facts.config
    slow_s, most_s = config.breaker.slow_after_s, config.timeouts.attempt_s
    if slow_s is not None and median_s >= slow_s:
        advice = f"Half of the answers of {config.target} take {_seconds(median_s)} or more, and {_seconds(slow_s)} is "
        return Sign("slow", HealthState.DEGRADED, advice + "slow by `breaker.slow_after`: prefer another model.")
    if late_s < most_s / 2:
        return None
    advice = f"1 of 20 answers of {config.target} takes {_seconds(late_s)} or more of the {_seconds(most_s)} that "
    return Sign("slow", HealthState.DEGRADED, advice + "`timeouts.attempt` allows: ask for less, or raise it.")


def not_loaded(facts: Facts) -> Sign | None:
    """Say that a server would have to load the model first."""
    reach, config = facts.reach, facts.config
    if reach is None or reach.holds(config.model) is not False or reach.has(config.model) is False:
        return None
    do = {
        "ollama": f"run `ollama run {config.model}`, or set its `keep_alive` there",
        "lm_studio": f"run `lms load {config.model}`",
        "llamacpp": "wait until its server has loaded the model",
    }.get(config.type, "load it there")
    advice = f"{config.name} does not have {config.model} in memory, so the next call waits for it: {do}."
    return Sign("not_loaded", HealthState.DEGRADED, advice)


SIGNS: Final[tuple[Callable[[Facts], Sign | None], ...]] = (
    isolated,
    key_refused,
    circuit_open,
    model_missing,
    unreachable,
    failing,
    half_open,
    throttled,
    limited,
    slow,
    not_loaded,
)
"""Every sign, the one that explains most first."""

Signs: TypeAlias = tuple[Sign, ...]


def signs_of(facts: Facts) -> Signs:
    """Return what is not well with a target, the worst first."""
    found = [sign for each in SIGNS if (sign := each(facts)) is not None]
    return tuple(sorted(found, key=lambda sign: sign.state is not HealthState.UNHEALTHY))


def _reason_of(facts: Facts) -> str:
    code = facts.standing or ("" if facts.reach is None else facts.reach.code)
    fault = CODES.get(code)
    return "" if fault is None else fault.reason


def _about_the_key(config: LLMConfig, reason: str, numbers: str) -> str:
    name, many, code = config.name, len(config.keys), FAULTS[reason].code
    place = f"providers.{name}.{'keys' if many > 1 else 'api_key'}"
    where = f"`loomwire explain key {place}` says which variable or file it comes from."
    if numbers and many > 1:
        place += f" (number {numbers} of {many})"
    return {
        "credentials": f"{name} does not accept the key ({code}): replace the one at {place}. {where}",
        "denied": f"{name} does not allow the key to use {config.model} ({code}): give the key at {place} the right, "
        f"or use another one. {where}",
        "quota_exhausted": f"The money or quota of the key at {place} is used up ({code}): top up the account of "
        f"{name}, raise its limit there, or use another key.",
    }[reason]


def _ask_it_less(config: LLMConfig) -> str:
    # Limits have the names that the configuration gives to models and providers; ours of a model is not known here.
    own, shared = config.rate, config.provider_rate
    if own is not None and own.rpm is not None:
        return f"lower the model's `rpm` in `limits` from {own.rpm}"
    if shared is not None and shared.rpm is not None:
        return f"lower `limits.{config.name}.rpm` from {shared.rpm}"
    return f"set `limits.{config.name}.rpm`"


def _instead(facts: Facts) -> str:
    config, there = facts.config, facts.seen.models or ()
    near = difflib.get_close_matches(config.model, list(filter(may_be_shown, there)), n=1)
    said = f" Did you mean {near[0]!r}?" if near else ""
    if there:
        said += f" It has: {listed(sorted(there)[:_SHOWN])}{', ...' if len(there) > _SHOWN else ''}."
    return said + (f" Or run `ollama pull {config.model}` there." if config.type == "ollama" else "")


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.0f} min"
