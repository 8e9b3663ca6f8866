"""Which targets a request would be sent to, in which order, and why: a dry run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from loomwire.application.selection.narrowing import Needs, narrowed
from loomwire.application.selection.options import Option, options_of
from loomwire.application.selection.table import Rules, rule_of
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.ports.selector import Candidate, Load
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON


@dataclass(frozen=True, slots=True)
class Kept:
    """A candidate that would be asked.

    Attributes:
        candidate: The target and which key.
        load: How it is doing, with the estimated cost of this request.
        remark: Why it stands where it stands when that is not the rule alone, such as a rest; "" otherwise.
    """

    candidate: Candidate
    load: Load
    remark: str = ""

    def to_dict(self) -> dict[str, JSON]:
        """Return it as JSON, without anything secret."""
        load = self.load
        return {
            "target": self.candidate.name,
            "remark": self.remark,
            "in_flight": load.in_flight,
            "latency_s": None if load.latency_s is None else round(load.latency_s, 3),
            "failures": load.failures,
            "share": round(load.share, 3),
            "cost_micro_usd": load.cost_micro,
            # JSON has no infinity; null says that nobody knows.
            "rest_s": round(load.rest_s, 3) if load.rest_s < math.inf else None,
        }


@dataclass(frozen=True, slots=True)
class Dropped:
    """A candidate that would not be asked.

    Attributes:
        candidate: The target and which key.
        reason: Why not, in words.
    """

    candidate: Candidate
    reason: str

    def to_dict(self) -> dict[str, JSON]:
        """Return it as JSON, without anything secret."""
        return {"target": self.candidate.name, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Route:
    """The way a request would take.

    Attributes:
        rule: The rule that orders: a policy of `balance`, or what the request's `priority` made of it.
        kept: Who would be asked, first one first.
        dropped: Who would not be.
        panic: Every circuit is open: only the first of `kept` is tried, now and then.
    """

    rule: str
    kept: tuple[Kept, ...]
    dropped: tuple[Dropped, ...]
    panic: bool = False

    def to_dict(self) -> dict[str, JSON]:
        """Return the route as JSON, without anything secret."""
        return {
            "schema": "loomwire/route/1",
            "rule": self.rule,
            "panic": self.panic,
            "kept": [kept.to_dict() for kept in self.kept],
            "dropped": [dropped.to_dict() for dropped in self.dropped],
        }


def route(config: ClientConfig, states: TargetStates, request: LLMRequest, *, streamed: bool = False) -> Route:
    """Return whom a client would ask, by what is known of its targets now. Nothing is sent and nothing is changed.

    A rule that draws lots draws again for every call, so the next call may take another order.

    Args:
        config: The client, with what its providers' rows know filled in (`Entry.config`).
        states: What is known of targets.
        request: What would be asked.
        streamed: As a stream.
    """
    now = states.now()
    needs = Needs(request, streamed=streamed)
    kept, dropped = narrowed(options_of(config, states), needs)
    rules = Rules(config.balance)
    costs = [option.cost_micro(request, needs.input_tokens) for option in kept]
    loads = [one.load_now(now, config.balance.warmup_s, cost) for one, cost in zip(kept, costs, strict=True)]
    order = rules.of(request.priority).order(request, [option.candidate for option in kept], loads)
    ways = [(kept[at], loads[at]) for at in order]
    # Stable: those that rest keep the rule's order where their rests are equal.
    ways.sort(key=lambda way: way[1].rest_s)
    return Route(
        rule_of(config.balance, request.priority),
        tuple(Kept(option.candidate, load, _remark(option, load, now, needs)) for option, load in ways),
        tuple(Dropped(unfit.option.candidate, unfit.words) for unfit in dropped),
        panic=_is_panic(kept),
    )


def _remark(option: Option, load: Load, now: float, needs: Needs) -> str:
    remarks = _rest(option, load, now), _misfit(option.config, needs)
    return ", ".join(filter(None, remarks))


def _rest(option: Option, load: Load, now: float) -> str:
    if not load.rest_s:
        return "warming up" if load.share < 1 else ""
    reason = option.resting.reason(now) or "circuit_open"
    return f"resting: {reason}" if load.rest_s == math.inf else f"resting for {load.rest_s:.1f} s: {reason}"


def _misfit(config: LLMConfig, needs: Needs) -> str:
    # `narrowed` keeps somebody when nobody fits.
    unmet = needs.unmet_by(config)
    if unmet is not None:
        return f"{unmet}, and so cannot any other: the call is refused"
    long = needs.too_long_for(config)
    return "" if long is None else f"{long}, and none has a larger one: asked all the same, since that is an estimate"


def _is_panic(kept: Sequence[Option]) -> bool:
    return all(not option.is_admitted for option in kept)
