"""A folder of recordings: written whole or not at all, read in order, and clear about what is wrong with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.recordings import folder as room
from loomwire.infrastructure.recordings.exchange import Answered, Asked, Exchange
from loomwire.infrastructure.recordings.folder import Stored, file_name, read_any, read_folder, slug, write_exchange

EXCHANGE = Exchange("x", "openai", "other", "plain", Asked("GET", "http://h/"), Answered(200, body=b"hello"))


def test_what_was_written_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    for number in (2, 1):
        write_exchange(folder, file_name(number, "x"), replace(EXCHANGE, id=f"{number}"))
    (folder / ".hidden.json").write_text("{")
    (folder / "README.md").write_text("mine")
    assert [(each.name, each.number, each.exchange.id) for each in read_folder(folder)] == [
        ("0001-x.json", 1, "1"),
        ("0002-x.json", 2, "2"),
    ]
    assert Stored("by-hand.json", EXCHANGE).number == 0


def test_the_ten_thousandth_recording_comes_after_those_before_it(tmp_path: Path) -> None:
    for number in (10_000, 9_999, 1):
        write_exchange(tmp_path, file_name(number, "x"), EXCHANGE)
    write_exchange(tmp_path, "by-hand.json", EXCHANGE)
    assert [each.number for each in read_folder(tmp_path)] == [0, 1, 9_999, 10_000]


def test_a_write_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_exchange(tmp_path, "a.json", EXCHANGE)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("read", [read_folder, read_any])
def test_broken_files_are_named(tmp_path: Path, read: Callable[[Path], tuple[Stored, ...]]) -> None:
    (tmp_path / "0001-a.json").write_text("{")
    (tmp_path / "0002-b.json").mkdir()
    with pytest.raises(ConfigError) as caught:
        read(tmp_path)
    assert caught.value.code == "CFG022"
    assert "0001-a.json: it is no JSON" in str(caught.value)
    assert "(and 1 more)" in str(caught.value)
    assert str(tmp_path.parent) not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.json").open("wb") as file:
        file.truncate(room.MAX_FILE + 1)
    with pytest.raises(ConfigError, match=r"a\.json: it is larger than 128 MiB"):
        read_any(tmp_path)


def test_a_file_that_leads_nowhere_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to(tmp_path / "b.json")
    with pytest.raises(ConfigError, match=r"a\.json: it is no regular file"):
        read_any(tmp_path)


def test_a_replay_needs_recordings(tmp_path: Path) -> None:
    assert read_any(tmp_path) == read_any(tmp_path / "absent") == ()
    with pytest.raises(ConfigError, match="has no recordings"):
        read_folder(tmp_path)
    with pytest.raises(ConfigError, match="there is no such folder"):
        read_folder(tmp_path / "absent")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_folder(Path("a\0b"))


def test_parts_of_names_are_plain() -> None:
    assert [slug(words) for words in ("Open AI/é", "chat_completions", "..", "")] == [
        "open_ai",
        "chat_completions",
        "other",
        "other",
    ]
