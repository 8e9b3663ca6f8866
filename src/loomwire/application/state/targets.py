"""Everything that is known of targets while the process lives. Outlives every reload."""

from __future__ import annotations

from loomwire.application.state.circuits import Circuits
from loomwire.application.state.latencies import Latencies
from loomwire.application.state.retry_tokens import RetryTokens
from loomwire.application.state.slots import Slots
from loomwire.domain.ports.clock import IClock


class TargetStates:
    """The state of all targets, by name: the same name is the same state for ever. Safe for threads and event loops.

    Args:
        clock: The time.

    Attributes:
        circuits: Which targets are left alone.
        slots: How fast they may be asked.
        retry_tokens: How many further sends their providers can afford.
        latencies: How long their answers take.
    """

    __slots__ = ("circuits", "latencies", "retry_tokens", "slots")

    def __init__(self, clock: IClock) -> None:
        """Know nothing yet."""
        self.circuits = Circuits(now=clock.now)
        self.slots = Slots(clock)
        self.retry_tokens = RetryTokens()
        self.latencies = Latencies()
