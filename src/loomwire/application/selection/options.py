"""What a client can ask, with what is known of each: every model with every key."""

from __future__ import annotations

import math
from dataclasses import replace

from loomwire.application.state.breaking.endpoint import TargetCircuit
from loomwire.application.state.cooldowns import Resting
from loomwire.application.state.keys import key_id
from loomwire.application.state.loads import TargetLoad
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.errors import CircuitOpenError, LoomError
from loomwire.domain.ports.selector import Candidate, Load
from loomwire.domain.pricing import Cost, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest

# What an answer is taken for when neither the request nor the model says how long it may get.
_ANSWER_TOKENS = 1024


class Option:
    """A candidate and the state it is judged by. Made at build time, without a state of its own.

    Attributes:
        candidate: The target and its key.
        config: The target, with one key or none.
        name: The candidate's name.
        target: The target's name, whatever the key.
        key: The id of the key, see `key_id`.
        load: How it is doing.
        resting: Whether it rests.
        circuit: Whether it is left alone.
    """

    __slots__ = ("candidate", "circuit", "config", "key", "load", "name", "resting", "target")

    def __init__(self, candidate: Candidate, states: TargetStates) -> None:
        """Look up what is known of the candidate."""
        config = candidate.config
        self.candidate = candidate
        self.config: LLMConfig = config
        # Kept, because they are made of parts and every call reads them.
        self.name = candidate.name
        self.target = config.target
        self.key = key_id(config)
        self.load: TargetLoad = states.loads.target(config.name, self.key, config.model)
        self.resting: Resting = states.cooldowns.candidate(config.name, self.key, config.model)
        self.circuit: TargetCircuit = states.circuit(config)

    def failed(self, error: LoomError, now: float) -> None:
        """Take a failure: what says something about the target is booked, and what should rest, rests."""
        if error.disposition.trips_breaker:
            self.load.failed(self.config.timeouts.attempt_s, now)
        self.resting.failed(error, now)

    def noted_resting(self) -> None:
        """Note that it is left alone because of its circuit, so that it warms up when it answers again."""
        if not self.circuit.is_closed:
            self.load.rests()

    @property
    def is_admitted(self) -> bool:
        """Whether its circuit lets a call through now."""
        return self.circuit.is_closed or self.circuit.wait_s() == 0

    def refusal(self) -> CircuitOpenError:
        """Return the error that says that its circuit is open, with its step."""
        config = self.config
        error = CircuitOpenError(
            f"the circuit of {self.circuit.name} is open, nothing was sent",
            provider=config.name,
            model=config.model,
            retry_after=self.circuit.wait_s(),
        )
        return error.with_step(Step("breaker", self.target, "refused", error.reason))

    def rest_s(self, now: float) -> float:
        """Return for how many seconds it should not be asked; infinity when nobody knows, 0 when it may be asked."""
        rest_s = self.resting.left_s(now)
        if self.circuit.is_closed:
            return rest_s
        wait_s = self.circuit.wait_s()
        return math.inf if wait_s is None else max(rest_s, wait_s)

    def load_now(self, now: float, warmup_s: float, cost_micro: int | None = None) -> Load:
        """Return how it is doing, and for how long it rests; see `TargetLoad.reading`."""
        return self.load.reading(now, warmup_s, rest_s=self.rest_s(now), cost_micro=cost_micro)

    def cost_micro(self, request: LLMRequest, input_tokens: int) -> int | None:
        """Return the estimated cost of a request in micro-US-dollars; None when the price is not known."""
        config = self.config
        if config.free:
            return 0
        if config.prices is None:
            return None
        wanted = request.parameters.max_tokens or config.parameters.max_tokens or config.capabilities.max_tokens
        charge = config.prices.charge(Usage(input_tokens, min(wanted or _ANSWER_TOKENS, _ANSWER_TOKENS)))
        return charge.micro_usd if isinstance(charge, Cost) else None


def options_of(config: ClientConfig, states: TargetStates) -> tuple[Option, ...]:
    """Return every model of a client with every key of its provider, in the client's order."""
    return tuple(Option(candidate, states) for candidate in candidates_of(config))


def candidates_of(config: ClientConfig) -> tuple[Candidate, ...]:
    """Return the candidates of a client: each model once for every key."""
    weights = config.weights or (1.0,) * len(config.targets)
    found: list[Candidate] = []
    group = 0
    for place, (target, weight) in enumerate(zip(config.targets, weights, strict=True)):
        group += place > 0 and not _are_equal(config.targets[place - 1], target)
        keyed = [replace(target, keys=(key,)) for key in target.keys] if len(target.keys) > 1 else [target]
        found += (Candidate(one, place, key, weight / len(keyed), group) for key, one in enumerate(keyed))
    return tuple(found)


def _are_equal(one: LLMConfig, other: LLMConfig) -> bool:
    # The same model asked otherwise is another one: whoever lists both means the order.
    return (one.model, one.parameters, one.extra) == (other.model, other.parameters, other.extra)
