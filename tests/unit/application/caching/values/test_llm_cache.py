from __future__ import annotations

import asyncio
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.application.caching.values.llm_cache import LLMCache
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.caching.policies import NO_CACHE, CachePolicy
from loomwire.domain.errors import LLMRateLimitError, LLMValidationError
from loomwire.domain.values import JSON
from loomwire.testing import FakeClock
from support.chains import turns
from support.shelves import DictStore, states_over

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def cache_over(store: DictStore | None = None, policy: CachePolicy | None = None) -> LLMCache:
    return LLMCache(states_over(store), lambda: policy or CachePolicy(), lambda: 0.5)


class Source:
    """Gives a value, and counts how often it was asked; it may wait first."""

    def __init__(self, value: JSON = "found", *, waits: bool = False) -> None:
        self.asked = self.cancelled = 0
        self.value = value
        self.gate = asyncio.Event()
        if not waits:
            self.gate.set()

    async def __call__(self) -> JSON:
        self.asked += 1
        value = self.value
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return value


@given(JSONS, st.lists(JSONS, max_size=3))
async def test_a_value_comes_back_as_json_has_it(value: JSON, parts: list[JSON]) -> None:
    cache = cache_over()
    await cache.set("space", *parts, value=value)
    assert repr(await cache.get("space", *parts, default="nothing")) == repr(value)


async def test_mappings_and_sequences_of_any_kind_are_kept_as_json_has_them() -> None:
    cache = cache_over()
    await cache.set("space", value=MappingProxyType({"numbers": range(3), "tuple": (1, 2)}))
    assert await cache.get("space") == {"numbers": [0, 1, 2], "tuple": [1, 2]}


async def test_what_is_not_there_is_the_default_and_none_is_a_value() -> None:
    cache = cache_over()
    assert await cache.get("space", 1, default="nothing") == "nothing"
    await cache.set("space", 1, value=None)
    assert await cache.get("space", 1, default="nothing") is None
    source = Source(None)
    for _ in range(2):
        assert await cache.remember("space", 2, fetch=source) is None
    assert source.asked == 1


async def test_namespace_parts_and_tenant_tell_values_apart() -> None:
    cache = cache_over()
    keys: list[tuple[str, tuple[JSON, ...], str | None]] = [
        ("a", ("b", "c"), None),
        ("a", ("bc",), None),
        ("a", (["b", "c"],), None),
        ("ab", ("c",), None),
        ("a", ("b", "c"), "t"),
        ("a", ("b", "c"), ""),
        ("a", (1,), None),
        ("a", (True,), None),
        ("a", (1.0,), None),
        ("a", ("1",), None),
        ("a", (None,), None),
        ("a", (), None),
    ]
    for number, (namespace, parts, tenant) in enumerate(keys):
        await cache.set(namespace, *parts, value=number, tenant=tenant)
    found = [await cache.get(namespace, *parts, tenant=tenant) for namespace, parts, tenant in keys]
    assert found == list(range(len(keys)))
    await cache.set("a", {"x": 1, "y": 2}, value="same")
    assert await cache.get("a", MappingProxyType({"y": 2, "x": 1})) == "same"


async def test_what_is_remembered_is_fetched_once_and_everybody_has_his_own() -> None:
    cache, source = cache_over(), Source({"passages": ("a", "b")}, waits=True)
    tasks = [asyncio.create_task(_remembered(cache, source)) for _ in range(20)]
    await turns()
    source.gate.set()
    values = await asyncio.gather(*tasks)
    again = await cache.remember("space", "q", fetch=source)
    assert source.asked == 1
    assert all(value == {"passages": ["a", "b"]} for value in [*values, again])
    assert len(set(map(id, values))) == 20


async def test_what_a_fetch_raises_goes_to_every_caller_and_is_not_kept() -> None:
    cache = cache_over(store := DictStore())
    asked = 0

    async def fails() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        raise LLMRateLimitError("slow down")

    ends = await asyncio.gather(*(cache.remember("space", fetch=fails) for _ in range(3)), return_exceptions=True)
    assert [type(end) for end in ends] == [LLMRateLimitError] * 3
    assert len(set(map(id, ends))) == 3
    with pytest.raises(LLMRateLimitError):
        await cache.remember("space", fetch=fails)
    assert (asked, store.kept) == (2, {})


async def test_cancelling_one_caller_harms_nobody_and_the_last_one_ends_the_fetch() -> None:
    cache, source = cache_over(), Source(waits=True)
    tasks = [asyncio.create_task(_remembered(cache, source)) for _ in range(3)]
    await turns()
    tasks[0].cancel()
    await turns()
    assert source.cancelled == 0
    for task in tasks[1:]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert source.cancelled == 1


@pytest.mark.parametrize("how", ["invalidate", "set", "clear", "clear all"])
async def test_what_is_fetched_before_a_purge_is_not_kept_and_nobody_who_asks_after_it_gets_it(how: str) -> None:
    cache, old = cache_over(store := DictStore()), Source("old", waits=True)
    before = asyncio.create_task(_remembered(cache, old))
    await turns()
    if how == "invalidate":
        assert not await cache.invalidate("space", "q")
    elif how == "set":
        await cache.set("space", "q", value="new")
    else:
        await cache.clear("space" if how == "clear" else None)
    after = asyncio.create_task(_remembered(cache, Source("new")))
    await turns()
    old.gate.set()
    assert (await before, await after) == ("old", "new")
    assert await cache.get("space", "q") == "new"
    assert len(store.kept) == 1


async def test_a_value_on_its_way_to_a_slow_level_goes_again_when_it_was_purged_meanwhile() -> None:
    class Slow(DictStore):
        @override
        async def set(self, key: CacheKey, value: bytes, *, ttl_s: float, keep_s: float = 0.0) -> None:
            began.set()
            await go_on.wait()
            await super().set(key, value, ttl_s=ttl_s)

    began, go_on = asyncio.Event(), asyncio.Event()
    cache = cache_over(store := Slow())
    task = asyncio.create_task(_remembered(cache, Source("old")))
    await began.wait()
    await cache.invalidate("space", "q")
    go_on.set()
    assert await task == "old"
    assert store.kept == {}


@pytest.mark.parametrize("namespace", ["space", None])
async def test_a_purge_from_outside_counts_for_what_is_being_fetched(namespace: str | None) -> None:
    caches, old = states_over(store := DictStore()), Source("old", waits=True)
    cache = LLMCache(caches, CachePolicy, lambda: 0.5)
    before = asyncio.create_task(_remembered(cache, old))
    await turns()
    await caches.purge(namespace)
    after = asyncio.create_task(_remembered(cache, Source("new")))
    await turns()
    old.gate.set()
    assert (await before, await after) == ("old", "new")
    assert await cache.get("space", "q") == "new"
    assert len(store.kept) == 1


async def test_another_namespace_is_spared() -> None:
    cache, other = cache_over(store := DictStore()), Source("other", waits=True)
    task = asyncio.create_task(_remembered(cache, other))
    await turns()
    await cache.set("gone", value=1)
    await cache.clear("gone")
    other.gate.set()
    assert await task == "other"
    assert await cache.invalidate("space", "q")
    assert store.kept == {}


async def test_lifetimes_are_spread_and_end() -> None:
    clock = FakeClock()
    caches = states_over(store := DictStore(clock))
    cache = LLMCache(caches, lambda: CachePolicy(ttl_s=100.0, ttl_jitter=0.1), lambda: 0.0)
    await cache.set("space", 1, value=1)
    await cache.set("space", 2, value=2, ttl_s=10)
    assert sorted(ttl for _, ttl, _ in store.kept.values()) == pytest.approx([9.0, 90.0])
    await clock.advance(9.5)
    assert (await cache.get("space", 1), await cache.get("space", 2)) == (1, None)


async def test_what_is_not_ours_is_a_miss_and_goes() -> None:
    cache = cache_over(store := DictStore())
    await cache.set("space", value=1)
    (key,) = store.kept
    for raw in (b"\xff", b"[]", b'{"v": 2, "value": 1}', b'{"v": 1}'):
        await store.set(key, raw, ttl_s=60.0)
        assert await cache.get("space", default="nothing") == "nothing"
        assert store.kept == {}


@pytest.mark.parametrize("policy", [NO_CACHE, CachePolicy(mode="off"), CachePolicy(max_entry=1)])
async def test_nothing_is_kept_where_the_configuration_says_so(policy: CachePolicy) -> None:
    cache, source = cache_over(store := DictStore(), policy), Source()
    await cache.set("space", value=1)
    for _ in range(2):
        assert await cache.remember("space", "q", fetch=source) == "found"
    assert (source.asked, store.kept, await cache.get("space")) == (2, {}, None)
    assert not await cache.invalidate("space")


async def test_what_no_key_or_value_can_be_made_of_is_refused() -> None:
    cache = cache_over()
    deep: JSON = []
    for _ in range(100_000):
        deep = [deep]
    for namespace in ("", "a" * 201):
        with pytest.raises(LLMValidationError, match="namespace"):
            await cache.get(namespace)
    with pytest.raises(LLMValidationError, match="parts"):
        await cache.get("space", object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for value in (object(), b"bytes", float("nan"), deep):
        with pytest.raises(LLMValidationError, match="no JSON"):
            await cache.set("space", value=value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    for ttl_s in (0, -1, float("inf"), float("nan")):
        with pytest.raises(LLMValidationError, match="ttl_s"):
            await cache.set("space", value=1, ttl_s=ttl_s)

    async def odd() -> str:
        return object()  # type: ignore[return-value]  # pyright: ignore[reportReturnType]

    with pytest.raises(LLMValidationError, match="no JSON"):
        await cache.remember("space", fetch=odd)


async def test_statistics_are_those_of_the_levels() -> None:
    cache = cache_over()
    await cache.set("space", value=1)
    assert [level.entries for level in cache.statistics()] == [1]


async def _remembered(cache: LLMCache, source: Source) -> JSON:
    return await cache.remember("space", "q", fetch=source)


async def test_the_memory_of_the_process_is_watched_before_anything_is_kept() -> None:
    begun: list[int] = []
    store = DictStore()
    cache = LLMCache(states_over(store), CachePolicy, begin=lambda: begun.append(len(store.kept)))
    assert (await cache.get("space", 1), begun) == (None, [])
    await cache.set("space", 1, value=1)
    await cache.remember("space", 2, fetch=Source())
    assert begun == [0, 1]


@pytest.mark.parametrize("apart", [False, True])
async def test_a_fetch_that_asks_for_its_own_value_is_told_and_waits_for_nobody(*, apart: bool) -> None:
    cache, before = LLMCache(states_over(), CachePolicy), asyncio.all_tasks()

    async def other() -> JSON:
        return await asyncio.create_task(itself("a")) if apart else await itself("a")

    async def itself(name: str) -> JSON:
        return await cache.remember("space", name, fetch=other if name == "b" else lambda: itself("b"))

    with pytest.raises(LLMValidationError, match="asks for the value that it fetches"):
        await itself("a")
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert await cache.remember("space", "a", fetch=Source()) is not None
