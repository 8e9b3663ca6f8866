"""An envelope opens whole, in time and under its own key, or not at all."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from loomwire.domain.caching.entries import CacheEntry, CacheKey
from loomwire.infrastructure.caching.envelope import OVERHEAD_BYTES, SLACK_S, opened, sealed

KEY = CacheKey("planner", bytes(range(32)))
NOW = 1_800_000_000.0

keys = st.builds(CacheKey, st.text(max_size=20), st.binary(min_size=32, max_size=32))


@given(key=keys, value=st.binary(max_size=200), age_s=st.integers(0, 99), ttl_s=st.integers(1, 60))
def test_what_was_sealed_is_opened_with_its_times(key: CacheKey, value: bytes, age_s: int, ttl_s: int) -> None:
    raw = sealed(key, value, NOW, ttl_s, 100)
    expected = CacheEntry(value, age_s, ttl_s, "disk", 100, 3)
    assert opened(key, raw, NOW + age_s, level="disk", hits=3) == expected
    assert len(raw) == len(value) + OVERHEAD_BYTES


@given(value=st.binary(max_size=60), place=st.integers(0), bit=st.integers(0, 7))
def test_any_flipped_bit_is_nothing(value: bytes, place: int, bit: int) -> None:
    raw = bytearray(sealed(KEY, value, NOW, 60, 5))
    raw[place % len(raw)] ^= 1 << bit
    assert opened(KEY, bytes(raw), NOW) is None


@given(value=st.binary(max_size=60), cut=st.integers(0))
def test_any_cut_is_nothing(value: bytes, cut: int) -> None:
    raw = sealed(KEY, value, NOW, 60, 5)
    assert opened(KEY, raw[: cut % len(raw)], NOW) is None
    assert opened(KEY, raw + b"\x00", NOW) is None


@given(raw=st.binary(max_size=200))
def test_garbage_is_nothing(raw: bytes) -> None:
    assert opened(KEY, raw, NOW) is None


@given(key=keys, other=keys)
@example(CacheKey("a", b"b" * 32), CacheKey("ab", b"b" * 31))
@example(CacheKey("a", bytes(32)), CacheKey("b", bytes(32)))
def test_an_envelope_that_was_moved_to_another_key_is_nothing(key: CacheKey, other: CacheKey) -> None:
    assert (opened(other, sealed(key, b"1", NOW, 60), NOW) is None) == (key != other)


def test_a_later_version_is_nothing() -> None:
    raw = sealed(KEY, b"1", NOW, 60)
    assert opened(KEY, raw[:3] + b"\x02" + raw[4:], NOW) is None


def test_its_time_is_over_after_both_lifetimes() -> None:
    raw = sealed(KEY, b"1", NOW, 60, 5)
    stale = opened(KEY, raw, NOW + 64.9)
    assert stale is not None
    assert not stale.is_fresh
    assert opened(KEY, raw, NOW + 65) is None


def test_what_comes_from_the_future_is_nothing_beyond_a_small_slack() -> None:
    raw = sealed(KEY, b"1", NOW, 60)
    near = opened(KEY, raw, NOW - SLACK_S)
    assert near is not None
    assert near.age_s == 0
    assert opened(KEY, raw, NOW - SLACK_S - 0.01) is None
