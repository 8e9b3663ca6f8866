"""What is said of health is JSON of a named shape."""

from __future__ import annotations

import json

from loomwire.domain.reports.health import (
    HealthState,
    ProviderHealth,
    ProviderStatistics,
    ProviderStats,
    TargetHealth,
)
from loomwire.domain.reports.reach import Reach


def test_health_is_json_of_a_named_shape() -> None:
    target = TargetHealth(target="a/m", state=HealthState.DEGRADED, reasons=("slow",), p95_s=1.23456789)
    reach = Reach(answered=True, asked="GET /v1/models", latency_s=0.12345678, models=("m",), loaded=("m",))
    health = ProviderHealth(provider="a", type="openai", state=HealthState.DEGRADED, targets=(target,), reach=reach)
    said = json.loads(json.dumps(health.to_dict()))
    assert (said["schema"], said["state"], said["healthy"]) == ("loomwire/provider-health/1", "degraded", False)
    assert said["targets"][0] | {"p95_s": 1.234568, "reasons": ["slow"], "state": "degraded"} == said["targets"][0]
    assert said["reach"] == {
        "answered": True,
        "asked": "GET /v1/models",
        "latency_s": 0.123457,
        "code": "",
        "message": "",
        "models": ["m"],
        "loaded": ["m"],
    }
    bare = ProviderHealth(provider="a", type="openai")
    assert (bare.to_dict()["reach"], bare.healthy, bare.reachable) == (None, True, None)
    assert Reach().to_dict()["models"] is None


def test_statistics_are_json_of_a_named_shape() -> None:
    stats = ProviderStats(answered=1, success_rate=1 / 3, errors={"TMP001": 2})
    said = json.loads(json.dumps(ProviderStatistics(stats, {"a": stats}).to_dict()))
    assert (said["schema"], said["providers"]["a"]["success_rate"]) == ("loomwire/provider-stats/1", 0.333333)
    assert said["overall"]["errors"] == {"TMP001": 2}


def test_names_are_compared_as_the_servers_write_them() -> None:
    assert Reach(models=("llama3:latest",)).has("llama3") is True
    assert Reach(models=("models/m",)).has("m") is True
    assert Reach(models=("*",), loaded=("*",)).holds("whatever") is True
    assert Reach(models=()).has("m") is False
    assert Reach().holds("m") is None
