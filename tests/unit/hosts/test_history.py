"""The generations of a running container are kept, and one that is put back is adopted."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire import LLMContainer
from loomwire.application.reload.listeners import Remove, UpdatedListener
from loomwire.application.reload.manager import LLMConfigManager
from loomwire.domain.config import Snapshot
from loomwire.hosts.history import keep_history
from loomwire.infrastructure.history.folder import HistoryFolder
from support.folders import folder


def test_every_generation_is_kept_and_can_be_put_back(tmp_path: Path) -> None:
    config, kept = folder(tmp_path / "config"), tmp_path / "history"
    with LLMContainer.open(config, watch=False) as container:
        end = keep_history(container, config, kept, keep=5)
        folder(config, clients=("planner", "late"))
        assert container.reload().outcome == "adopted"
        first, second = HistoryFolder(kept).entries()
        assert (first.number, first.changes, first.files) == (1, (), ("loomwire.yaml",))
        assert [change["path"] for change in second.changes] == ["clients.late"]
        HistoryFolder(kept).restore(1, config)
        assert container.reload().diff.removed == ("late",)
        assert [entry.digest for entry in HistoryFolder(kept).entries()] == [first.digest, second.digest, first.digest]
        end()
        folder(config, clients=("other",))
        assert container.reload(allow_shrink=True).outcome == "adopted"
        assert len(HistoryFolder(kept).entries()) == 3


def test_a_rollback_inside_the_process_is_kept_as_what_is_in_force(tmp_path: Path) -> None:
    config, kept = folder(tmp_path / "config"), tmp_path / "history"
    with LLMContainer.open(config, watch=False) as container:
        keep_history(container, config, kept)
        folder(config, clients=("planner", "late"))
        container.reload()
        container.configs.rollback(1)
        assert container.configs.rolled_back_to == 1
        HistoryFolder(kept).restore(2, config)
        assert (container.reload().outcome, container.health().rolled_back_to) == ("unchanged", 1)
        HistoryFolder(kept).restore(3, config)
        assert (container.reload().outcome, container.health().rolled_back_to) == ("unchanged", None)
        assert "late" not in (config / "loomwire.yaml").read_text(encoding="utf-8")


def test_relative_folders_are_kept_to_when_the_process_goes_elsewhere(tmp_path: Path) -> None:
    folder(tmp_path / "config")
    (tmp_path / "elsewhere").mkdir()
    with contextlib.chdir(tmp_path), LLMContainer.open("config", watch=False) as container:
        keep_history(container, "config", "history")
        with contextlib.chdir("elsewhere"):
            folder(tmp_path / "config", clients=("planner", "late"))
            assert container.reload().outcome == "adopted"
            assert list(Path.cwd().iterdir()) == []
    assert [entry.files for entry in HistoryFolder(tmp_path / "history").entries()] == [("loomwire.yaml",)] * 2


def test_files_that_were_edited_again_before_they_were_copied_are_not_kept(tmp_path: Path) -> None:
    config, kept = folder(tmp_path / "config"), tmp_path / "history"
    with LLMContainer.open(config, watch=False) as container:
        (config / "loomwire.yaml").write_text("never in force: [", encoding="utf-8")
        keep_history(container, config, kept)
        assert HistoryFolder(kept).entries() == ()
        assert list(kept.iterdir()) == []
        folder(config, clients=("planner", "late"))
        assert container.reload().outcome == "adopted"
        (config / "loomwire.yaml").unlink()
        assert HistoryFolder(kept).restore(1, config) == ("loomwire.yaml",)
        assert container.reload().outcome == "unchanged"


class Meddling(LLMConfigManager):
    """Edits right after somebody looked at the configuration in force."""

    def __init__(self, configs: LLMConfigManager, edit: Callable[[], object]) -> None:
        self.configs = configs
        self.edit = edit

    @property
    @override
    def snapshot(self) -> Snapshot:
        found = self.configs.snapshot
        self.edit()
        return found

    @override
    def follow(self, listener: UpdatedListener) -> tuple[Snapshot, Remove]:
        found = self.configs.follow(listener)
        self.edit()
        return found

    @override
    def on_config_updated(self, listener: UpdatedListener) -> Remove:
        return self.configs.on_config_updated(listener)


def test_an_edit_while_the_first_generation_is_added_is_kept_and_comes_after_it(tmp_path: Path) -> None:
    config, kept = folder(tmp_path / "config"), tmp_path / "history"
    with LLMContainer.open(config, watch=False) as container:
        first = container.configs.snapshot.digest
        editing, in_force = threading.Thread(target=container.reload), threading.Event()
        container.on_config_updated(lambda *_: in_force.set())

        def edit() -> None:
            (config / "more.yaml").write_text("version: 1\nclients: {late: {models: [helper]}}\n", encoding="utf-8")
            editing.start()
            assert in_force.wait(5)

        container.configs = Meddling(container.configs, edit)
        keep_history(container, config, kept)
        editing.join()
        (config / "more.yaml").unlink()
        assert container.reload().outcome == "adopted"
        digests = [entry.digest for entry in HistoryFolder(kept).entries()]
        assert (len(digests), digests[0], digests[2]) == (3, first, first)


def test_a_history_that_cannot_be_begun_is_told_nothing(tmp_path: Path) -> None:
    config, kept = folder(tmp_path / "config"), tmp_path / "history"
    kept.write_text("", encoding="utf-8")
    with LLMContainer.open(config, watch=False) as container:
        with pytest.raises(FileExistsError):
            keep_history(container, config, kept)
        kept.unlink()
        folder(config, clients=("planner", "late"))
        assert container.reload().outcome == "adopted"
        assert not kept.exists()
