"""The control socket of a container: it comes with the configuration, follows it, and goes with the container."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.application.loop_thread import LoopThread
from loomwire.container.operating.point import ControlPoint
from loomwire.infrastructure.control.client import ask_all
from loomwire.infrastructure.control.places import places
from loomwire.infrastructure.control.protocol import Question
from support.folders import folder
from support.forking import is_true_in_child
from support.reloading import Watched


def answers(named: Path) -> int:
    """Return how many answer at a socket."""
    return sum(answer.error is None for answer in ask_all(named, Question("breakers", {})).answers)


def test_a_container_listens_where_its_configuration_says_until_it_is_closed(tmp_path: Path) -> None:
    named = tmp_path / "run" / "l.sock"
    with LLMContainer.open(folder(tmp_path, control={"socket": "run/l.sock"})):
        assert [path.name for path in places(named)] == [f"l-{os.getpid()}.sock"]
        assert answers(named) == 1
    assert places(named) == ()


async def test_async_hosts_have_it_too(tmp_path: Path) -> None:
    named = tmp_path / "l.sock"
    async with LLMContainer.aopen(folder(tmp_path, control={"socket": "l.sock"})) as container:
        assert len(await asyncio.to_thread(places, named)) == 1
        assert await asyncio.to_thread(answers, named) == 1
        await container.aclose()
        assert await asyncio.to_thread(places, named) == ()


def test_without_it_and_without_watching_nothing_listens(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path / "a")) as container:
        assert container.configs.snapshot.control_socket is None
    config = folder(tmp_path / "b", control={"socket": "l.sock"})
    with LLMContainer.open(config, watch=False) as container:
        assert container.configs.snapshot.control_socket == str(config / "l.sock")
        assert places(config / "l.sock") == ()


def test_an_edit_moves_it_and_ends_it(tmp_path: Path) -> None:
    first, second = tmp_path / "a.sock", tmp_path / "b.sock"
    with LLMContainer.open(folder(tmp_path)) as container:
        watched = Watched(container)
        folder(tmp_path, control={"socket": "a.sock"})
        watched.until(lambda: len(places(first)) == 1)
        assert answers(first) == 1
        folder(tmp_path, control={"socket": "b.sock"})
        watched.until(lambda: len(places(second)) == 1)
        assert (answers(second), places(first)) == (1, ())
        folder(tmp_path, control={"socket": "b.sock"}, clients=("planner", "late"))
        watched.until(lambda: "late" in container.names())
        assert answers(second) == 1
        folder(tmp_path)
        watched.until(lambda: not places(second))


def test_two_containers_of_a_process_are_both_asked(tmp_path: Path) -> None:
    config = folder(tmp_path, control={"socket": "l.sock"})
    with LLMContainer.open(config), LLMContainer.open(config):
        assert answers(tmp_path / "l.sock") == 2


def test_what_keeps_it_from_listening_is_logged_and_nothing_else_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    config = folder(tmp_path, control={"socket": "file/l.sock"})
    with caplog.at_level(logging.WARNING), LLMContainer.open(config) as container:
        assert container.names() == ("planner",)
    assert "no control socket beside" in caplog.text


def test_a_container_that_is_dropped_leaves_no_socket(tmp_path: Path) -> None:
    named = tmp_path / "l.sock"
    container = LLMContainer.open(folder(tmp_path, control={"socket": "l.sock"}))
    gone = weakref.ref(container)
    assert len(places(named)) == 1
    del container
    with pytest.warns(ResourceWarning, match="dropped without close"):
        gc.collect()
    assert (gone(), places(named)) == (None, ())


def test_a_forked_child_leaves_the_socket_to_its_parent(tmp_path: Path) -> None:
    named = tmp_path / "l.sock"
    with LLMContainer.open(folder(tmp_path, control={"socket": "l.sock"})) as container:

        def close() -> bool:
            container.close(drain=0)
            return len(places(named)) == 1

        assert is_true_in_child(close)
        assert answers(named) == 1


async def nothing() -> None:
    """Do nothing at the end."""


class Gone(LLMContainer):
    """Nobody may operate it."""

    operable = False


def test_a_container_that_is_not_operable_listens_nowhere(tmp_path: Path) -> None:
    with Gone.open(folder(tmp_path, control={"socket": "l.sock"})) as container:
        assert places(tmp_path / "l.sock") == ()
        threads = LoopThread()
        point = ControlPoint(container, threads)
        point.start(container.configs)
        assert len(places(tmp_path / "l.sock")) == 1
        point.close()
        point.follow(container.configs.snapshot)
        assert places(tmp_path / "l.sock") == ()
        threads.close(nothing)


def test_threads_that_are_closed_serve_nobody(tmp_path: Path) -> None:
    with Gone.open(folder(tmp_path, control={"socket": "l.sock"})) as container:
        threads = LoopThread()
        threads.close(nothing)
        ControlPoint(container, threads).follow(container.configs.snapshot)
        assert places(tmp_path / "l.sock") == ()


def test_a_point_whose_container_is_gone_listens_no_more(tmp_path: Path) -> None:
    container = Gone.open(folder(tmp_path, control={"socket": "l.sock"}), watch=False)
    snapshot, configs = container.configs.snapshot, container.configs
    point = ControlPoint(container, LoopThread())
    container.close()
    del container
    gc.collect()
    point.start(configs)
    point.follow(snapshot)
    assert places(tmp_path / "l.sock") == ()


def test_its_thread_is_the_containers_own(tmp_path: Path) -> None:
    before = threading.active_count()
    with LLMContainer.open(folder(tmp_path, control={"socket": "l.sock"})):
        pass
    assert threading.active_count() <= before
