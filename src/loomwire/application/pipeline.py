"""The one function that orders the chain. A chain has only the layers its client asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loomwire.application.clients.deadline import DeadlineClient
from loomwire.application.clients.fitted import FittedClient
from loomwire.application.clients.guarded import GuardedClient
from loomwire.application.clients.instructed import InstructedClient
from loomwire.application.clients.timed import TimedClient
from loomwire.application.guards.observe import Observe
from loomwire.application.state.stats import CallStats
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.ports.client import ILLMClient, ILLMClientFactory
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.embedding import IEmbeddingFactory
from loomwire.domain.ports.events import IEventSink


@dataclass(frozen=True, slots=True)
class Parts:
    """What every chain is made from.

    Attributes:
        factory: Makes the leaf that talks to a model.
        clock: The time.
        stats: The tallies, which outlive every chain.
        sinks: Who is told of calls and attempts.
        embedding: Makes the leaves that embed and rerank; None where nobody does.
    """

    factory: ILLMClientFactory
    clock: IClock
    stats: CallStats
    sinks: Sequence[IEventSink] = ()
    embedding: IEmbeddingFactory | None = None


def client_key(name: str) -> str:
    """Return the tally's key of a client."""
    return f"client:{name}"


def target_key(config: LLMConfig) -> str:
    """Return the tally's key of a target."""
    return f"target:{config.target}"


def build_client(config: ClientConfig, parts: Parts) -> ILLMClient:
    """Compose the chain of one client, innermost first. Opens no connection.

    Raises:
        ConfigError: A target cannot be built; see `ILLMClientFactory.create`.
    """
    # Several targets wait for the fallback layer; until then the configuration warns that only the first is asked.
    chain = _build_target(config.name, config.targets[0], parts)
    if config.system is not None:
        # Above the targets, so that every target and every cache key sees the same conversation.
        chain = InstructedClient(chain, config.system)
    # One deadline for everything below, waits included.
    chain = DeadlineClient(chain, total_s=config.total_s, clock=parts.clock)
    # Outermost, so that every call leaves exactly one record, however it was answered.
    return GuardedClient(chain, observed_call(config.name, parts))


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


def _build_target(client: str, config: LLMConfig, parts: Parts) -> ILLMClient:
    chain: ILLMClient = parts.factory.create(config)
    # Nearest to the wire: the limits of one send.
    chain = TimedClient(chain, timeouts=config.timeouts, clock=parts.clock)
    # One step and one record per send; outside Timed, so that a timeout is seen as the attempt's failure.
    chain = GuardedClient(chain, observed_attempt(client, config, parts))
    # A request the target cannot serve is refused before it counts as a send.
    chain = FittedClient(chain, config)
    if config.capabilities.supports_tools is False and config.emulate_tools:
        # What reads calls out of prose takes 20 ms to make, and few models have no tools.
        from loomwire.application.clients.emulated import EmulatedClient

        # Above Fitted, which refuses tools there; and above the attempt, whose send is counted and paid whatever it is.
        chain = EmulatedClient(chain, config)
    return chain
