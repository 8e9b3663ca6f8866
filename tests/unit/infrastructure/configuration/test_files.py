"""Only regular files are read, only so much of them, and never by waiting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from loomwire.infrastructure.configuration.files import (
    MAX_SECRET_BYTES,
    UnreadableError,
    absolute,
    inside,
    read_regular,
    read_secret,
)


def refusal(path: Path) -> str:
    """Return why a secret file is refused; the reason never has its content or its path."""
    with pytest.raises(UnreadableError) as caught:
        read_secret(path)
    assert str(path) not in str(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"hush", "hush"),
        (b"hush\n", "hush"),
        (b"hush\r\n", "hush"),
        (b"two\nlines\n\n", "two\nlines\n"),
        (b" x ", " x "),
    ],
)
def test_a_secret_loses_one_line_break_at_its_end(tmp_path: Path, data: bytes, text: str) -> None:
    (tmp_path / "key").write_bytes(data)
    assert read_secret(tmp_path / "key") == text


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "it is empty"),
        (b"\n", "it is empty"),
        (b"\xff", "it is no UTF-8 text"),
        (b"a\x00b", "it holds control characters"),
        (b"a\x1bb", "it holds control characters"),
        (b"x" * (MAX_SECRET_BYTES + 1), "it is larger than 64 KiB"),
    ],
)
def test_a_secret_file_must_hold_a_text(tmp_path: Path, data: bytes, why: str) -> None:
    (tmp_path / "key").write_bytes(data)
    assert refusal(tmp_path / "key") == why


def test_the_largest_secret_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * MAX_SECRET_BYTES)
    assert len(read_secret(tmp_path / "key")) == MAX_SECRET_BYTES


def test_a_missing_file_a_folder_a_pipe_and_a_device_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link-to-pipe").symlink_to("pipe")
    assert refusal(tmp_path / "absent") == "there is no such file"
    assert refusal(tmp_path / "pipe" / "x") == "there is no such file"
    assert refusal(tmp_path) == "it is no regular file"
    assert refusal(tmp_path / "pipe") == "it is no regular file"
    assert refusal(tmp_path / "link-to-pipe") == "it is no regular file"
    assert refusal(Path("/dev/zero")) == "it is no regular file"
    assert refusal(Path("/dev/stdin")) != ""


def test_links_are_followed_below_their_own_directory_as_kubernetes_makes_them(tmp_path: Path) -> None:
    (tmp_path / "..2026_11_01").mkdir()
    (tmp_path / "..2026_11_01" / "token").write_text("hush\n")
    (tmp_path / "..data").symlink_to("..2026_11_01")
    (tmp_path / "token").symlink_to("..data/token")
    assert read_secret(tmp_path / "token") == "hush"


def test_links_out_of_their_directory_in_circles_and_to_nowhere_are_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("not yours")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "key").symlink_to("../theirs")
    (mine / "loop").symlink_to("loop")
    (mine / "nowhere").symlink_to("absent")
    assert refusal(mine / "key") == "it is a link that leads out of its directory"
    assert refusal(mine / "nowhere") == "there is no such file"
    refusal(mine / "loop")


def test_a_path_upwards_and_an_impossible_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush")
    assert refusal(tmp_path / "x" / ".." / "key") == "its path must not contain `..`"
    assert refusal(Path("a\0b")) == "its path is not usable"
    refusal(tmp_path / ("x" * 5000))


def test_a_file_without_permission_is_refused_in_the_systems_words(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("hush")
    path.chmod(0)
    if os.access(path, os.R_OK):
        path.chmod(0o600)  # root reads everything
        assert read_secret(path) == "hush"
    else:
        assert refusal(path) == "permission denied"


def test_no_more_than_asked_for_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert len(read_regular(tmp_path / "a", 10)) == 11
    assert len(read_regular(tmp_path / "a", 100)) == 100


def test_a_link_as_the_last_part_can_be_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").symlink_to("a")
    assert read_regular(tmp_path / "b", 10) == b"x"
    with pytest.raises(UnreadableError):
        read_regular(tmp_path / "b", 10, links=False)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a\\b", "a\0b"])
def test_a_file_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnreadableError, match="below the configuration's folder"):
        inside(tmp_path, name)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("x")
    root = tmp_path / "config"
    root.mkdir()
    (root / "rules").symlink_to(tmp_path)
    with pytest.raises(UnreadableError, match="leads out"):
        inside(root, "rules/theirs")
    assert inside(root, "absent/yet.yaml") == root / "absent" / "yet.yaml"


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("a/../b", "b"), ("a/b/../../c", "c"), ("./a//b/", "a/b"), ("link/../b", "link/../b"),
        ("link/../../b", "link/../../b"), ("a/../link/x/../b", "link/b"), ("link", "link"),
    ],
)  # fmt: skip
def test_an_absolute_path_leads_where_the_given_one_does_and_names_links_as_they_are(
    tmp_path: Path, path: str, plain: str
) -> None:
    here = tmp_path / "here"
    for folder in (here, here / "a" / "b", here / "b", tmp_path / "far" / "off" / "x", tmp_path / "far" / "b"):
        folder.mkdir(parents=True, exist_ok=True)
    (here / "link").symlink_to(tmp_path / "far" / "off")
    assert absolute(f"{here}/{path}") == f"{here}/{plain}"
    assert os.path.realpath(f"{here}/{plain}") == os.path.realpath(f"{here}/{path}")


def test_nothing_is_above_the_root_of_the_file_system() -> None:
    assert absolute("/../../etc") == "/etc"
    assert absolute("here") == f"{Path.cwd()}/here"
