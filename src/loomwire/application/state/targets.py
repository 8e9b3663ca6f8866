"""Everything that is known of targets while the process lives. Outlives every reload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from loomwire.application.state.breaking.endpoint import TargetCircuit
from loomwire.application.state.circuits import Circuits
from loomwire.application.state.cooldowns import Cooldowns
from loomwire.application.state.keys import key_id
from loomwire.application.state.latencies import Latencies
from loomwire.application.state.loads import Loads
from loomwire.application.state.panics import Panics
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.application.state.slots import LaneKey, Slots
from loomwire.domain.config import LLMConfig
from loomwire.domain.ports.clock import IClock

# A probe that is lost holds its permit as long as an attempt may take, and a little longer.
_LEASE_SLACK_S: Final = 5.0


class TargetStates:
    """The state of all targets, by name: the same name is the same state for ever. Safe for threads and event loops.

    Args:
        clock: The time.

    Attributes:
        circuits: Which targets are left alone.
        slots: How fast they may be asked.
        retry_tokens: How many further sends their providers can afford.
        latencies: How long their answers take.
        loads: How they are doing with each key.
        cooldowns: Who rests.
        panics: How often a client that has nobody left tries all the same.
    """

    __slots__ = ("_clock", "circuits", "cooldowns", "latencies", "loads", "panics", "retry_tokens", "slots")

    def __init__(self, clock: IClock) -> None:
        """Know nothing yet."""
        self._clock = clock
        self.circuits = Circuits(now=clock.now)
        self.slots = Slots(clock)
        self.retry_tokens = RetryTokens()
        self.latencies = Latencies()
        self.loads = Loads()
        self.cooldowns = Cooldowns()
        self.panics = Panics()

    def now(self) -> float:
        """Return the time of everything that is known here, in monotonic seconds."""
        return self._clock.now()

    def circuit(self, target: LLMConfig) -> TargetCircuit:
        """Return the circuit of a target; see `Circuits.target`. Called at build time."""
        lease_s = target.timeouts.attempt_s + _LEASE_SLACK_S
        return self.circuits.target(target.name, target.model, target.breaker, lease_s=lease_s)

    def retain(self, targets: Iterable[LLMConfig]) -> None:
        """Forget everything about all other targets, so that names that come and go do not pile up.

        Chains that still have a target go on with what they hold of it.

        Args:
            targets: Every target that can still be called by a configuration.
        """
        kept = {id(target): target for target in targets}.values()
        self.circuits.retain({(target.name, target.model) for target in kept})
        lanes = {lane for target in kept for lane in _lanes(target)}
        self.slots.retain(lanes)
        self.loads.retain(lanes)
        self.cooldowns.retain(lanes, self._clock.now())
        self.retry_tokens.retain({target.name for target in kept})
        self.latencies.retain({target.target for target in kept})


def _lanes(target: LLMConfig) -> Iterable[LaneKey]:
    one_each = [target] if len(target.keys) < 2 else [replace(target, keys=(key,)) for key in target.keys]
    keys = list(map(key_id, one_each))
    return (LaneKey(target.name, key, model) for key in keys for model in ("", target.model))
