"""The monitor: what calls met comes first, looks are rare, and nothing they find moves anything."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

import pytest
from typing_extensions import override

from loomwire.application.generation import Generation, build_generation
from loomwire.application.health.gathering import Moment
from loomwire.application.health.monitor import JITTER, PATIENCE_S, ProviderHealthMonitor, watch
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot
from loomwire.domain.errors import LLMError, UnknownNameError, llm_error
from loomwire.domain.policies import BreakerPolicy, HealthPolicy, RatePolicy, RetryPolicy
from loomwire.domain.ports.clock import IClock
from loomwire.domain.reports.health import HealthState
from loomwire.domain.reports.reach import Reach
from loomwire.domain.values import Secret
from loomwire.testing import FakeClock, ScriptedClient
from loomwire.testing.scripted import Scripted
from support.chains import HI, ScriptedFactory, hanging, turns

EVERY = HealthPolicy(interval_s=30.0)
ONCE = RetryPolicy(attempts=1)


class Probe:
    """Looks at nobody and says what it is told."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.says: Reach | Exception = Reach(answered=True, asked="GET /v1/models", models=("m", "n"))
        self.gate: asyncio.Event | None = None

    async def __call__(self, target: LLMConfig, policy: HealthPolicy) -> Reach:
        self.asked.append(target.name)
        if self.gate is not None:
            await self.gate.wait()
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def model(name: str = "m", provider: str = "vendor", consecutive: int = 8, key: str | None = None) -> LLMConfig:
    """Return a target that is sent to once."""
    policy = BreakerPolicy(consecutive=consecutive, open_s=100.0)
    keys = () if key is None else (Secret(key),)
    return LLMConfig(type="scripted", name=provider, model=name, retry=ONCE, breaker=policy, keys=keys)


class Scene:
    """A registry of clients, the clock they share, and a monitor of it all."""

    def __init__(
        self,
        clients: Mapping[str, LLMConfig],
        says: Sequence[Scripted] | ScriptedClient = (),
        policy: HealthPolicy = EVERY,
    ) -> None:
        self.clock = FakeClock(1000.0)
        leaf = says if isinstance(says, ScriptedClient) else ScriptedClient(*says, then="Hello.", clock=self.clock)
        factory = ScriptedFactory({target.model: leaf for target in clients.values()})
        self.parts = Parts(factory, self.clock, CallStats(self.clock.now), TargetStates(self.clock))
        self.registry = ClientRegistry(self.built(1, clients, policy))
        self.probe = Probe()
        self.monitor = ProviderHealthMonitor(self.registry, self.parts, self.probe, draw=lambda: 0.5)

    def built(self, number: int, clients: Mapping[str, LLMConfig], policy: HealthPolicy) -> Generation:
        """Return a generation of clients with one model each."""
        made = {name: ClientConfig(name=name, targets=(target,)) for name, target in clients.items()}
        return build_generation(number, Snapshot(digest="d", clients=made, models={}, health=policy), self.parts)

    async def call(self, client: str = "planner", times: int = 1) -> None:
        """Let a client be asked; what it raises is known."""
        for _ in range(times):
            try:
                await self.registry.client(client).generate(HI)
            except LLMError:
                continue


async def test_calls_alone_say_how_a_provider_does() -> None:
    scene = Scene({"planner": model()}, ["Hello.", llm_error("server", "ill"), llm_error("invalid_request", "yours")])
    (before,) = scene.monitor.health()
    assert (before.state, before.healthy, before.reachable, before.success_rate) == (
        HealthState.UNKNOWN,
        True,
        None,
        None,
    )
    await scene.call(times=3)
    scene.clock.move(10.0)
    (health,) = scene.monitor.health()
    assert (health.provider, health.type, health.answered, health.failed) == ("vendor", "scripted", 1, 1)
    assert (health.success_rate, health.recent_success_rate, health.recent_calls) == (0.5, 0.5, 2)
    assert (health.last_error, health.last_error_s_ago) == ("TMP001", 10.0)
    assert scene.probe.asked == []
    scene.clock.move(300.0)
    (later,) = scene.monitor.health("vendor")
    assert (later.recent_calls, later.success_rate, later.targets[0].used_s_ago) == (0, 0.5, 310.0)


async def test_statistics_tell_the_true_rate_of_each_provider_and_of_all() -> None:
    ill = llm_error("server", "ill")
    scene = Scene({"planner": model(), "other": model("n", "second")}, ["a", ill, llm_error("capability", "no"), "b"])
    await scene.call(times=3)
    await scene.call("other")
    stats = scene.monitor.stats()
    vendor, second = stats.providers["vendor"], stats.providers["second"]
    assert (vendor.answered, vendor.failed, vendor.excused, vendor.success_rate) == (1, 1, 1, 0.5)
    assert (second.answered, second.success_rate) == (1, 1.0)
    assert (stats.overall.answered, stats.overall.failed, stats.overall.success_rate) == (2, 1, 2 / 3)
    assert stats.overall.errors == {"TMP001": 1, "VAL005": 1}
    assert stats.to_dict()["schema"] == "loomwire/provider-stats/1"


async def test_an_open_circuit_a_full_lane_and_a_resting_key_are_part_of_it() -> None:
    config = replace(model(consecutive=1, key="sk-canary-one"), rate=RatePolicy(rpm=10))
    scene = Scene({"planner": config}, [llm_error("server", "ill")])
    await scene.call()
    (target,) = scene.monitor.health()[0].targets
    assert (target.circuit, target.state, target.reasons[0]) == ("open", HealthState.UNHEALTHY, "circuit_open")
    assert target.headroom == 0.9
    (status,) = [each for each in scene.parts.states.circuits.statuses() if each.name == "vendor"]
    # The endpoint's circuit is open too, and says so for a model whose own one was reset.
    scene.parts.states.circuits.find("vendor/m").reset()
    scene.parts.states.circuits.find("vendor").isolate()
    (target,) = scene.monitor.health()[0].targets
    assert (status.name, target.circuit, target.reasons[0]) == ("vendor", "open", "isolated")
    scene.parts.states.circuits.reset()
    refused = llm_error("credentials", "no", retry_after=9.0)
    key = next(iter(scene.parts.states.slots.statistics())).key
    scene.parts.states.cooldowns.candidate("vendor", key, "m").failed(refused, scene.clock.now())
    (target,) = scene.monitor.health()[0].targets
    assert (target.reasons, target.resting_s) == (("credentials",), 9.0)
    assert "canary" not in str(scene.monitor.health()[0].to_dict())


async def test_calls_that_go_on_are_counted() -> None:
    scene = Scene({"planner": model()}, hanging())
    load = scene.parts.states.loads.target("vendor", "", "m")
    load.began()
    assert scene.monitor.health()[0].targets[0].in_flight == 1


async def test_looking_asks_each_provider_once_however_many_models_and_callers_there_are() -> None:
    scene = Scene({"planner": model(), "other": model("n"), "third": model("m", "second")})
    scene.probe.gate = asyncio.Event()
    looks = [asyncio.create_task(scene.monitor.look()) for _ in range(4)]
    await turns()
    scene.probe.gate.set()
    found = [await look for look in looks]
    assert sorted(scene.probe.asked) == ["second", "vendor"]
    second, vendor = found[0]
    assert (second.reachable, second.looked_s_ago, second.state) == (True, 0.0, HealthState.HEALTHY)
    assert [target.listed for target in vendor.targets] == [True, True]
    assert [health.provider for health in await scene.monitor.look("second")] == ["second"]
    assert scene.probe.asked.count("vendor") == 1
    with pytest.raises(UnknownNameError, match="no client has a model of the provider 'nobody'"):
        scene.monitor.health("nobody")


async def test_whatever_looking_raises_is_what_was_found_and_the_log_says_it_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "loomwire.health")
    scene = Scene({"planner": model()})
    scene.probe.says = llm_error("refused", "nobody there")
    (health,) = await scene.monitor.look()
    assert (health.reachable, health.state) == (False, HealthState.UNHEALTHY)
    assert health.reach is not None
    assert (health.reach.code, health.reach.message) == ("NET002", "nobody there")
    scene.probe.says = ValueError("a secret of the host")
    (health,) = await scene.monitor.look()
    assert health.reach is not None
    assert (health.reach.code, health.reach.message) == ("INT003", "looking raised ValueError")
    scene.probe.says = Reach(answered=True)
    await scene.monitor.look()
    await scene.monitor.look()
    said = ["provider vendor does not answer a look: NET002 nobody there", "provider vendor answers again"]
    assert caplog.messages == said


async def test_two_servers_under_one_name_are_both_looked_at_and_the_worse_one_is_told() -> None:
    here, there = (replace(model(name), base_url=f"http://{name}.example/v1") for name in ("m", "n"))
    scene = Scene({"planner": here, "other": there})

    async def probe(target: LLMConfig, policy: HealthPolicy) -> Reach:
        return Reach(answered=target is here)

    monitor = ProviderHealthMonitor(scene.registry, scene.parts, probe)
    assert monitor.health()[0].reach is None
    (health,) = await monitor.look()
    assert (health.reachable, health.state) == (False, HealthState.DEGRADED)
    assert [target.reasons for target in health.targets] == [(), ("unreachable",)]


async def test_a_look_opens_and_closes_no_circuit_and_counts_nowhere() -> None:
    scene = Scene({"planner": model(consecutive=1)}, [llm_error("server", "ill")])
    await scene.call()
    before = scene.monitor.stats()
    await scene.monitor.look()
    (health,) = scene.monitor.health()
    assert (health.reachable, health.targets[0].circuit, scene.monitor.stats()) == (True, "open", before)


async def test_in_the_background_only_those_are_looked_at_of_whom_calls_say_nothing() -> None:
    scene = Scene({"planner": model(), "quiet": model("n", "second")})
    await scene.monitor.look_where_due()
    assert scene.probe.asked == []  # nobody had the time to be asked yet
    scene.clock.move(29.0)
    await scene.call()
    await scene.monitor.look_where_due()
    assert scene.probe.asked == []
    scene.clock.move(1.0)
    await scene.monitor.look_where_due()
    assert scene.probe.asked == ["second"]
    await scene.monitor.look_where_due()
    scene.clock.move(29.0)
    await scene.monitor.look_where_due()
    assert scene.probe.asked == ["second"]
    scene.clock.move(1.0)
    await scene.monitor.look_where_due()
    # The planner's last call is 31 seconds ago by now.
    assert sorted(scene.probe.asked) == ["second", "second", "vendor"]


async def test_one_that_is_left_alone_is_looked_at_although_it_had_a_call() -> None:
    scene = Scene({"planner": model(consecutive=1)}, [llm_error("server", "ill")])
    await scene.monitor.look_where_due()
    scene.clock.move(30.0)
    await scene.call()
    await scene.monitor.look_where_due()
    assert scene.probe.asked == ["vendor"]


async def test_one_that_asked_to_be_left_in_peace_is_left_in_peace() -> None:
    scene = Scene({"planner": model()}, [llm_error("throttled", "slow down", retry_after=100.0)])
    await scene.monitor.look_where_due()
    await scene.call()
    for seconds, looks in ((60.0, []), (39.0, []), (31.0, ["vendor"])):
        scene.clock.move(seconds)
        await scene.monitor.look_where_due()
        assert scene.probe.asked == looks


async def test_one_that_an_operator_isolated_is_looked_at_too() -> None:
    scene = Scene({"planner": model()})
    await scene.call()
    moment = Moment(scene.parts)
    assert not moment.is_unclear(model(), scene.clock.now() - 30.0)
    scene.parts.states.circuits.find("vendor/m").isolate()
    assert Moment(scene.parts).is_unclear(model(), scene.clock.now() - 30.0)
    assert Moment(scene.parts).is_unclear(model("never built"), 0.0)


async def test_looks_are_spread_by_a_fifth_to_both_sides() -> None:
    scene = Scene({"planner": model()})
    for draw, at in ((0.0, 1 - JITTER), (1.0, 1 + JITTER)):
        monitor = ProviderHealthMonitor(scene.registry, scene.parts, scene.probe, draw=partial(float, draw))
        scene.probe.asked.clear()
        await monitor.look_where_due()
        scene.clock.move(30.0 * at - 0.001)
        await monitor.look_where_due()
        assert scene.probe.asked == []
        assert monitor.pause_s() == pytest.approx(0.01)
        scene.clock.move(0.002)
        await monitor.look_where_due()
        assert scene.probe.asked == ["vendor"]
        assert monitor.pause_s() == PATIENCE_S


async def test_a_reload_changes_how_often_and_at_whom() -> None:
    scene = Scene({"planner": model()})
    await scene.monitor.look_where_due()
    await scene.monitor.look()
    scene.registry.swap(scene.built(2, {"planner": model()}, HealthPolicy(interval_s=1.0)))
    scene.clock.move(1.3)
    await scene.monitor.look_where_due()
    assert scene.probe.asked == ["vendor"]
    scene.clock.move(1.3)
    # A shorter interval holds at once, and not after the longer one is over.
    scene.registry.swap(scene.built(3, {"planner": model()}, HealthPolicy(interval_s=0.0)))
    await scene.monitor.look_where_due()
    assert scene.probe.asked == ["vendor"]
    assert scene.monitor.pause_s() == PATIENCE_S
    # With another key it is another provider, of which nothing is known.
    rotated = {"planner": model(key="sk-new"), "more": model("m", "second")}
    scene.registry.swap(scene.built(4, rotated, EVERY))
    assert [health.reachable for health in scene.monitor.health()] == [None, None]
    await scene.monitor.look_where_due()
    scene.registry.swap(scene.built(5, {"planner": model()}, EVERY))
    assert scene.monitor.health()[0].reachable is None


class BadClock(IClock):
    """A clock of a host's own that is broken at first."""

    def __init__(self, inner: FakeClock) -> None:
        self.inner = inner
        self.bad = True

    @override
    def now(self) -> float:
        if self.bad:
            raise OSError("no time")
        return self.inner.now()

    @override
    async def sleep(self, seconds: float) -> None:
        await self.inner.sleep(seconds)

    @override
    def timeout_at(self, at: float) -> AbstractAsyncContextManager[object]:
        return self.inner.timeout_at(at)


async def test_the_background_ends_when_nobody_holds_the_monitor_and_survives_a_bad_clock(
    caplog: pytest.LogCaptureFixture,
) -> None:
    scene = Scene({"planner": model()}, policy=HealthPolicy(interval_s=0.02))
    clock = BadClock(scene.clock)
    monitor = ProviderHealthMonitor(scene.registry, replace(scene.parts, clock=clock), scene.probe)
    paused: list[float] = []
    looked = asyncio.Event()

    async def pause(seconds: float) -> None:
        paused.append(seconds)
        clock.bad = False
        scene.clock.move(1.0)
        if scene.probe.asked:
            looked.set()
        await asyncio.sleep(0)

    caplog.set_level(logging.WARNING, "loomwire.health")
    task = asyncio.create_task(watch(weakref.ref(monitor), pause))
    await asyncio.wait_for(looked.wait(), 5)
    assert caplog.messages == ["providers could not be looked at: OSError"]
    assert paused[0] == PATIENCE_S
    del monitor
    await asyncio.wait_for(task, 5)


def test_a_child_goes_on_with_a_lock_of_its_own() -> None:
    scene = Scene({"planner": model()})
    scene.monitor.after_fork()
    assert scene.monitor.health()[0].state is HealthState.UNKNOWN
