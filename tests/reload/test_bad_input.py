"""Whatever is saved: what is bad is never in force, is told once, and the last good generation stays."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer
from loomwire.domain.reports.problems import Problem
from support.folders import SAMPLE, folder

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + below] * 9)}]\n" for below, name in zip("abcdefghi", "bcdefghij", strict=True)
)


def replaced(content: bytes) -> Callable[[Path], object]:
    """Return an edit that saves another content."""
    return lambda file: file.write_bytes(content)


def emptied(file: Path) -> None:
    """Remove the folder and all that is in it."""
    shutil.rmtree(file.parent)


def made_pipe(file: Path) -> None:
    """Put a pipe in the file's place."""
    file.unlink()
    os.mkfifo(file)


def made_folder(file: Path) -> None:
    """Put a folder in the file's place."""
    file.unlink()
    file.mkdir()


def made_loop(file: Path) -> None:
    """Put a link to itself in the file's place."""
    file.unlink()
    file.symlink_to(file)


def dangling(file: Path) -> None:
    """Put a link to nothing in the file's place."""
    file.unlink()
    file.symlink_to("nothing.yaml")


def defined_again(file: Path) -> None:
    """Define a client in a second file."""
    (file.parent / "second.yaml").write_text("clients: {planner: {models: [helper]}}\n", encoding="utf-8")


EDITS: Mapping[str, Callable[[Path], object]] = {
    "no UTF-8": replaced(b"version: 1\n# \xff\n"),
    "tabs": replaced(b"version: 1\nclients:\n\tplanner: {}\n"),
    "10 MB": replaced(b"# x\n" * 2_600_000),
    "an alias bomb": replaced(BOMB.encode()),
    "a tag": replaced(b"version: !!python/object/apply:os.system [ls]\n"),
    "nothing": replaced(b""),
    "only comments": replaced(b"# gone\n"),
    "a control character": replaced(b"version: 1\0\n"),
    "two documents": replaced(b"version: 1\n---\nversion: 1\n"),
    "a deleted folder": emptied,
    "a deleted file": Path.unlink,
    "a pipe": made_pipe,
    "a folder in its place": made_folder,
    "a link to itself": made_loop,
    "a link to nothing": dangling,
    "a client in two files": defined_again,
}


@pytest.mark.parametrize("kind", EDITS)
def test_what_is_bad_is_told_once_and_what_was_good_stays(kind: str, tmp_path: Path) -> None:
    root = folder(tmp_path / "config")
    file = root / "loomwire.yaml"
    told: list[tuple[Problem, ...]] = []
    with LLMContainer.open(root, watch=False) as container:
        container.on_config_rejected(lambda _, problems: told.append(problems))
        EDITS[kind](file)
        assert [container.reload().outcome for _ in range(2)] == ["rejected", "rejected"]
        assert len(told) == 1
        assert [problem.severity for problem in told[0]].count("error") >= 1
        assert all(problem.message for problem in told[0])
        assert container.health().generation == 1
        assert container.names() == ("planner",)
        shutil.rmtree(root, ignore_errors=True)
        folder(root)
        assert container.reload().outcome == "unchanged"
        assert container.health().rejection is None


@pytest.mark.parametrize("step", [97, pytest.param(1, marks=pytest.mark.full)])
def test_no_part_of_the_sample_is_taken_for_the_whole(step: int, tmp_path: Path) -> None:
    root = tmp_path / "config"
    shutil.copytree(SAMPLE, root)
    with LLMContainer.open(root, watch=False) as container:
        for file in sorted(root.rglob("*.yaml")):
            whole = file.read_bytes()
            for end in range(0, len(whole.rstrip()), step):
                file.write_bytes(whole[:end])
                assert container.reload().outcome == "rejected", (file.name, whole[:end][-40:])
            file.write_bytes(whole)
        assert container.reload().outcome == "unchanged"
        assert container.health().generation == 1
