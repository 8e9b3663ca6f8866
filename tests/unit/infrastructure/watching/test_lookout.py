"""When the files are looked at and when they are read, on a clock turned by hand and files that exist nowhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.infrastructure.watching.lookout import SWEEP_S, Lookout
from loomwire.infrastructure.watching.settling import LONGEST_S, QUIET_S, UNCLOSED_S, VANISHED_S, Hint
from loomwire.infrastructure.watching.survey import Survey

A = "/conf/a.yaml"


class Files:
    """Files as a survey sees them: a version each, 0 for an empty one."""

    def __init__(self, **versions: int) -> None:
        self.versions = {f"/conf/{name}.yaml": version for name, version in versions.items()}
        self.looks = 0

    def look(self) -> Survey:
        """Return what is there."""
        self.looks += 1
        files = {path: (1, 1, min(version, 1), version, version) for path, version in self.versions.items()}
        return Survey(dict(files), {})


class Racing(Files):
    """Files that change right after somebody looked."""

    def __init__(self, **versions: int) -> None:
        super().__init__(**versions)
        self.next: list[int] = []

    @override
    def look(self) -> Survey:
        """Return what is there, and change."""
        found = super().look()
        if self.next:
            self.versions[A] = self.next.pop()
        return found


def begun(files: Files) -> Lookout:
    """Return a lookout at 0 s that has had its first reading and the look after it."""
    lookout = Lookout(files.look, -UNCLOSED_S)
    assert lookout.turn(0.0)
    lookout.sweep_soon(0.0)
    assert not lookout.turn(0.0)
    files.looks = 0
    return lookout


def read_at(lookout: Lookout, until: float) -> list[float]:
    """Turn the clock, and return when the files were read."""
    times = []
    while (now := lookout.due()) <= until:
        if lookout.turn(now):
            times.append(round(now, 3))
    return times


def test_nothing_is_read_while_nothing_changes_and_every_second_is_one_look() -> None:
    files = Files(a=1)
    lookout = begun(files)
    assert read_at(lookout, 10.5) == []
    assert files.looks == 10


def test_a_file_that_is_being_written_at_the_start_is_given_more_time_before_the_first_reading() -> None:
    files = Files(a=1)
    lookout = Lookout(files.look, 0.0)
    files.versions[A] = 2
    assert read_at(lookout, 5) == [round(2 * UNCLOSED_S, 3)]


def test_a_turn_before_it_is_due_does_nothing() -> None:
    files = Files(a=1)
    assert not begun(files).turn(0.5)
    assert files.looks == 0


def test_a_closed_file_is_read_after_a_short_rest() -> None:
    files = Files(a=1)
    lookout = begun(files)
    files.versions[A] = 2
    lookout.hear(Hint.CLOSED, A, 0.3)
    assert read_at(lookout, 5) == [round(0.3 + QUIET_S, 3)]


def test_what_nobody_announces_is_found_by_looking() -> None:
    files = Files(a=1)
    lookout = begun(files)
    files.versions[A] = 2
    assert read_at(lookout, 5) == [round(SWEEP_S + UNCLOSED_S, 3)]


def test_what_changes_unannounced_while_it_is_waited_for_is_given_more_time() -> None:
    files = Files(a=1)
    lookout = begun(files)
    files.versions[A] = 2
    assert read_at(lookout, SWEEP_S) == []
    files.versions[A] = 3
    assert read_at(lookout, SWEEP_S + UNCLOSED_S) == []
    assert read_at(lookout, 5) == [round(SWEEP_S + 2 * UNCLOSED_S, 3)]


def test_what_never_rests_is_read_a_second_after_it_was_found() -> None:
    files = Files(a=1)
    lookout = begun(files)
    times = []
    while (now := lookout.due()) < 2.5:
        files.versions[A] += 1
        if lookout.turn(now):
            times.append(round(now, 3))
    assert times == [round(SWEEP_S + LONGEST_S, 3)]


def test_an_emptied_file_that_is_filled_again_is_read_once() -> None:
    files = Files(a=1)
    lookout = begun(files)
    files.versions[A] = 0
    lookout.hear(Hint.CLOSED, A, 0.1)
    assert read_at(lookout, 0.3) == []
    files.versions[A] = 2
    lookout.hear(Hint.CLOSED, A, 0.3)
    assert read_at(lookout, 5) == [round(0.3 + QUIET_S, 3)]


def test_a_file_that_is_gone_for_good_is_accepted_after_half_a_second() -> None:
    files = Files(a=1, b=1)
    lookout = begun(files)
    del files.versions[A]
    lookout.hear(Hint.REPLACED, A, 0.1)
    assert read_at(lookout, 5) == [round(0.1 + QUIET_S + VANISHED_S, 3)]


def test_a_change_during_the_reading_is_found_at_once_and_read_again() -> None:
    files = Files(a=1)
    lookout = begun(files)
    lookout.hear(Hint.CLOSED, A, 0.1)
    assert read_at(lookout, 0.2) == [round(0.1 + QUIET_S, 3)]
    files.versions[A] = 2
    lookout.sweep_soon(0.2)
    assert read_at(lookout, 5) == [round(0.2 + UNCLOSED_S, 3)]


def test_a_change_between_the_look_and_the_reading_is_read_again() -> None:
    files = Racing(a=1)
    lookout = begun(files)
    files.versions[A], files.next = 2, [3]
    lookout.hear(Hint.CLOSED, A, 0.1)
    assert read_at(lookout, 5) == [round(0.1 + QUIET_S, 3), round(0.1 + QUIET_S + SWEEP_S + UNCLOSED_S, 3)]


Step = tuple[float, str, int, Hint | None]
STEPS = st.tuples(
    st.floats(0.001, 0.4), st.sampled_from("ab"), st.integers(0, 3), st.one_of(st.none(), st.sampled_from(Hint))
)


@given(st.lists(STEPS, max_size=30))
def test_however_files_change_the_last_state_is_read_and_then_there_is_silence(steps: list[Step]) -> None:
    files = Files(a=1, b=1)
    lookout, now, version = begun(files), 0.0, 10
    last_read = dict(files.versions)
    for gap, name, what, hint in steps:
        while lookout.due() <= now + gap:
            if lookout.turn(lookout.due()):
                last_read = dict(files.versions)
        now, version = now + gap, version + 1
        path = f"/conf/{name}.yaml"
        if what == 0:
            files.versions.pop(path, None)
        else:
            files.versions[path] = 0 if what == 1 else version
        if hint is not None:
            lookout.hear(hint, path, now)
    bound = now + SWEEP_S + 2 * LONGEST_S + VANISHED_S
    while (due := lookout.due()) <= bound:
        if lookout.turn(due):
            last_read = dict(files.versions)
    assert last_read == files.versions
    assert read_at(lookout, bound + 5) == []
