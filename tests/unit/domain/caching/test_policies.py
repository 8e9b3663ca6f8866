"""Numbers by which nothing could be kept, or memory could not be told apart, are refused when they are written."""

from __future__ import annotations

import pytest

from loomwire.domain.caching.policies import NO_CACHE, CachePolicy, MemoryPolicy, SemanticPolicy
from loomwire.domain.errors import LLMValidationError


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ttl_s", 0),
        ("ttl_s", float("nan")),
        ("ttl_s", 86_400 * 366),
        ("ttl_jitter", 1.5),
        ("max_entry", 0),
        ("swr_s", -1),
        ("stale_if_error_s", -1),
    ],
)
def test_a_cache_needs_times_and_sizes_that_mean_something(field: str, value: float) -> None:
    with pytest.raises(LLMValidationError, match=f"cache: {field} must be"):
        CachePolicy(**{field: value})  # type: ignore[arg-type]  # by name, so that all are tried


@pytest.mark.parametrize(("field", "value"), [("threshold", 2.0), ("entries", 0), ("timeout_s", -1.0)])
def test_a_semantic_cache_does_too(field: str, value: float) -> None:
    with pytest.raises(LLMValidationError, match=f"semantic: {field} must be"):
        SemanticPolicy(**{field: value})  # type: ignore[arg-type]  # by name, so that all are tried


@pytest.mark.parametrize(("field", "value"), [("interval_s", 0), ("limit_bytes", 0)])
def test_memory_is_looked_at_now_and_then_and_has_a_limit(field: str, value: float) -> None:
    with pytest.raises(LLMValidationError, match=f"memory: {field} must be"):
        MemoryPolicy(**{field: value})  # type: ignore[arg-type]  # by name, so that all are tried


def test_the_levels_of_memory_rise() -> None:
    with pytest.raises(LLMValidationError, match=r"0\.9, 0\.8, 0\.9"):
        MemoryPolicy(soft=0.9)


def test_an_answer_is_kept_as_long_as_somebody_may_ask_for_it() -> None:
    assert CachePolicy(swr_s=5, stale_if_error_s=9).keep_s == 9
    assert (CachePolicy().is_off, NO_CACHE.is_off, CachePolicy(levels=()).is_off) == (False, True, True)
