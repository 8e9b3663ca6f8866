from __future__ import annotations

from pathlib import Path

from loomwire import LLMRequest
from loomwire.container.process import ProcessContainers
from support.folders import folder
from support.threads import loom_threads

HI = LLMRequest.of("Hi")


def test_what_is_open_when_the_process_ends_is_closed_and_a_later_call_opens_it_again(tmp_path: Path) -> None:
    containers = ProcessContainers()
    first = containers.get(str(folder(tmp_path / "a")))
    second = containers.get(str(folder(tmp_path / "b")))
    first.sync_client("planner").generate(HI)
    containers.end()
    containers.end()
    assert (first.closed, second.closed, loom_threads()) == (True, True, [])
    again = containers.get(str(tmp_path / "a"))
    assert again is not first
    again.close()
