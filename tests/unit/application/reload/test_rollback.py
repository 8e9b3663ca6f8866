"""An earlier generation in force again: for how long, what is said of it, and what stays out meanwhile."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from typing_extensions import override

from loomwire.application.generation import build_generation
from loomwire.application.pipeline import Parts
from loomwire.application.registry import ClientRegistry
from loomwire.application.reload.drains import Drains
from loomwire.application.reload.store import ConfigStore
from loomwire.application.state.stats import CallStats
from loomwire.application.state.targets import TargetStates
from loomwire.domain.config import Snapshot
from loomwire.domain.errors import UnknownNameError
from loomwire.domain.ports.config import ConfigReading, IConfigSource
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import ScriptedClient
from support.chains import parts
from support.reloading import BreakingFactory, NotingPool, bad, client, good, named, store_of

A, B = client("a"), client("b")
ONE = named(A, B, digest="one")


def test_a_rollback_holds_until_the_next_valid_edit() -> None:
    two, three = named(client("a", "x"), B, digest="two"), named(A, digest="three")
    made = Parts(BreakingFactory(ValueError()), SystemClock(), CallStats(), TargetStates(SystemClock()))
    store, registry = store_of(ONE, good(two), bad("bad"), good(two), good(three), made=made)
    entry = registry.generation.entries["b"]
    store.reload()
    result = store.rollback(1)
    assert (result.outcome, result.generation, result.digest) == ("adopted", 3, "one")
    assert registry.generation.snapshot is ONE
    assert registry.generation.entries["b"] is entry
    assert store.reload().outcome == "rejected"
    assert (store.reload().outcome, store.rejection, store.rolled_back_to) == ("unchanged", None, 1)
    assert registry.generation.snapshot is ONE
    assert (store.reload().generation, store.rolled_back_to) == (4, None)
    assert [(each.number, each.digest, each.rolled_back_to) for each in store.history] == [
        (1, "one", None),
        (2, "two", None),
        (3, "one", 1),
        (4, "three", None),
    ]
    with pytest.raises(UnknownNameError, match="there is no generation 9") as caught:
        store.rollback(9)
    assert caught.value.hint == "The history knows 1, 2, 3, 4."
    store.rollback(True)
    assert repr(store.rolled_back_to) == "1", "it is shown as JSON"


def test_a_rollback_is_said_and_keeps_what_was_rejected_until_the_next_edit() -> None:
    two = named(A, digest="two")
    store, registry = store_of(ONE, good(two), bad("x"), bad("x"), good(two))
    told: list[tuple[Problem, ...]] = []
    store.rejected.add(lambda _, problems: told.append(problems))
    store.reload()
    store.reload()
    rejection = store.rejection
    assert rejection is not None
    store.rollback(1)
    assert (store.rolled_back_to, store.rejection) == (1, rejection)
    assert store.reload().outcome == "rejected"
    assert (store.rolled_back_to, store.rejection, len(told)) == (1, rejection, 1)
    assert store.reload().outcome == "adopted"
    assert registry.generation.snapshot is two
    assert (store.rolled_back_to, store.rejection) == (None, None)


def test_files_that_say_again_what_is_in_force_end_a_rollback() -> None:
    two = named(A, digest="two")
    store, registry = store_of(ONE, good(two), good(ONE), good(two))
    store.reload()
    store.rollback(1)
    assert (store.reload().outcome, store.rolled_back_to) == ("unchanged", None)
    assert store.reload().outcome == "adopted"
    assert registry.generation.snapshot is two


def test_a_rollback_to_what_the_files_say_is_none() -> None:
    store, _ = store_of(ONE, good(named(A, digest="two")), bad("x"))
    store.reload()
    store.rollback(1)
    assert (store.rollback(2).outcome, store.rolled_back_to) == ("adopted", None)
    assert store.reload().outcome == "rejected"
    assert (store.rollback(2).outcome, store.rolled_back_to) == ("adopted", 2)


def test_an_edit_that_was_refused_is_not_let_in_by_a_rollback() -> None:
    cut = named(A, digest="cut")
    eight = named(*(client(name) for name in "abcdefgh"), digest="eight")
    store, registry = store_of(ONE, good(eight), good(cut), good(cut), bad("x"), good(cut))
    store.reload()
    store.reload()
    rejection = store.rejection
    store.rollback(1)
    result = store.reload()
    assert (result.outcome, [problem.code for problem in result.problems]) == ("rejected", ["CFG040"])
    store.reload()
    assert store.rejection is not rejection
    assert (store.reload().outcome, store.rejection) == ("rejected", rejection)
    assert registry.generation.snapshot is ONE
    assert store.reload(allow_shrink=True).outcome == "adopted"
    assert (store.rolled_back_to, store.rejection) == (None, None)


def test_a_rollback_to_just_what_was_refused_lets_it_in() -> None:
    four = named(*(client(name) for name in "abcd"), digest="four")
    alone = named(A, digest="alone")
    store, _ = store_of(four, good(alone), good(four), good(alone), good(alone))
    store.reload(allow_shrink=True)
    store.reload()
    assert store.reload().outcome == "rejected"
    store.rollback(2)
    assert (store.rejection, store.rolled_back_to, store.reload().outcome) == (None, None, "unchanged")


def test_a_rollback_that_cannot_be_built_changes_nothing_and_is_no_rejected_edit() -> None:
    factory = BreakingFactory(ValueError(), broken="none")
    made = Parts(factory, SystemClock(), CallStats(), TargetStates(SystemClock()))
    store, registry = store_of(named(client("a", "old"), digest="one"), good(named(A, digest="two")), made=made)
    told: list[tuple[Problem, ...]] = []
    store.rejected.add(lambda _, problems: told.append(problems))
    store.reload()
    factory.broken = "old"
    result = store.rollback(1)
    assert (result.outcome, result.generation, [problem.code for problem in result.problems]) == (
        "rejected",
        2,
        ["CFG050"],
    )
    assert (registry.generation.number, store.rejection, store.rolled_back_to, told) == (2, None, None, [])


class Files(IConfigSource):
    """Says what a test has it say."""

    def __init__(self, says: ConfigReading) -> None:
        self.says = says

    @override
    def read(self, before: Snapshot | None) -> ConfigReading:
        return self.says


CONTENTS = {
    **{name: good(named(A, client(name), digest=name)) for name in ("one", "two", "three")},
    **{name: bad(name) for name in ("x", "y")},
}


@given(st.lists(st.one_of(st.sampled_from([*CONTENTS]), st.integers(0, 4)), max_size=12))
def test_the_status_says_whether_the_files_are_in_force_whatever_is_edited_and_rolled_back(
    steps: list[str | int],
) -> None:
    made = parts(ScriptedClient())
    files = Files(CONTENTS["one"])
    snapshot = files.says.snapshot
    assert snapshot is not None
    registry = ClientRegistry(build_generation(1, snapshot, made))
    store = ConfigStore(registry, files, made, Drains(NotingPool(), made.clock, lambda: registry.generation))
    kept_out = ""
    for step in steps:
        if isinstance(step, int):
            history = store.history
            store.rollback(history[step % len(history)].number)
            kept_out = files.says.digest
        else:
            edited = step != files.says.digest
            files.says = CONTENTS[step]
            outcome = store.reload().outcome
            if files.says.snapshot is None:
                assert outcome == "rejected"
            elif edited and store.rolled_back_to is None:
                assert registry.generation.snapshot.digest == step
            assert store.rolled_back_to is None or step == kept_out or files.says.snapshot is None
        in_force = registry.generation.snapshot.digest == files.says.digest
        assert in_force == (store.rolled_back_to is None and store.rejection is None)
        assert store.rejection is None or store.rejection.digest == files.says.digest
