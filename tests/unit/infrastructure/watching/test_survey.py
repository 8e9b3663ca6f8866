"""One look from outside: which files are compared, and in which directories somebody listens for what."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loomwire.infrastructure.watching.survey import MOST_PARTS, Survey, is_config, survey


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with one file."""
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "app.yaml").write_text("a: 1\n", encoding="utf-8")
    return folder


def look(root: Path, *further: Path) -> Survey:
    """Look at a root and further files."""
    return survey(str(root), [str(path) for path in further])


def named(seen: Survey, folder: Path) -> set[str]:
    """Return which entries of a folder matter."""
    return set(seen.places[str(folder)].names)


@pytest.mark.parametrize(
    ("name", "counts"),
    [("a.yaml", True), ("a.YML", True), (".a.yaml", False), ("a.yaml~", False), ("a.log", False), ("..data", False)],
)
def test_what_counts_as_a_file_of_the_configuration(name: str, counts: bool) -> None:
    assert is_config(name) is counts


def test_a_folder_is_listened_to_for_contents_and_its_parent_for_its_name_only(root: Path) -> None:
    seen = look(root)
    here, above = seen.places[str(root)], seen.places[str(root.parent)]
    assert (here.contents, here.listed, set(here.names)) == (True, True, {"app.yaml"})
    assert (above.contents, above.listed, set(above.names)) == (False, False, {"conf"})
    assert here.identity == (root.stat().st_dev, root.stat().st_ino)
    assert here.matters("app.yaml")
    assert here.matters("new.yaml")
    assert not here.matters("app.log")
    assert above.matters("conf")
    assert not above.matters("sibling.yaml")


def test_an_empty_folder_is_listened_to_all_the_same(tmp_path: Path) -> None:
    assert look(tmp_path).places[str(tmp_path)].matters("first.yaml")


def test_a_look_at_what_did_not_change_is_equal(root: Path) -> None:
    assert look(root) == look(root)
    assert look(root).differing(look(root)) == frozenset()


def test_restoring_size_and_time_does_not_hide_a_change(root: Path) -> None:
    path = root / "app.yaml"
    before, found = look(root), path.stat()
    path.write_text("a: 2\n", encoding="utf-8")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert look(root).differing(before) == {str(path)}


def test_a_new_a_changed_and_a_removed_file_differ_and_a_missing_one_does_not(root: Path, tmp_path: Path) -> None:
    before = look(root, root / ".env")
    (root / "new.yaml").write_text("b: 1\n", encoding="utf-8")
    (root / "app.yaml").unlink()
    after = look(root, root / ".env", tmp_path / "never")
    assert after.differing(before) == {str(root / "new.yaml"), str(root / "app.yaml")}


@pytest.mark.parametrize(
    ("before", "after", "is_lost"),
    [
        ("a: 1", None, True), ("a: 1", "", True), (None, "", True), ("", "", False), ("", None, False),
        (None, "a: 1", False), ("a: 1", "a: 2", False), ("", "a: 1", False), (None, None, False),
    ],
)  # fmt: skip
def test_what_went_or_became_empty_or_came_empty_is_lost(
    root: Path, before: str | None, after: str | None, is_lost: bool
) -> None:
    path = root / "other.yaml"
    if before is not None:
        path.write_text(before, encoding="utf-8")
    seen = look(root, path)
    path.unlink(missing_ok=True)
    if after is not None:
        path.write_text(after, encoding="utf-8")
    assert look(root, path).lost(seen) is is_lost


def test_every_hop_of_a_link_is_a_place(root: Path, tmp_path: Path) -> None:
    for name in ("far", "farther"):
        (tmp_path / name).mkdir()
    (tmp_path / "farther" / "real").write_text("a: 1\n", encoding="utf-8")
    (tmp_path / "far" / "hop").symlink_to("../farther/real")
    (root / "link.yaml").symlink_to(tmp_path / "far" / "hop")
    seen = look(root)
    assert named(seen, tmp_path / "far") == {"hop"}
    assert named(seen, tmp_path / "farther") == {"real"}
    assert seen.files[str(root / "link.yaml")] == look(tmp_path / "farther" / "real").files[
        str(tmp_path / "farther" / "real")
    ]  # fmt: skip


def test_a_folder_that_is_a_link_on_the_way_is_noted_wherever_it_lies(root: Path, tmp_path: Path) -> None:
    (tmp_path / "far" / "v1").mkdir(parents=True)
    (tmp_path / "far" / "v1" / "real").touch()
    (tmp_path / "far" / "current").symlink_to("v1")
    (root / "link.yaml").symlink_to("../far/current/real")
    assert named(look(root), tmp_path / "far") == {"current", "v1"}


def test_the_links_of_a_config_map_matter_by_name(tmp_path: Path) -> None:
    root = tmp_path / "conf"
    (root / "..1").mkdir(parents=True)
    (root / "..1" / "app.yaml").write_text("a: 1\n", encoding="utf-8")
    (root / "..data").symlink_to("..1")
    (root / "app.yaml").symlink_to("..data/app.yaml")
    seen = look(root)
    assert named(seen, root) == {"app.yaml", "..data", "..1"}
    assert named(seen, root / "..1") == {"app.yaml"}


def test_a_root_that_is_a_link_is_listened_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "r1").mkdir()
    (tmp_path / "r1" / "app.yaml").write_text("a: 1\n", encoding="utf-8")
    (tmp_path / "conf").symlink_to("r1")
    seen = look(tmp_path / "conf")
    assert named(seen, tmp_path) == {"conf", "r1"}
    assert seen.places[str(tmp_path / "r1")].matters("new.yaml")
    assert list(seen.files) == [str(tmp_path / "conf" / "app.yaml")]


def test_one_file_as_root_is_listened_to_in_its_folder_by_name(root: Path) -> None:
    seen = look(root / "app.yaml")
    assert list(seen.places) == [str(root)]
    place = seen.places[str(root)]
    assert (place.contents, place.matters("app.yaml"), place.matters("new.yaml")) == (True, True, False)


def test_what_is_not_there_yet_is_waited_for_where_its_path_ends(root: Path) -> None:
    seen = look(root, root / "rules" / "deep" / "a.yaml")
    assert "rules" in named(seen, root)
    (root / "rules").mkdir()
    assert named(look(root, root / "rules" / "deep" / "a.yaml"), root / "rules") == {"deep"}


def test_a_missing_root_is_waited_for_in_the_nearest_folder(tmp_path: Path) -> None:
    seen = look(tmp_path / "a" / "conf")
    assert named(seen, tmp_path) == {"a"}
    assert seen.files == {str(tmp_path / "a" / "conf"): None}


def test_links_that_lead_in_a_circle_or_nowhere_are_missing(root: Path, tmp_path: Path) -> None:
    (root / "loop.yaml").symlink_to("loop.yaml")
    (root / "gone.yaml").symlink_to("nowhere/gone.yaml")
    (tmp_path / "lost").symlink_to("nowhere/deep")
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    circle = tmp_path / "one" / "a.yaml"
    lost = tmp_path / "lost" / "a.yaml"
    seen = look(root, circle, lost)
    assert [seen.files[str(path)] for path in (root / "loop.yaml", root / "gone.yaml", circle, lost)] == [None] * 4
    assert "nowhere" in named(seen, root)


def test_a_long_chain_of_links_ends_where_the_kernel_ends_it(root: Path, tmp_path: Path) -> None:
    before = tmp_path / "real"
    before.mkdir()
    (before / "a.yaml").write_text("a: 1\n", encoding="utf-8")
    for number in range(45):
        link = tmp_path / f"link{number}"
        link.symlink_to(before)
        before = link
    assert look(root, before / "a.yaml").files[str(before / "a.yaml")] is None


@pytest.mark.parametrize("name", ["/a\0b", "/a\0b/c", "/x" * (MOST_PARTS + 5), "/" + "x" * 5000])
def test_a_path_that_cannot_be_is_missing_and_nothing_is_raised(root: Path, name: str) -> None:
    assert survey(str(root), [name]).files.get(name) is None
    assert survey(name, ()).files.get(name) is None


def test_of_a_further_folder_every_entry_matters_and_its_parent_is_not_read(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere" / "recordings"
    folder.mkdir(parents=True)
    before = look(root, folder)
    assert before.places[str(folder)].matters("any.json")
    assert (before.places[str(folder)].contents, before.places[str(folder.parent)].contents) == (True, False)
    (folder / "any.json").touch()
    after = look(root, folder)
    assert after.differing(before) == {str(folder)}
    assert not after.lost(before)


def test_the_root_among_further_paths_is_still_only_its_configuration_files(root: Path) -> None:
    before = look(root, root)
    assert before == look(root)
    (root / "app.log").touch()
    assert look(root, root).differing(before) == frozenset()


def test_a_file_where_a_folder_should_be_is_no_place(root: Path) -> None:
    seen = look(root, root / "app.yaml" / "below")
    assert str(root / "app.yaml") not in seen.places
    assert seen.files[str(root / "app.yaml" / "below")] is None


def test_a_way_upwards_from_a_link_is_that_of_the_folder_it_leads_to(root: Path, tmp_path: Path) -> None:
    for name in ("far/v1", "far/shared"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "far" / "shared" / "real").write_text("a: 1\n", encoding="utf-8")
    (root / "current").symlink_to(tmp_path / "far" / "v1")
    (root / "link.yaml").symlink_to("current/../shared/real")
    seen = look(root)
    assert seen.files[str(root / "link.yaml")] is not None
    assert named(seen, tmp_path / "far" / "shared") == {"real"}
    assert named(seen, root) == {"app.yaml", "link.yaml", "current"}
    upwards = survey(f"{root}/current/../shared", [])
    assert upwards.places[str(tmp_path / "far" / "shared")].listed
    assert survey(f"{tmp_path}/nowhere/../x.yaml", []).files == {f"{tmp_path}/nowhere/../x.yaml": None}
