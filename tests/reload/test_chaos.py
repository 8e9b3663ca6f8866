"""Reloads under load: good and bad ones by the hundred, while threads and event loops go on asking."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.echoing import echoing
from support.scripts import run_python


@pytest.mark.parametrize("reloads", [50, pytest.param(1000, marks=pytest.mark.full)])
def test_reloads_under_load_lose_and_misroute_nothing(
    reloads: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    with echoing() as provider:
        urls = (provider.base_url, provider.elsewhere_url)
        found = json.loads(run_python("-m", "support.chaos", str(tmp_path), *urls, str(reloads)))
    median, high, longest = found["ms"]
    line = f"{found['asked']} requests, {found['per_s']}/s; reload p50 {median} ms, p99 {high} ms, longest {longest} ms"
    record_property("table", (f"{reloads} reloads under load", line))
    assert found["wrong"] == []
    assert (found["alive"], found["draining"], found["descriptors"]) == (0, 0, 0)
    assert found["generation"] == 1 + (reloads + 1) // 2
    assert found["asked"] > reloads
