from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.state.breaking.window import Window

CALL = st.tuples(st.sampled_from([0.0, 0.25, 1.0, 2.5, 9.0, 31.0]), st.booleans(), st.booleans())


def counts(window: Window) -> tuple[int, int, int]:
    return window.calls, window.failures, window.slow


@given(st.lists(CALL), st.sampled_from([(30.0, 10), (4.0, 4), (1.0, 1), (0.125, 3)]))
def test_a_window_counts_what_a_list_of_all_calls_says(
    calls: list[tuple[float, bool, bool]], shape: tuple[float, int]
) -> None:
    window_s, buckets = shape
    window, seen, now = Window(window_s, buckets), list[tuple[int, bool, bool]](), 0.0
    for wait, failed, slow in calls:
        now += wait
        window.add(now, failed=failed, slow=slow)
        index = int(now * (buckets / window_s))
        seen = [item for item in [*seen, (index, failed, slow)] if item[0] > index - buckets]
        assert counts(window) == (len(seen), sum(item[1] for item in seen), sum(item[2] for item in seen))


def test_time_alone_makes_a_window_forget() -> None:
    window = Window(30, 10)
    window.add(1, failed=True, slow=True)
    window.turn(29.9)
    assert counts(window) == (1, 1, 1)
    window.turn(31)
    assert counts(window) == (0, 0, 0)
    window.add(31, failed=True, slow=False)
    assert counts(window) == (1, 1, 0)


def test_a_call_that_is_told_late_counts_in_the_newest_bucket() -> None:
    window = Window(30, 10)
    window.add(20, failed=False, slow=False)
    window.add(1, failed=True, slow=False)
    window.turn(45)
    assert counts(window) == (2, 1, 0)


def test_a_cleared_window_has_seen_nothing() -> None:
    window = Window(30, 10)
    window.add(20, failed=True, slow=True)
    window.clear()
    assert counts(window) == (0, 0, 0)
