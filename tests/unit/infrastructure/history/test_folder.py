"""Generations in a folder: what is kept, what is put back, and what is never lost."""

from __future__ import annotations

import os
import shutil
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loomwire.domain.errors import ConfigError, UnknownNameError
from loomwire.infrastructure.configuration.documents import MAX_BYTES
from loomwire.infrastructure.history.folder import HistoryFolder


class Kept:
    """A configuration whose generations are kept."""

    def __init__(self, where: Path, keep: int = 20) -> None:
        self.root = where / "config"
        self.folder = where / "state" / "history"
        self.history = HistoryFolder(self.folder, keep)
        self.write("a.yaml", "one")

    def write(self, name: str, content: str) -> None:
        """Write a file of the configuration."""
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(content, encoding="utf-8")

    def add(self, digest: str) -> int:
        """Keep what is there, and return its number."""
        files = [str(path) for path in sorted(self.root.rglob("*")) if path.is_file()]
        entry = self.history.add(self.root, files, digest, [{"path": digest}])
        assert entry is not None
        return entry.number

    def contents(self) -> dict[str, str]:
        """Return every file of the configuration."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.read_text(encoding="utf-8") for path in files}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Return a configuration of one file of which nothing is kept."""
    return Kept(tmp_path)


def test_nothing_is_kept_before_there_is_a_folder(kept: Kept) -> None:
    assert kept.history.entries() == ()
    assert not kept.folder.exists()


def test_a_generation_is_kept_with_its_facts(kept: Kept) -> None:
    kept.write("rules/r.yaml", "rules")
    assert kept.add("d1") == 1
    (entry,) = kept.history.entries()
    assert (entry.number, entry.digest, entry.files) == (1, "d1", ("a.yaml", "rules/r.yaml"))
    assert entry.changes == ({"path": "d1"},)
    assert entry.when.endswith("+00:00")
    assert entry.to_dict()["files"] == ["a.yaml", "rules/r.yaml"]


def test_only_the_owner_may_look_into_it(kept: Kept) -> None:
    kept.add("d1")
    assert stat.S_IMODE(kept.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((kept.folder / "000001").stat().st_mode) == 0o700


def test_the_same_generation_is_kept_once_and_again_after_another(kept: Kept) -> None:
    kept.add("d1")
    assert kept.history.add(kept.root, [], "d1") is None
    assert (kept.add("d2"), kept.add("d1")) == (2, 3)


def test_only_the_last_are_kept_and_numbers_go_on(tmp_path: Path) -> None:
    kept = Kept(tmp_path, keep=2)
    assert [kept.add(f"d{number}") for number in range(4)] == [1, 2, 3, 4]
    assert [entry.number for entry in kept.history.entries()] == [3, 4]


def test_what_is_elsewhere_or_gone_is_left_out(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-secret", encoding="utf-8")
    files = [str(tmp_path / "key"), str(kept.root / "gone.yaml"), str(kept.root / "a.yaml")]
    entry = kept.history.add(kept.root, files, "d1")
    assert entry is not None
    assert entry.files == ("a.yaml",)


def test_an_older_generation_is_put_back_with_its_mode(kept: Kept) -> None:
    kept.write("rules/r.yaml", "old rules")
    number = kept.add("d1")
    kept.write("a.yaml", "two")
    kept.write("rules/r.yaml", "new rules")
    kept.write("b.yaml", "more")
    (kept.root / "a.yaml").chmod(0o640)
    kept.add("d2")
    assert kept.history.restore(number, kept.root) == ("a.yaml", "rules/r.yaml")
    assert kept.contents() == {"a.yaml": "one", "rules/r.yaml": "old rules"}
    assert stat.S_IMODE((kept.root / "a.yaml").stat().st_mode) == 0o640


def test_what_stood_there_is_saved_first_though_it_never_came_into_force(kept: Kept) -> None:
    number = kept.add("d1")
    kept.write("a.yaml", "hours of work: [")
    kept.write("b.yaml", "more")
    kept.write("notes.txt", "mine")
    kept.history.restore(number, kept.root)
    (saved,) = kept.folder.glob("before-rollback-*")
    assert {path.name: path.read_text(encoding="utf-8") for path in saved.iterdir()} == {
        "a.yaml": "hours of work: [",
        "b.yaml": "more",
    }
    assert kept.contents() == {"a.yaml": "one", "notes.txt": "mine"}
    assert [entry.number for entry in kept.history.entries()] == [number]


def test_what_is_larger_than_a_configuration_may_be_is_saved_whole(kept: Kept) -> None:
    number = kept.add("d1")
    kept.write("big.yaml", "#" * (MAX_BYTES + 100))
    kept.history.restore(number, kept.root)
    (saved,) = kept.folder.glob("before-rollback-*")
    assert (saved / "big.yaml").stat().st_size == MAX_BYTES + 100
    assert kept.contents() == {"a.yaml": "one"}


def test_a_file_that_was_its_owners_alone_comes_back_so(kept: Kept) -> None:
    (kept.root / "a.yaml").chmod(0o600)
    number = kept.add("d1")
    (kept.root / "a.yaml").unlink()
    kept.history.restore(number, kept.root)
    assert stat.S_IMODE((kept.root / "a.yaml").stat().st_mode) == 0o600


def test_a_generation_of_the_same_content_is_kept_with_that_content(kept: Kept) -> None:
    kept.write("rules/r.yaml", "old rules")
    kept.add("d1")
    kept.write("a.yaml", "two")
    kept.add("d2")
    number = kept.add("d1")
    kept.history.restore(number, kept.root)
    assert kept.contents() == {"a.yaml": "one", "rules/r.yaml": "old rules"}


def test_a_same_generation_whose_copies_are_gone_is_copied_anew(kept: Kept) -> None:
    kept.add("d1")
    kept.add("d2")
    shutil.rmtree(kept.folder / "000001" / "files")
    kept.history.restore(kept.add("d1"), kept.root)
    assert kept.contents() == {"a.yaml": "one"}


def test_the_folder_may_be_named_in_another_way_than_its_files(kept: Kept) -> None:
    entry = kept.history.add(Path(os.path.relpath(kept.root)), [str(kept.root / "a.yaml")], "d1")
    assert entry is not None
    assert entry.files == ("a.yaml",)


def test_a_generation_without_files_takes_none_away(kept: Kept) -> None:
    entry = kept.history.add(kept.root, [], "d1")
    assert entry is not None
    with pytest.raises(ConfigError, match="it has no files"):
        kept.history.restore(entry.number, kept.root)
    assert kept.contents() == {"a.yaml": "one"}


def test_one_file_is_put_back_alone(kept: Kept) -> None:
    file = kept.root / "a.yaml"
    kept.write("other.yaml", "not ours")
    entry = kept.history.add(file, [str(file)], "d1")
    assert entry is not None
    kept.write("a.yaml", "two")
    assert kept.history.restore(entry.number, file) == ("a.yaml",)
    assert kept.contents() == {"a.yaml": "one", "other.yaml": "not ours"}


def test_a_folder_that_is_gone_is_made_again(kept: Kept) -> None:
    number = kept.add("d1")
    (kept.root / "a.yaml").unlink()
    kept.root.rmdir()
    kept.root.mkdir()
    kept.history.restore(number, kept.root)
    assert kept.contents() == {"a.yaml": "one"}


def test_a_generation_that_is_not_kept_names_those_that_are(kept: Kept) -> None:
    with pytest.raises(UnknownNameError, match=r"there is no generation 7 in .*Kept: none"):
        kept.history.restore(7, kept.root)
    kept.add("d1")
    with pytest.raises(UnknownNameError, match="Kept: 1"):
        kept.history.restore(7, kept.root)


def test_a_copy_that_is_gone_changes_nothing(kept: Kept) -> None:
    number = kept.add("d1")
    (kept.folder / "000001" / "files" / "a.yaml").unlink()
    kept.write("a.yaml", "two")
    with pytest.raises(ConfigError, match="cannot be put back"):
        kept.history.restore(number, kept.root)
    assert kept.contents() == {"a.yaml": "two"}


def test_what_cannot_be_read_is_left_out(kept: Kept) -> None:
    kept.add("d1")
    for name, content in (("000002", "{"), ("000003", "[]"), ("000004", "{}")):
        (kept.folder / name).mkdir()
        (kept.folder / name / "generation.json").write_text(content, encoding="utf-8")
    (kept.folder / "000005").mkdir()
    assert [entry.number for entry in kept.history.entries()] == [1]
    assert kept.add("d2") == 6


def test_processes_that_share_a_folder_lose_no_generation(kept: Kept) -> None:
    together = threading.Barrier(8)

    def add(thread: int) -> list[int]:
        together.wait()
        return [kept.add(f"{thread} {turn}") for turn in range(5)]

    kept.history = HistoryFolder(kept.folder, 100)
    with ThreadPoolExecutor(8) as threads:
        numbers = [number for found in threads.map(add, range(8)) for number in found]
    assert sorted(numbers) == list(range(1, 41))
    assert [entry.number for entry in kept.history.entries()] == sorted(numbers)


def test_a_folder_that_cannot_be_written_is_an_error(kept: Kept) -> None:
    kept.add("d1")
    with pytest.raises(OSError, match="File name too long"):
        HistoryFolder(kept.folder / ("x" * 300)).add(kept.root, [], "d2")


def test_a_file_in_the_place_of_the_folder_is_an_error(kept: Kept) -> None:
    kept.folder.parent.mkdir()
    kept.folder.write_text("", encoding="utf-8")
    with pytest.raises(FileExistsError):
        kept.add("d1")


def test_a_file_that_is_a_link_stays_one_and_what_it_leads_to_is_written(kept: Kept, tmp_path: Path) -> None:
    shared = tmp_path / "shared" / "real.yaml"
    shared.parent.mkdir()
    (kept.root / "a.yaml").rename(shared)
    shared.chmod(0o640)
    (kept.root / "a.yaml").symlink_to("../shared/real.yaml")
    number = kept.add("d1")
    shared.write_text("two", encoding="utf-8")
    kept.history.restore(number, kept.root)
    assert (kept.root / "a.yaml").readlink() == Path("../shared/real.yaml")
    assert shared.read_text(encoding="utf-8") == "one"
    assert stat.S_IMODE(shared.stat().st_mode) == 0o640
    assert list(shared.parent.iterdir()) == [shared]


def test_a_link_that_the_generation_did_not_have_goes_and_what_it_leads_to_stays(kept: Kept, tmp_path: Path) -> None:
    number = kept.add("d1")
    (tmp_path / "shared.yaml").write_text("shared", encoding="utf-8")
    (kept.root / "b.yaml").symlink_to(tmp_path / "shared.yaml")
    kept.history.restore(number, kept.root)
    assert not (kept.root / "b.yaml").is_symlink()
    assert (tmp_path / "shared.yaml").read_text(encoding="utf-8") == "shared"


def config_map(kept: Kept, version: str, *names: str) -> None:
    """Mount files as the kubelet does: links to links to a folder that it swaps."""
    for name in names:
        kept.write(f"..{version}/{name}", version)
        if not (kept.root / name).is_symlink():
            (kept.root / name).unlink(missing_ok=True)
            (kept.root / name).symlink_to(f"..data/{name}")
    (kept.root / "..data_tmp").symlink_to(f"..{version}")
    (kept.root / "..data_tmp").replace(kept.root / "..data")


def test_a_mounted_config_map_is_refused_before_anything_is_written(kept: Kept) -> None:
    config_map(kept, "2026_11_21", "a.yaml")
    number = kept.history.add(kept.root, [str(kept.root / "a.yaml")], "d1")
    assert number is not None
    config_map(kept, "2026_11_22", "a.yaml", "b.yaml")
    with pytest.raises(ConfigError, match=r"cannot be put back \(a.yaml is mounted by Kubernetes"):
        kept.history.restore(number.number, kept.root)
    assert (kept.root / "a.yaml").read_text(encoding="utf-8") == "2026_11_22"
    assert (kept.root / "b.yaml").exists()
    assert not list(kept.folder.glob("before-rollback-*"))


def test_a_link_into_a_place_that_cannot_be_written_is_refused_before_anything_is_written(
    kept: Kept, tmp_path: Path
) -> None:
    kept.write("b.yaml", "two")
    number = kept.add("d1")
    kept.write("a.yaml", "edited")
    (kept.root / "b.yaml").unlink()
    (kept.root / "b.yaml").symlink_to("/proc/sys/kernel/version.yaml")
    with pytest.raises(ConfigError, match=r"cannot be put back \(b.yaml leads to a place that cannot be written"):
        kept.history.restore(number, kept.root)
    assert (kept.root / "a.yaml").read_text(encoding="utf-8") == "edited"


def test_links_that_lead_to_one_file_are_refused_when_the_generation_had_two(kept: Kept) -> None:
    kept.write("b.yaml", "two")
    number = kept.add("d1")
    (kept.root / "b.yaml").unlink()
    (kept.root / "b.yaml").symlink_to("a.yaml")
    with pytest.raises(ConfigError, match=r"\(a.yaml and b.yaml are one file now\)"):
        kept.history.restore(number, kept.root)
    assert kept.contents() == {"a.yaml": "one", "b.yaml": "one"}
    kept.write("a.yaml", "both")
    same = kept.add("d2")
    kept.write("a.yaml", "edited")
    kept.history.restore(same, kept.root)
    assert kept.contents() == {"a.yaml": "both", "b.yaml": "both"}
    assert (kept.root / "b.yaml").is_symlink()


def test_a_link_that_leads_to_itself_is_refused(kept: Kept) -> None:
    number = kept.add("d1")
    (kept.root / "a.yaml").unlink()
    (kept.root / "a.yaml").symlink_to("a.yaml")
    with pytest.raises(ConfigError, match="cannot be put back"):
        kept.history.restore(number, kept.root)
    assert (kept.root / "a.yaml").is_symlink()
