"""Files that change in every way in any order: when they rest, what was read last is what is there."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loomwire.infrastructure.watching.watcher import ConfigWatcher
from reload.ground import AFTERWARDS_S, BEGIN_S, Reader, Scenario, pause, text
from reload.scenarios import linked_root

FOLDERS = 8
STEPS = 120


def step(folder: Path, dice: random.Random, number: int) -> None:
    """Change something, whatever is there."""
    root = folder / "conf"
    path = root / f"{dice.choice('abc')}.yaml"
    temporary = folder / f"t{number}"
    temporary.write_text(text(number), encoding="utf-8")

    def other_root() -> None:
        (folder / f"root{number}").mkdir()
        temporary.rename(folder / f"root{number}" / path.name)
        (folder / "link").symlink_to(f"root{number}")
        (folder / "link").replace(root)

    def again() -> None:
        real = root.resolve()
        shutil.rmtree(real)
        real.mkdir()

    def away() -> None:
        real = root.resolve()
        real.rename(folder / f"away{number}")
        pause(dice.random() * 0.05)
        (folder / f"away{number}").rename(real)

    changes: list[Callable[[], object]] = [
        lambda: path.write_text(text(number), encoding="utf-8"),
        lambda: temporary.replace(path),
        lambda: path.write_text("", encoding="utf-8"),
        lambda: path.unlink(missing_ok=True),
        other_root, again, away,
    ]  # fmt: skip
    dice.choices(changes, weights=(6, 6, 1, 2, 1, 1, 1))[0]()


def restless(folder: Path, seed: int) -> tuple[dict[str, str] | None, dict[str, str], list[str]]:
    """Watch a folder that never rests, and return what was read last, what is there, and what was torn."""
    folder.mkdir()
    linked_root(folder)
    dice = random.Random(seed)
    reader = Reader(folder, Scenario("restless", lambda _: None, None, linked_root))
    watcher = ConfigWatcher(folder / "conf", reader.watched, reader.changed)
    watcher.start()
    try:
        assert reader.began.wait(BEGIN_S)
        for number in range(STEPS):
            step(folder, dice, number)
            pause(dice.choice((0.0, 0.001, 0.01, 0.03, 0.1)))
        pause(AFTERWARDS_S)
    finally:
        watcher.stop()
    there = {f"conf/{path.name}": path.read_text(encoding="utf-8") for path in (folder / "conf").glob("*.yaml")}
    assert watcher.status.failures == 0
    return reader.found, there, [words for words in reader.torn if not words.endswith("of 0")]


@pytest.mark.full
def test_however_files_change_what_was_read_last_is_what_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seeds = range(FOLDERS)
    with ThreadPoolExecutor(FOLDERS) as pool:
        ends = list(pool.map(restless, [tmp_path / str(seed) for seed in seeds], seeds))
    assert [seed for seed, (read, there, _) in zip(seeds, ends, strict=True) if read != there] == []
    assert [torn for _, _, torn in ends if torn] == []
    assert caplog.records == []
