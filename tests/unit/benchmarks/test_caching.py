"""The workload of the cache benchmark is the same in every run, and says what it can save."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.caching.levels import write_config
from benchmarks.caching.workload import CALLS, PROMPTS, asked, prompt, timed
from loomwire import LLMContainer


def test_the_workload_is_the_same_in_every_run_and_repeats_itself_as_questions_do() -> None:
    prompts = asked()
    assert list(prompts) == list(asked())
    assert len(prompts) == CALLS
    different = len(set(prompts))
    assert different <= PROMPTS
    assert 0.8 < 1 - different / CALLS < 0.95
    assert prompts.count(prompt(0)) > 5 * prompts.count(prompt(20))


def test_every_prompt_is_another_one_of_two_kilobytes() -> None:
    prompts = {prompt(number) for number in range(PROMPTS)}
    assert len(prompts) == PROMPTS
    assert {len(text) for text in prompts} == {2048}


async def test_every_call_is_timed_and_a_wrong_answer_fails_the_run() -> None:
    async def ask(text: str) -> str:
        return text[:8]

    assert len(await timed(ask, asked(50), "Question")) == 50
    with pytest.raises(RuntimeError, match="the answer is"):
        await timed(ask, asked(5), "another")


@pytest.mark.parametrize("redis", [None, "redis://127.0.0.1:1/0"])
def test_each_level_has_a_client_of_its_own(tmp_path: Path, redis: str | None) -> None:
    write_config(tmp_path, "http://127.0.0.1:1/v1", redis)
    with LLMContainer.open(tmp_path) as container:
        kept = {name: container.client_config(name).cache for name in ("bare", "memory", "disk")}
        assert kept["bare"].is_off
        assert [type(level).__name__ for level in kept["memory"].levels] == ["MemoryLevel"]
        assert [type(level).__name__ for level in kept["disk"].levels] == ["DiskLevel"]
        if redis is not None:
            assert [type(level).__name__ for level in container.client_config("redis").cache.levels] == ["RedisLevel"]
