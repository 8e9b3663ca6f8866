"""The port for the order in which the targets of a client are asked."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from loomwire.domain.config import LLMConfig
from loomwire.domain.requests import LLMRequest


@dataclass(frozen=True, slots=True)
class Candidate:
    """One target with one key: what a client can ask. Made at build time.

    Attributes:
        config: The target; it has one key, or none.
        place: The place of its model in the client's list, from 0.
        key: Which of the provider's keys, from 0.
        weight: Its share under policy `weighted`: the model's weight, divided by the number of keys.
        group: Equal ones have the same number: neighbours in the list that are the same model asked the same way.
    """

    config: LLMConfig
    place: int
    key: int = 0
    weight: float = 1.0
    group: int = 0

    @property
    def name(self) -> str:
        """provider/model, and which key when it is not the first; never the key itself."""
        return f"{self.config.target}#{self.key + 1}" if self.key else self.config.target


@dataclass(frozen=True, slots=True)
class Load:
    """How a candidate is doing at the moment of a call.

    Attributes:
        in_flight: Calls that it is answering.
        latency_s: Peak-sensitive average of its latencies in seconds, failures booked as timeouts; None when it was
            never asked.
        failures: Failures in a row.
        share: Which part of its traffic it should get, more than 0 to 1; less than 1 while it warms up.
        cost_micro: Estimated cost of this request in micro-US-dollars; None when it is not known or was not asked for.
        rest_s: Seconds for which it should not be asked: a cooldown or an open circuit; infinite when nobody knows.
    """

    in_flight: int = 0
    latency_s: float | None = None
    failures: int = 0
    share: float = 1.0
    cost_micro: int | None = None
    rest_s: float = 0.0


class IModelSelector(Protocol):
    """A rule that puts candidates into an order. Safe to share by tasks, threads and loops: it remembers nothing."""

    __slots__ = ()

    @abstractmethod
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        """Return the places of the candidates in the order in which they should be asked.

        Pure but for chance, which is given when the rule is made. Whoever asks puts resting candidates to the end, so a
        rule need not.

        Args:
            request: What is asked.
            candidates: Who can be asked, in the order of the client's list; at least one.
            loads: How each of them is doing.

        Returns:
            Every place exactly once.
        """
