"""What a container says of edits that are not in force, and of who holds up whom."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from loomwire import LLMContainer
from loomwire.domain.config import Snapshot
from loomwire.domain.reports.problems import Problem
from support.folders import folder
from support.reloading import Watched


def test_a_rollback_shows_until_the_files_say_something_new_and_hides_no_bad_edit(tmp_path: Path) -> None:
    with LLMContainer.open(folder(tmp_path), watch=False) as container:
        (tmp_path / "more.yaml").write_text("version: 1\nclients: {late: {models: [helper]}}\n", encoding="utf-8")
        container.reload()
        (tmp_path / "more.yaml").write_text("version: 1\nclients: [", encoding="utf-8")
        container.reload()
        container.configs.rollback(1)
        assert container.configs.rolled_back_to == 1
        said = json.loads(json.dumps(container.health().to_dict()))
        assert (said["generation"], said["rolled_back_to"], said["rejection"]["code"]) == (3, 1, "CFG001")
        assert said["rejection"]["file"] == f"{tmp_path}/more.yaml"
        assert container.reload().outcome == "rejected"
        assert container.health().rolled_back_to == 1
        (tmp_path / "more.yaml").unlink()
        assert container.reload().outcome == "unchanged"
        health = container.health()
        assert (health.generation, health.rolled_back_to, health.rejection) == (3, None, None)


def test_a_listener_that_blocks_holds_up_nobody_and_is_shown(tmp_path: Path) -> None:
    go = threading.Event()

    def blocking(old: Snapshot, new: Snapshot, diff: object) -> None:
        assert go.wait(10)

    with LLMContainer.open(folder(tmp_path)) as container:
        problems: list[tuple[Problem, ...]] = []
        container.on_config_updated(blocking)
        container.on_config_rejected(lambda _, found: problems.append(found))
        watched = Watched(container)
        folder(tmp_path, clients=("planner", "late"))
        watched.until(lambda: len(watched.updates) == 1)
        folder(tmp_path, clients=("planner",))
        watched.until(lambda: len(watched.updates) == 2)
        (tmp_path / "loomwire.yaml").write_text("version: [", encoding="utf-8")
        watched.until(lambda: len(watched.rejections) == 1)
        assert len(problems) == 1
        (slow,) = container.configs.slow_listeners
        assert slow.name == f"{__name__}.test_a_listener_that_blocks_holds_up_nobody_and_is_shown.<locals>.blocking"
        assert (slow.running_s >= 1, slow.waiting, slow.dropped) == (True, 1, 0)
        assert [each.name for each in container.health().listeners] == [slow.name]
        go.set()
