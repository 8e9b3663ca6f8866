"""Clients with several targets over scripted leaves, with a chance that is no chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from typing_extensions import override

from loomwire.application.clients.fallback import FallbackClient
from loomwire.application.pipeline import Parts, build_client
from loomwire.application.resilience.round import Terms
from loomwire.application.selection.options import options_of
from loomwire.application.selection.table import Rules
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import RetryPolicy
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import Secret
from loomwire.testing import FakeClock, ScriptedClient
from loomwire.testing.scripted import Scripted

ONCE = RetryPolicy(attempts=1)


def at(name: str, *keys: str, retry: RetryPolicy = ONCE) -> LLMConfig:
    """Return a target from `provider/model`, with keys."""
    provider, model = name.split("/")
    return LLMConfig(type="scripted", name=provider, model=model, retry=retry, keys=tuple(Secret(key) for key in keys))


class NamedFactory(ILLMClientFactory):
    """Hands out the given clients by `provider/model`, or by `provider/model#key` where there are several keys."""

    def __init__(self, leaves: Mapping[str, ILLMClient]) -> None:
        self.leaves = leaves

    @override
    def create(self, config: LLMConfig) -> ILLMClient:
        key = f"#{config.keys[0].reveal()}" if config.keys else ""
        return self.leaves.get(config.target + key) or self.leaves[config.target]


@dataclass
class Falling:
    """A client with several targets, and what the test wants to look at."""

    client: ILLMClient
    clock: FakeClock
    states: TargetStates
    parts: Parts
    config: ClientConfig

    async def steps(self, request: LLMRequest) -> tuple[str, ...]:
        """Ask, and return the steps of the answer as texts without times."""
        return told(await self.client.generate(request))


def told(ended: object) -> tuple[str, ...]:
    """Return the steps of an answer or an error as texts: layer, target, outcome and reason."""
    steps = getattr(ended, "steps", ())
    return tuple(" ".join(part for part in (s.layer, s.target, s.outcome, s.reason) if part) for s in steps)


def middle() -> float:
    """Draw the middle."""
    return 0.5


def falling(
    config: ClientConfig,
    leaves: Mapping[str, ILLMClient],
    *,
    clock: FakeClock | None = None,
    draw: Callable[[], float] = middle,
) -> Falling:
    """Return the whole chain of a client over the leaves."""
    clock = clock or FakeClock()
    states = TargetStates(clock)
    made = replace(Parts(NamedFactory(leaves), clock, CallStats(), states), draw=draw)
    return Falling(build_client(config, made), clock, states, made, config)


def client_of(*targets: LLMConfig) -> ClientConfig:
    """Return a client named planner."""
    return ClientConfig(name="planner", targets=targets)


def scripted(*names: str) -> dict[str, ScriptedClient]:
    """Return scripted leaves that answer with their own name for ever."""
    return {name: says(then=name, name=name) for name in names}


# Leaves compare what is left of a bound with their clock, and the chain's fake one is not the system's.
_STILL = FakeClock()


def says(*replies: Scripted, then: Scripted | None = None, name: str = "scripted/scripted") -> ScriptedClient:
    """Return a leaf that says the replies at once, whatever the time is."""
    provider, model = name.split("/")
    return ScriptedClient(*replies, name=provider, model=model, then=then, clock=_STILL)


def bare(config: ClientConfig, leaves: Mapping[str, ILLMClient]) -> FallbackClient:
    """Return the fallback alone over the leaves, without the layers above and below it."""
    clock = FakeClock()
    states = TargetStates(clock)
    options = options_of(config, states)
    terms = Terms(
        name=config.name,
        options=options,
        rules=Rules(config.balance, middle),
        balance=config.balance,
        gate=states.panics.gate(config.name),
        clock=clock,
    )
    return FallbackClient([NamedFactory(leaves).create(option.config) for option in options], terms)
