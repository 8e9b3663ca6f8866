"""How traffic is shared among three equal endpoints when one of them is slow or fails at once. Time is simulated."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from loomwire.application.selection.options import Option, options_of
from loomwire.application.selection.table import Rules
from loomwire.application.state.targets import TargetStates
from loomwire.domain.errors import LLMTemporaryError
from loomwire.domain.policies import BalancePolicy
from loomwire.testing import FakeClock
from support.chains import HI
from support.falling import at, client_of

HEALTHY_S = 0.2


@dataclass
class Traffic:
    """What the endpoints got.

    Attributes:
        asked: The endpoint of every call, by name, in order.
        took_s: How long every call took that was answered.
    """

    asked: list[str] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)

    def share(self, name: str, after: int) -> float:
        """Return the share of an endpoint in what was asked after so many calls."""
        late = self.asked[after:]
        return Counter(late)[name] / len(late)

    def p99_s(self, after: int) -> float:
        """Return within how many seconds 99 of 100 calls were answered."""
        late = sorted(self.took_s[after:])
        return late[len(late) * 99 // 100]


def played(answers: Callable[[str, random.Random], float | None], *, calls: int, per_s: float, seed: int) -> Traffic:
    """Let calls come at random instants; `answers` says how long an endpoint takes, None when it fails in 5 ms."""
    clock, chance, traffic = FakeClock(), random.Random(seed), Traffic()
    options = options_of(client_of(at("a/m"), at("b/m"), at("c/m")), TargetStates(clock))
    rules, numbers = Rules(BalancePolicy(policy="latency"), chance.random), itertools.count()
    running: list[tuple[float, int, Option, float | None]] = []

    def ended(until: float) -> None:
        while running and running[0][0] <= until:
            now, _, option, took = heapq.heappop(running)
            clock.move(max(0.0, now - clock.now()))
            if took is None:
                option.failed(LLMTemporaryError("down"), now)
            else:
                option.load.answered(took, now)
                traffic.took_s.append(took)
            option.load.left()

    for _ in range(calls):
        ended(clock.now() + chance.expovariate(per_s))
        clock.move(chance.expovariate(per_s))
        loads = [option.load_now(clock.now(), 30.0) for option in options]
        first = options[rules.of("balanced").order(HI, [one.candidate for one in options], loads)[0]]
        first.load.began()
        took = answers(first.name, chance)
        traffic.asked.append(first.name)
        heapq.heappush(running, (clock.now() + (0.005 if took is None else took), next(numbers), first, took))
    return traffic


def usual(chance: random.Random) -> float:
    """Return how long a healthy endpoint takes."""
    return HEALTHY_S * chance.uniform(0.5, 1.5)


@pytest.mark.parametrize("per_s", [2.0, 20.0, 200.0])
def test_an_endpoint_that_fails_at_once_gets_a_twentieth_of_the_traffic_at_most(
    pytestconfig: pytest.Config, per_s: float
) -> None:
    for seed in range(5 if pytestconfig.getoption("--full") else 2):
        traffic = played(
            lambda name, chance: None if name == "a/m" else usual(chance), calls=2000, per_s=per_s, seed=seed
        )
        assert traffic.share("a/m", after=50) <= 0.05


@pytest.mark.parametrize("per_s", [20.0, 200.0])
def test_a_slow_endpoint_leaves_the_slowest_calls_nearly_as_fast_as_without_it(
    pytestconfig: pytest.Config, per_s: float
) -> None:
    # So many calls come before the first slow answer can tell that it is slow.
    unknown = int(per_s * HEALTHY_S * 10 * 2)
    for seed in range(4 if pytestconfig.getoption("--full") else 2):
        healthy = played(lambda _, chance: usual(chance), calls=4000, per_s=per_s, seed=seed)
        traffic = played(
            lambda name, chance: usual(chance) * (10 if name == "a/m" else 1), calls=4000, per_s=per_s, seed=seed
        )
        assert traffic.p99_s(after=unknown) <= 1.3 * healthy.p99_s(after=unknown)


def test_healthy_endpoints_share_evenly() -> None:
    traffic = played(lambda _, chance: usual(chance), calls=3000, per_s=50.0, seed=1)
    assert [traffic.share(name, 0) for name in ("a/m", "b/m", "c/m")] == pytest.approx([1 / 3] * 3, abs=0.08)


def test_an_endpoint_that_is_well_again_gets_its_share_back() -> None:
    count = itertools.count()

    def answers(name: str, chance: random.Random) -> float | None:
        return None if next(count) < 500 and name == "a/m" else usual(chance)

    traffic = played(answers, calls=8000, per_s=20.0, seed=3)
    assert traffic.share("a/m", after=6000) == pytest.approx(1 / 3, abs=0.1)
