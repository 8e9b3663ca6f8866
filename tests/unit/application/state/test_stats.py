from __future__ import annotations

import threading

from loomwire.application.state.counts import CallCounts
from loomwire.application.state.stats import RECENT, CallStats, Tally
from loomwire.domain.pricing import Cost, Unpriced, Usage
from loomwire.testing import FakeClock


def test_answers_add_up_tokens_money_and_time() -> None:
    tally = Tally()
    tally.answered(0.5, Usage(input_tokens=10, output_tokens=3), Cost(70))
    tally.answered(0.25, Usage(input_tokens=1, output_tokens=1), Unpriced("no_price"))
    counts = tally.counts()
    assert (counts.answered, counts.input_tokens, counts.output_tokens) == (2, 11, 4)
    assert (counts.cost_micro_usd, counts.unpriced, counts.latency_s) == (70, 1, 0.75)


def test_errors_are_counted_by_code() -> None:
    tally = Tally()
    for code in ("RAT001", "NET003", "RAT001"):
        tally.failed(0.5, code)
    assert tally.counts() == CallCounts(failed=3, latency_s=1.5, errors={"RAT001": 2, "NET003": 1})


def test_what_nobody_waited_for_is_kept_apart_and_judged_by_nobody() -> None:
    tally = Tally()
    tally.left(cancelled=True)
    tally.left(cancelled=False)
    counts = tally.counts()
    assert (counts.cancelled, counts.abandoned, counts.success_rate) == (1, 1, None)


def test_counts_are_a_value_that_later_calls_do_not_change() -> None:
    tally = Tally()
    tally.failed(0.1, "RAT001")
    before = tally.counts()
    tally.failed(0.1, "RAT001")
    assert before.errors == {"RAT001": 1}


def test_a_key_has_one_tally_for_ever() -> None:
    stats = CallStats()
    assert stats.tally("client:a") is stats.tally("client:a")
    assert stats.tally("client:a") is not stats.tally("client:b")


def test_a_key_that_was_never_built_has_counted_nothing() -> None:
    assert CallStats().counts("client:nobody") == CallCounts()


def test_threads_lose_no_count() -> None:
    stats = CallStats()

    def work() -> None:
        for _ in range(500):
            stats.tally("k").answered(0.0, Usage(input_tokens=1), Cost(1))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stats.counts("k").answered == stats.counts("k").cost_micro_usd == 4000


def test_tallies_of_clients_that_are_gone_are_forgotten() -> None:
    stats = CallStats()
    for key in ("client:kept", "client:gone"):
        stats.tally(key).left(cancelled=True)
    stats.retain({"client:kept"})
    assert (stats.counts("client:kept").cancelled, stats.counts("client:gone").cancelled) == (1, 0)


def test_the_last_endings_are_remembered_one_by_one_and_no_more_than_so_many() -> None:
    clock = FakeClock(100.0)
    stats = CallStats(clock.now)
    tally = stats.tally("target:a/m")
    tally.answered(0.5, Usage(), Unpriced("no_price"))
    clock.move(1.0)
    tally.failed(0.25, "NET002")
    tally.left(cancelled=True)
    assert stats.recent("target:a/m") == ((100.0, 0.5, ""), (101.0, 0.25, "NET002"))
    assert stats.recent("target:nobody") == ()
    for _ in range(RECENT):
        tally.failed(0.1, "TMP001")
    assert {code for _, _, code in tally.recent()} == {"TMP001"}
    assert len(tally.recent()) == RECENT
