from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.state.latencies import Latencies, LatencyWindow


def test_nothing_is_slow_before_twenty_answers() -> None:
    window = LatencyWindow()
    for _ in range(19):
        window.note(1.0)
    assert window.p95_s is None
    window.note(1.0)
    assert window.p95_s == 1.0


def test_the_figure_is_that_of_the_slowest_twentieth() -> None:
    window = LatencyWindow()
    for number in range(200):
        window.note(number / 100)
    assert window.p95_s == 1.9


def test_only_the_last_two_hundred_count() -> None:
    window = LatencyWindow()
    for _ in range(200):
        window.note(9.0)
    for _ in range(200):
        window.note(1.0)
    assert window.p95_s == 1.0


@given(st.lists(st.floats(0, 100), min_size=30, max_size=300))
def test_the_figure_lies_within_the_noted_and_is_at_most_ten_answers_old(seconds: list[float]) -> None:
    window = LatencyWindow()
    for number in seconds:
        window.note(number)
    known = [sorted(seconds[max(0, end - 200) : end]) for end in range(len(seconds) - 9, len(seconds) + 1)]
    assert window.p95_s in {ordered[len(ordered) * 95 // 100] for ordered in known}


def test_a_target_keeps_its_window_over_reloads() -> None:
    latencies = Latencies()
    window = latencies.window("vendor/m")
    assert latencies.window("vendor/m") is window
    assert latencies.window("vendor/n") is not window


def test_threads_may_note_at_once() -> None:
    window = LatencyWindow()

    def note() -> None:
        for _ in range(500):
            window.note(0.5)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert window.p95_s == 0.5


def test_a_child_takes_locks_of_its_own_and_keeps_what_is_known() -> None:
    latencies = Latencies()
    window = latencies.window("vendor/m")
    for _ in range(20):
        window.note(2.0)
    with latencies._lock, window._lock:
        latencies.after_fork()
    window.note(2.0)
    assert latencies.window("vendor/m").p95_s == 2.0


def test_windows_of_targets_that_are_gone_are_forgotten() -> None:
    latencies = Latencies()
    kept, gone = latencies.window("vendor/kept"), latencies.window("vendor/gone")
    latencies.retain({"vendor/kept"})
    assert latencies.window("vendor/kept") is kept
    assert latencies.window("vendor/gone") is not gone
