"""How fast a fake provider speaks."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Latency and speed of a model. Streams come event by event; a plain answer waits as long as the whole would take.

    Args:
        first_token_s: Seconds from the request to the first token.
        tokens_per_s: Output tokens per second after it; infinite says the rest at once.
        jitter: How far each wait may be off, as a share of it: 0.5 makes 1 s anything from 0.5 to 1.5 s.
        seed: The same seed gives the same waits to the same request number, however requests overlap.

    Raises:
        ValueError: A number is negative, the speed is 0, or the jitter is above 1.

    Example:
        >>> Pace(first_token_s=0.2, tokens_per_s=50).total_s(10)
        0.4
    """

    first_token_s: float = 0.0
    tokens_per_s: float = float("inf")
    jitter: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what is no pace; `not` catches NaN too."""
        if not 0 <= self.first_token_s < float("inf"):
            raise ValueError("first_token_s must be a number of seconds, at least 0")
        if not self.tokens_per_s > 0:
            raise ValueError("tokens_per_s must be above 0")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must lie between 0 and 1")

    def of(self, number: int) -> Pace:
        """Return the pace of one request, with waits of its own."""
        return replace(self, seed=self.seed * 1_000_003 + number) if self.jitter else self

    def total_s(self, tokens: int) -> float:
        """Return how long a plain answer of so many tokens waits."""
        return self._about(random.Random(self.seed), self.first_token_s + tokens / self.tokens_per_s)

    def waits(self, count: int, tokens: int) -> tuple[float, ...]:
        """Return the wait before each of `count` events that share so many tokens evenly."""
        chance = random.Random(self.seed)
        each = tokens / self.tokens_per_s / max(count - 1, 1)
        return tuple(self._about(chance, each if place else self.first_token_s) for place in range(count))

    def _about(self, chance: random.Random, seconds: float) -> float:
        return seconds * chance.uniform(1 - self.jitter, 1 + self.jitter) if self.jitter else seconds
