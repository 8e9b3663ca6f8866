"""`loomwire config watch` as its own process: an edit is told when it is made, and a signal ends it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from support.commands import environment
from support.folders import REPOSITORY, folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
async def test_an_edit_is_told_at_once_and_a_signal_ends_it(tmp_path: Path, number: signal.Signals, code: int) -> None:
    config = folder(tmp_path)
    watching = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loomwire", "config", "watch", "--json", "--config", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment(),
        cwd=REPOSITORY,
    )
    out = watching.stdout
    assert out is not None

    async def event() -> dict[str, JSON]:
        async with asyncio.timeout(15):
            said: dict[str, JSON] = json.loads(await out.readline())
            return said

    assert (await event())["event"] == "watching"
    await asyncio.to_thread(folder, config, clients=("planner", "late"))
    told = await event()
    changes = told["changes"]
    assert isinstance(changes, list)
    assert (told["event"], told["generation"]) == ("adopted", 2)
    assert [change["path"] for change in changes if isinstance(change, dict)] == ["clients.late"]
    watching.send_signal(number)
    _, err = await watching.communicate()
    assert (watching.returncode, b"Traceback" in err) == (code, False)
