"""The table is data: reading it imports neither a dialect nor the network."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from loomwire.infrastructure.providers.table import PROVIDERS
from support.folders import SAMPLE
from support.wire_server import run_script

HEAVY = "aiohttp", "httpx", "loomwire.infrastructure.transport", "loomwire.infrastructure.providers.openai_chat.chat"


def test_reading_the_table_and_the_factory_imports_no_network() -> None:
    script = (
        "import sys\n"
        "import loomwire.infrastructure.providers.factory\n"
        "from loomwire.infrastructure.providers.table import PROVIDERS, option_checks\n"
        "option_checks()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run_script(script) == ["[]"]


def test_looking_at_the_targets_of_an_offline_folder_imports_no_network() -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from loomwire.container.wiring import Wiring\n"
        f"Wiring(config_root={str(SAMPLE)!r}).snapshot()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules and name != {HEAVY[2]!r}])"
    )
    assert run_script(script) == ["[]"]


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PROVIDERS["openai"].base_url = "https://example.com"  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        PROVIDERS["new"] = PROVIDERS["openai"]  # type: ignore[index]  # that is the point


def test_only_rows_with_an_own_address_on_this_machine_are_private() -> None:
    assert [name for name, row in PROVIDERS.items() if row.private] == ["lm_studio", "llamacpp", "ollama", "local"]
