from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.memory.cgroups import GroupMemory, group_memory

HUGE = str(2**63 - 4096)


def world(where: Path, groups: str, **files: str) -> GroupMemory | None:
    """Return what is found where these files say so; `__` in a name is a slash and `-` a dot."""
    mount = where / "cgroup"
    (where / "self").write_text(groups, encoding="utf-8")
    for name, text in files.items():
        path = mount / name.replace("__", "/").replace("-", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return group_memory(where / "self", mount)


def files(**said: str) -> dict[str, str]:
    """Return the files, `max` written for memory.max and so on."""
    names = {
        "max": "memory-max",
        "high": "memory-high",
        "current": "memory-current",
        "limit": "memory-limit_in_bytes",
        "usage": "memory-usage_in_bytes",
    }
    found = {}
    for name, text in said.items():
        folder, _, short = name.rpartition("__")
        found[f"{folder}__{names[short]}" if folder else names[short]] = text
    return found


def test_version_2_says_what_may_be_taken_and_what_is_left(tmp_path: Path) -> None:
    found = world(tmp_path, "0::/app\n", **files(app__max="1000\n", app__high="max\n", app__current="400\n"))
    assert found == GroupMemory(1000, 600)


def test_the_least_limit_on_the_way_up_counts(tmp_path: Path) -> None:
    said = files(a__b__max="9000", a__b__current="10", a__max="700", a__current="650", max="max")
    assert world(tmp_path, "0::/a/b\n", **said) == GroupMemory(700, 50)


def test_a_group_that_is_slowed_down_counts_as_one_that_is_ended(tmp_path: Path) -> None:
    assert world(tmp_path, "0::/\n", **files(max="1000", high="800")) == GroupMemory(800, None)


def test_version_1_says_it_in_other_words(tmp_path: Path) -> None:
    groups = "9:cpu,memory:/app\n3:cpuset:/\n"
    said = files(memory__app__limit="500\n", memory__app__usage="600\n", memory__limit=HUGE)
    assert world(tmp_path, groups, **said) == GroupMemory(500, 0)


def test_beside_version_1_the_second_has_a_folder_of_its_own(tmp_path: Path) -> None:
    groups = "4:memory:/x\n0::/x\n"
    said = files(memory__x__limit=HUGE, unified__x__max="300")
    assert world(tmp_path, groups, **said) == GroupMemory(300, None)


def test_in_a_container_that_sees_only_its_own_group_the_root_is_the_group(tmp_path: Path) -> None:
    first = world(_made(tmp_path / "a"), "4:memory:/docker/1f\n", **files(memory__limit="200"))
    second = world(_made(tmp_path / "b"), "0::/../../other\n", **files(max="200"))
    assert first == second == GroupMemory(200, None)


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    assert world(tmp_path, "0::/app\n4:memory:/\n", **files(app__max="max", memory__limit=HUGE)) is None
    assert world(tmp_path, "0::/app\n", **files(app__max="0", app__high="-5", max="many")) is None


def test_a_system_without_groups_has_no_limit(tmp_path: Path) -> None:
    assert group_memory(tmp_path / "nothing", tmp_path) is None


def test_this_machine_is_read_without_an_error() -> None:
    found = group_memory()
    assert found is None or found.limit_bytes > 0


@given(st.text(max_size=60), st.text(max_size=20))
def test_whatever_the_files_say_nothing_is_raised(groups: str, limit: str) -> None:
    with TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "self").write_bytes(groups.encode("utf-8", "replace"))
        (where / "memory.max").write_bytes(limit.encode("utf-8", "replace"))
        assert group_memory(where / "self", where) is None or limit.strip().isdigit()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
