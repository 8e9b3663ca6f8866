from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loomwire.infrastructure.control.places import places
from loomwire.infrastructure.history.folder import HistoryFolder
from support.commands import loomwire
from support.operating import configured

PAUSE_S = 0.05


def test_config_watch_is_nobody_to_operate(tmp_path: Path) -> None:
    config, history = configured(tmp_path / "config"), tmp_path / "history"
    pause = threading.Event()
    with ThreadPoolExecutor(1) as threads:
        watching = threads.submit(loomwire, "config", "watch", "--config", config, "--count", "1", "--history", history)
        while not HistoryFolder(history).entries():
            pause.wait(PAUSE_S)
        seen = places(config / "l.sock")
        turn = 0
        while not watching.done():
            turn += 1
            more = f"version: 1\nclients: {{late{turn}: {{models: [big]}}}}\n"
            (config / "more.yaml").write_text(more, encoding="utf-8")
            pause.wait(PAUSE_S)
        assert (seen, watching.result().code) == ((), 0)
