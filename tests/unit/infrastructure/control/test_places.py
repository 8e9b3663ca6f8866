from __future__ import annotations

import os
import socket
import stat
import time
from pathlib import Path

import pytest

from loomwire.infrastructure.control.places import (
    LONGEST,
    is_deserted,
    is_too_long,
    open_place,
    places,
    remove_stale,
)


@pytest.fixture
def named(tmp_path: Path) -> Path:
    """Return a socket in a folder that is not there yet."""
    return tmp_path / "run" / "l.sock"


def left_behind(path: Path, *, age_s: float) -> Path:
    """Make what a process leaves that was killed so long ago."""
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(path))
    made = time.time() - age_s
    os.utime(path, (made, made))
    return path


def test_a_place_is_for_its_user_alone_has_the_process_in_its_name_and_is_gone_when_closed(named: Path) -> None:
    place = open_place(named)
    assert place.path == named.with_name(f"l-{os.getpid()}.sock")
    assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(named.parent.stat().st_mode) == 0o700
    assert (places(named), is_deserted(place.path)) == ((place.path,), False)
    place.close()
    assert places(named) == ()
    place.close()


def test_a_second_container_of_a_process_has_a_place_of_its_own(named: Path) -> None:
    first, second = open_place(named), open_place(named)
    assert second.path.name == f"l-{os.getpid()}-2.sock"
    assert places(named) == (second.path, first.path)
    first.close()
    second.close()


def test_what_a_dead_process_left_is_removed_and_what_lives_or_has_just_been_made_stays(named: Path) -> None:
    old, new = left_behind(named.with_name("l-7.sock"), age_s=60), left_behind(named.with_name("l-8.sock"), age_s=0)
    (named.parent / "l-9.txt").touch()
    place = open_place(named)
    os.utime(place.path, (0, 0))
    assert (old.exists(), new.exists(), is_deserted(new)) == (False, True, True)
    assert remove_stale(named) == ()
    assert places(named) == tuple(sorted((new, place.path)))
    place.close()
    assert is_deserted(place.path) is False


def test_a_process_id_that_comes_again_finds_its_place_free(named: Path) -> None:
    mine = left_behind(named.with_name(f"l-{os.getpid()}.sock"), age_s=60)
    place = open_place(named)
    assert place.path == mine
    place.close()


def test_a_file_that_is_no_socket_is_left_alone(named: Path) -> None:
    named.parent.mkdir()
    file = named.with_name("l-5.sock")
    file.write_text("mine", encoding="utf-8")
    os.utime(file, (0, 0))
    assert (places(named), remove_stale(named)) == ((), ())
    assert file.read_text(encoding="utf-8") == "mine"


def test_only_so_many_containers_of_a_process_have_a_place(named: Path) -> None:
    taken = [left_behind(named.with_name(f"l-{os.getpid()}.sock"), age_s=0)]
    taken += [left_behind(named.with_name(f"l-{os.getpid()}-{n}.sock"), age_s=0) for n in range(2, 100)]
    with pytest.raises(OSError, match="in use"):
        open_place(named)
    assert places(named) == tuple(sorted(taken))


def test_a_path_that_is_too_long_is_told_before_and_fails(tmp_path: Path) -> None:
    long = tmp_path / ("x" * LONGEST) / "l.sock"
    assert (is_too_long(long), is_too_long(Path("/run/l.sock"))) == (True, False)
    with pytest.raises(OSError, match="too long"):
        open_place(long)


def test_sockets_of_other_users_are_seen_by_root_alone(named: Path) -> None:
    mine = left_behind(named.with_name("l-7.sock"), age_s=60)
    assert (places(named), places(named, 0), places(named, os.geteuid() + 1)) == ((mine,), (mine,), ())


def test_nobody_is_anywhere_in_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert places(tmp_path / "none" / "l.sock") == ()
