"""When an edit is over: the rules one by one, and what holds for every order of hints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.watching.settling import LONGEST_S, QUIET_S, UNCLOSED_S, VANISHED_S, Hint, Settling

STRONG = (Hint.MODIFIED, Hint.CLOSED, Hint.REPLACED, Hint.CHANGED)


def settled(*hints: tuple[Hint, str, float]) -> Settling:
    """Return what has heard these hints."""
    settling = Settling()
    for hint, path, now in hints:
        settling.hint(hint, path, now)
    return settling


@pytest.mark.parametrize(
    ("hint", "due"), [(Hint.CLOSED, QUIET_S), (Hint.REPLACED, QUIET_S), (Hint.CHANGED, UNCLOSED_S)]
)
def test_a_hint_alone_is_due_after_its_time(hint: Hint, due: float) -> None:
    assert settled((hint, "a", 10.0)).due() == pytest.approx(10.0 + due)


@pytest.mark.parametrize("hint", [Hint.OPENED, Hint.RELEASED])
def test_reading_is_no_reason_to_read(hint: Hint) -> None:
    assert settled((hint, "a", 10.0)).due() is None


def test_a_file_that_is_open_and_being_written_is_waited_for_until_it_is_closed() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.MODIFIED, "a", 0.1))
    assert settling.due() == pytest.approx(0.1 + LONGEST_S)
    settling.hint(Hint.CLOSED, "a", 0.4)
    assert settling.due() == pytest.approx(0.4 + QUIET_S)


def test_a_reader_that_closes_does_not_end_the_wait_for_the_writer() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.MODIFIED, "a", 0.1), (Hint.RELEASED, "a", 0.2))
    settling.hint(Hint.MODIFIED, "a", 0.3)
    assert settling.due() == pytest.approx(0.1 + LONGEST_S)


def test_a_writer_that_goes_on_after_the_files_were_read_is_waited_for_again() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.MODIFIED, "a", 0.1))
    settling.looked()
    assert settling.due() is None
    settling.hint(Hint.MODIFIED, "a", 2.0)
    assert settling.due() == pytest.approx(2.0 + LONGEST_S)


def test_a_file_that_only_a_reader_had_open_is_not_taken_for_one_being_written() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.RELEASED, "a", 0.1), (Hint.MODIFIED, "a", 0.2))
    assert settling.due() == pytest.approx(0.2 + UNCLOSED_S)


def test_a_modification_right_after_the_writer_was_done_is_a_chmod_and_does_not_delay() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.MODIFIED, "a", 0.0), (Hint.CLOSED, "a", 0.001))
    settling.hint(Hint.MODIFIED, "a", 0.002)
    assert settling.due() == pytest.approx(0.002 + QUIET_S)


def test_modifications_of_a_file_nobody_opened_keep_their_longer_rest() -> None:
    settling = settled((Hint.MODIFIED, "a", 0.0), (Hint.MODIFIED, "a", 0.1))
    assert settling.due() == pytest.approx(0.1 + UNCLOSED_S)


def test_one_file_that_is_done_does_not_cut_short_the_wait_for_another() -> None:
    settling = settled((Hint.OPENED, "a", 0.0), (Hint.MODIFIED, "a", 0.0), (Hint.CLOSED, "b", 0.1))
    assert settling.due() == pytest.approx(LONGEST_S)


def test_a_missing_file_is_waited_for_half_a_second_and_not_longer() -> None:
    settling = settled((Hint.REPLACED, "a", 0.0))
    assert settling.hold(0.02)
    assert settling.due() == pytest.approx(0.02 + VANISHED_S)
    assert not settling.hold(0.02 + VANISHED_S)


def test_a_missing_file_that_comes_back_is_read_as_soon_as_it_is_whole() -> None:
    settling = settled((Hint.REPLACED, "a", 0.0))
    assert settling.hold(0.02)
    settling.hint(Hint.CLOSED, "a", 0.2)
    assert settling.due() == pytest.approx(0.2 + QUIET_S)
    settling.looked()
    settling.hint(Hint.REPLACED, "a", 5.0)
    assert settling.hold(5.02)


def test_a_missing_file_that_is_written_anew_is_given_a_second_of_its_own() -> None:
    settling = settled((Hint.REPLACED, "a", 0.0))
    assert settling.hold(0.02)
    settling.hint(Hint.OPENED, "a", 0.4)
    settling.hint(Hint.MODIFIED, "a", 0.4)
    assert settling.due() == pytest.approx(0.4 + LONGEST_S)


@given(st.lists(st.tuples(st.sampled_from(Hint), st.sampled_from("abc"), st.floats(0, 0.3)), min_size=1, max_size=40))
def test_whatever_is_heard_the_files_are_read_within_a_second_of_the_first_hint(
    steps: list[tuple[Hint, str, float]],
) -> None:
    settling, now, first = Settling(), 0.0, None
    for hint, path, gap in steps:
        now += gap
        settling.hint(hint, path, now)
        if hint in STRONG and first is None:
            first = now
        due = settling.due()
        assert (due is None) is (first is None)
        if due is not None and first is not None:
            assert due <= first + LONGEST_S
            assert hint not in STRONG or due >= min(now + QUIET_S, first + LONGEST_S) - 1e-9


@given(st.lists(st.tuples(st.sampled_from(STRONG), st.floats(0, 0.6)), max_size=40))
def test_a_file_that_stays_missing_holds_up_the_reading_for_a_bounded_time(steps: list[tuple[Hint, float]]) -> None:
    settling, now = Settling(), 0.0
    settling.hint(Hint.REPLACED, "a", now)
    for hint, gap in steps:
        due = settling.due()
        assert due is not None
        if now + gap >= due:
            now = max(now, due)
            if not settling.hold(now):
                break
        else:
            now += gap
            settling.hint(hint, "a", now)
    assert now <= 2 * LONGEST_S + VANISHED_S + 1e-9
