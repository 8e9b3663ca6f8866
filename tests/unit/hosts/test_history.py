"""The generations of a running container are kept, and one that is put back is adopted."""

from __future__ import annotations

from pathlib import Path

from loomwire import LLMContainer
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
        HistoryFolder(kept).restore(3, config)
        assert container.reload().outcome == "unchanged"
        assert "late" not in (config / "loomwire.yaml").read_text(encoding="utf-8")


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
