"""The table is data: reading it imports neither a dialect nor the network."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from support.folders import SAMPLE
from support.wire_server import run_script

HEAVY = "aiohttp", "httpx", "loomwire.infrastructure.transport", "loomwire.infrastructure.providers.openai_chat.chat"

UNASKED = (
    *(f"infrastructure.providers.{dialect}." for dialect in DIALECTS),
    *(
        f"infrastructure.providers.{room}."
        for room in ("embeddings", "rerank", "counting", "vectors.local", "wire.client")
    ),
    *(f"infrastructure.providers.rows.{rows}" for rows in ("clouds", "hosted", "networked", "servers", "spoken")),
    *(f"infrastructure.catalogue.{room}" for room in ("bundle", "detection", "families", "kept", "vendors")),
    *(
        f"application.{room}"
        for room in ("emulation", "clients.emulated", "embedding.chains", "embedding.counting", "embedding.layers")
    ),
)


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


def test_an_offline_container_imports_no_quirks_no_catalogue_no_vectors_and_no_emulation() -> None:
    # What a process pays before its first call is no place for vendors that its configuration does not name.
    script = (
        "import sys\n"
        "from loomwire import LLMContainer\n"
        f"with LLMContainer.open({str(SAMPLE)!r}, watch=False) as container:\n"
        "    loaded = [name.removeprefix('loomwire.') for name in sys.modules if name.startswith('loomwire.')]\n"
        f"print(sorted(name for name in loaded if name.startswith({UNASKED!r})))"
    )
    assert run_script(script) == ["[]"]


def test_a_name_that_nobody_knows_is_in_no_table() -> None:
    assert "nobody" not in PROVIDERS
    assert "nobody" not in DIALECTS
    assert (len(PROVIDERS), len(DIALECTS)) == (len(list(PROVIDERS)), len(list(DIALECTS)))


def test_a_row_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PROVIDERS["openai"].base_url = "https://example.com"  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        PROVIDERS["new"] = PROVIDERS["openai"]  # type: ignore[index]  # that is the point


def test_only_rows_with_an_own_address_on_this_machine_are_private() -> None:
    assert [name for name, row in PROVIDERS.items() if row.private] == ["lm_studio", "llamacpp", "ollama", "local"]
