"""Keys in Redis are told apart and read back, and an answer is trusted only when it fits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.caching.entries import CacheKey
from loomwire.infrastructure.caching.redis_keys import RedisKeys, scanned, split
from loomwire.infrastructure.caching.redis_lines import LineError

KEYS = RedisKeys("loomwire")
NAMES = st.text(max_size=200)
DIGESTS = st.binary(min_size=32, max_size=32)
MARK = bytes(range(16))


@given(NAMES, DIGESTS)
def test_whose_entry_it_is_can_be_read_from_its_key(namespace: str, digest: bytes) -> None:
    key = CacheKey(namespace, digest)
    assert KEYS.read(KEYS.entry(key)) == key


@given(NAMES, NAMES, DIGESTS)
def test_no_two_keys_are_one(one: str, other: str, digest: bytes) -> None:
    names = {KEYS.entry(CacheKey(one, digest)), KEYS.mark(one), KEYS.mark(None)}
    names |= {KEYS.entry(CacheKey(other, digest)), KEYS.mark(other)}
    assert len(names) == (3 if one == other else 5)


def test_all_keys_stand_in_one_slot_of_a_cluster() -> None:
    look = KEYS.look(CacheKey("planner", bytes(32)))
    assert all(isinstance(name, bytes) and name.startswith(b"{loomwire}:") for name in look[1:])


@pytest.mark.parametrize(
    "name", [b"", b"other:1", b"{loomwire}:1:entry:", b"{loomwire}:1:entry:a:12", b"{loomwire}:1:entry:a:" + b"x" * 64]
)
def test_a_key_of_somebody_else_is_none_of_ours(name: bytes) -> None:
    assert KEYS.read(name) is None


def test_signs_of_patterns_in_a_namespace_mean_themselves() -> None:
    assert KEYS.pattern("a*[b]?").startswith(b"{loomwire}:1:entry:a\\*\\[b\\]\\?:")
    assert KEYS.pattern(None) == b"{loomwire}:1:entry:*"


@pytest.mark.parametrize("answer", [[None] * 3, [b"", b"", b""], [MARK, None, MARK], [MARK, b"a", MARK]])
def test_an_answer_without_marks_has_no_entry(answer: object) -> None:
    assert split(answer) == (None, None)


@pytest.mark.parametrize("raw", [None, 7, b"", MARK, MARK + bytes(16) + b"value"])
def test_an_entry_with_other_marks_is_dead(raw: object) -> None:
    assert split([MARK, MARK, raw]) == (MARK * 2, None)


@pytest.mark.parametrize("answer", [None, 7, [], [MARK, MARK], b"OK"])
def test_what_is_no_answer_to_a_look_is_an_error(answer: object) -> None:
    with pytest.raises(LineError):
        split(answer)


def test_an_entry_with_the_marks_of_now_counts() -> None:
    assert split([MARK, MARK, MARK * 2 + b"value"]) == (MARK * 2, b"value")


@pytest.mark.parametrize("answer", [None, [], [b"0"], [7, []], [b"0", b"1"]])
def test_what_is_no_answer_to_a_scan_is_an_error(answer: object) -> None:
    with pytest.raises(LineError):
        scanned(answer)
