"""The one function that orders the chain. A chain has only the layers its client asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from loomwire.application.caching.keys import RequestKeys
from loomwire.application.caching.states import CacheStates
from loomwire.application.caching.storable import equals_of
from loomwire.application.caching.terms import Keeping, SimilarAnswers
from loomwire.application.clients.cached.client import CachedClient
from loomwire.application.clients.deadline import DeadlineClient
from loomwire.application.clients.fallback import FallbackClient
from loomwire.application.clients.fitted import FittedClient
from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.clients.instructed import InstructedClient
from loomwire.application.clients.resumed import ResumedClient
from loomwire.application.clients.retrying import RetryingClient
from loomwire.application.clients.timed import TimedClient
from loomwire.application.guards.admitted import AdmittedClient
from loomwire.application.guards.breaker import Breaker
from loomwire.application.guards.observe import Observe
from loomwire.application.memory.gate import MemoryGate
from loomwire.application.resilience.course import Retries
from loomwire.application.resilience.restarts import Origin
from loomwire.application.resilience.round import Terms
from loomwire.application.resilience.stand_ins import stand_in_of
from loomwire.application.selection.options import Option, options_of
from loomwire.application.selection.table import rules_of
from loomwire.application.state.slots import LaneKey
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.caching.policies import NO_CACHE
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import RatePolicy
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbeddingFactory
from loomwire.domain.ports.events import IEventSink
from loomwire.domain.requests import PRIORITIES, Priority

if TYPE_CHECKING:
    from loomwire.application.guards.limit import Limit


@dataclass(frozen=True, slots=True)
class Parts:
    """What every chain is made from.

    Attributes:
        factory: Makes the leaf that talks to a model.
        clock: The time.
        stats: The tallies, which outlive every chain.
        states: What is known of targets, which outlives every chain too.
        sinks: Who is told of calls and attempts.
        embedding: Makes the leaves that embed and rerank; None where nobody does.
        caches: What is known of caches, which outlives every chain; None keeps nothing.
        gate: Whether calls may begin while memory is short.
        draw: Gives a number from 0 to 1, for rules that draw lots and for delays.
    """

    factory: ILLMClientFactory
    clock: IClock
    stats: CallStats
    states: TargetStates
    sinks: Sequence[IEventSink] = ()
    embedding: IEmbeddingFactory | None = None
    caches: CacheStates | None = None
    gate: MemoryGate = field(default_factory=MemoryGate)
    draw: Callable[[], float] = random.random


# Whoever is the only one is everybody's equal.
_ANYBODY: Final[Mapping[Priority, frozenset[str] | None]] = dict.fromkeys(PRIORITIES)


def client_key(name: str) -> str:
    """Return the tally's key of a client."""
    return f"client:{name}"


def target_key(config: LLMConfig) -> str:
    """Return the tally's key of a target."""
    return f"target:{config.target}"


def build_client(config: ClientConfig, parts: Parts) -> ILLMClient:
    """Compose the chain of one client, innermost first. Opens no connection.

    Raises:
        ConfigError: A target cannot be built, see `ILLMClientFactory.create`, or `on_exhausted` names no function.
    """
    origins = [Origin(target, retries_of(target, parts)) for target in config.targets]
    # Every target is its own chain, so that whatever is counted and limited below is counted for one target and key.
    chain = _build_targets(config, parts, origins)
    # Above the targets, so that a stream may begin anew on another one than it broke on.
    chain = ResumedClient(chain, origins)
    if parts.caches is not None and not config.cache.is_off:
        # Above everything that costs money or waits; what breaks and begins anew below it is kept once, as a whole.
        chain = CachedClient(chain, keeping_of(config, parts.caches, parts))
    if config.system is not None:
        # Above the targets, so that every target and every cache key sees the same conversation.
        chain = InstructedClient(chain, config.system)
    # One deadline for everything below, waits included.
    chain = DeadlineClient(chain, total_s=config.total_s, clock=parts.clock)
    exhausted = config.on_exhausted
    if exhausted.mode not in ("raise", "stale_cache"):
        # What few clients have is imported where they have it, here and below: the start of a container is waited for.
        from loomwire.application.clients.degraded import DegradedClient

        # Outside the deadline, which may be what a call ends with.
        answer = stand_in_of(config.name, exhausted)
        chain = DegradedClient(chain, answer, mode=exhausted.mode, total_s=config.total_s, clock=parts.clock)
    # Nothing stands in for a call that this process has no memory for: it may come again in a second.
    chain = AdmittedClient(chain, parts.gate)
    # Outermost, so that every call leaves exactly one record, however it was answered.
    return GuardedClient(chain, observed_call(config.name, parts))


def keeping_of(config: ClientConfig, caches: CacheStates, parts: Parts) -> Keeping:
    """Return what the cache of a client works with. Opens no file and no connection.

    Args:
        config: The client; it keeps something.
        caches: The levels, and what is known of them.
        parts: What chains are made from.

    Raises:
        ConfigError: A package that its semantic cache needs is not installed.
    """
    keys = RequestKeys(config)
    return Keeping(
        policy=config.cache,
        keys=keys,
        store=caches.stores.store(config.cache.levels),
        flights=caches.flights,
        purges=caches.purges,
        tally=caches.tally(config.name),
        clock=parts.clock,
        total_s=config.total_s,
        equals=_equals(config),
        last_resort=config.on_exhausted.mode == "stale_cache",
        draw=parts.draw,
        similar=_similar(config, keys, caches, parts.clock),
    )


def _equals(config: ClientConfig) -> Mapping[Priority, frozenset[str] | None]:
    return {priority: equals_of(config, priority) for priority in PRIORITIES} if len(config.targets) > 1 else _ANYBODY


def _similar(config: ClientConfig, keys: RequestKeys, caches: CacheStates, clock: IClock) -> SimilarAnswers | None:
    model, embedder = config.embedder, caches.embedder
    if config.cache.semantic is None or model is None or embedder is None:
        return None
    # Few clients compare questions, and what does takes a while to import.
    from loomwire.application.caching.semantic.answers import semantic_answers

    # Counted as a client of its own, which no configuration can call so.
    asks = ClientConfig(name=f"{config.name} (semantic)", targets=(model,), cache=NO_CACHE)
    return semantic_answers(config, keys=keys, memories=caches.memories, embedder=partial(embedder, asks), clock=clock)


def _build_targets(config: ClientConfig, parts: Parts, origins: Sequence[Origin]) -> ILLMClient:
    options = options_of(config, parts.states)
    terms = Terms(
        name=config.name,
        options=options,
        rules=rules_of(config.balance, parts.draw),
        balance=config.balance,
        gate=parts.states.panics.gate(config.name),
        clock=parts.clock,
        content_filter=config.content_filter_fallback,
    )
    # The keys of a target are retried on the same terms.
    retries = [origins[option.candidate.place].retries for option in options]
    return FallbackClient(
        [_build_target(config.name, one, parts, its) for one, its in zip(options, retries, strict=True)], terms
    )


def observed_call(client: str, parts: Parts) -> Observe:
    """Return what records the calls of a client, whatever it is asked to do."""
    tally = parts.stats.tally(client_key(client))
    return Observe("call", client=client, tally=tally, clock=parts.clock, sinks=parts.sinks)


def observed_attempt(client: str, config: LLMConfig, parts: Parts) -> Observe:
    """Return what records each send to a target, and notes a step."""
    return Observe(
        "attempt",
        client=client,
        tally=parts.stats.tally(target_key(config)),
        clock=parts.clock,
        sinks=parts.sinks,
        provider=config.name,
        model=config.model,
    )


def _build_target(client: str, option: Option, parts: Parts, retries: Retries) -> ILLMClient:
    config = option.config
    chain: ILLMClient = parts.factory.create(config)
    # Nearest to the wire: the limits of one send.
    chain = TimedClient(chain, timeouts=config.timeouts, clock=parts.clock)
    # One step and one record per send; outside Timed, so that a timeout is seen as the attempt's failure.
    chain = GuardedClient(chain, observed_attempt(client, config, parts))
    # Inside retry, so that it counts real sends; an open circuit is no reason to ask again.
    chain = GuardedClient(chain, breaker_of(option))
    # Outside the breaker, so that nobody waits with a permit in hand; inside retry, which holds no slot while it waits.
    for limit in limits_of(option, parts, config.parameters.max_tokens or config.capabilities.max_tokens):
        chain = GuardedClient(chain, limit)
    if config.retry.hedge:
        from loomwire.application.clients.hedged import HedgedClient

        # Below the retry, so that it stays one attempt; above the guards, so that both sends are counted.
        chain = HedgedClient(chain, retries, parts.states.latencies.window(config.target))
    # The only retry there is.
    chain = RetryingClient(chain, retries)
    # A request the target cannot serve is refused before it counts as a send.
    chain = FittedClient(chain, config)
    if config.capabilities.supports_tools is False and config.emulate_tools:
        # What reads calls out of prose takes 20 ms to make, and few models have no tools.
        from loomwire.application.clients.emulated import EmulatedClient

        # Above Fitted, which refuses tools there; and above the attempt, whose send is counted and paid whatever it is.
        chain = EmulatedClient(chain, config)
    return chain


def breaker_of(option: Option) -> Breaker:
    """Return what leaves a target alone while it fails, whatever it is asked to do."""
    return Breaker(option.circuit, provider=option.config.name, model=option.config.model)


def limits_of(option: Option, parts: Parts, answer_tokens: int | None) -> Iterator[Limit]:
    """Yield what holds back the sends to a target with its key, the innermost one first.

    Args:
        option: The target with its key.
        parts: What chains are made from.
        answer_tokens: What an answer is taken for when the request does not say; None is not known.
    """
    config = option.config
    for key, policy in _rates(option):
        from loomwire.application.guards.limit import Limit

        lane = parts.states.slots.lane(key, policy)
        yield Limit(
            lane,
            provider=config.name,
            model=config.model,
            answer_tokens=answer_tokens,
            min_attempt_s=config.timeouts.min_attempt_s,
        )


def _rates(option: Option) -> Iterator[tuple[LaneKey, RatePolicy]]:
    config = option.config
    if config.rate is not None:
        yield LaneKey(config.name, option.key, config.model), config.rate
    if config.provider_rate is not None:
        yield LaneKey(config.name, option.key), config.provider_rate


def retries_of(config: LLMConfig, parts: Parts) -> Retries:
    """Return the terms on which a target is sent to more than once."""
    return Retries(
        policy=config.retry,
        allowance=parts.states.retry_tokens.allowance(config.name, config.retry_budget),
        clock=parts.clock,
        target=config.target,
        min_attempt_s=config.timeouts.min_attempt_s,
        draw=parts.draw,
    )
