"""What can be asked of caches at a control socket, without the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer, LLMRequest
from loomwire.container.operating.operations import Operations
from loomwire.domain.errors import LLMValidationError, UnknownNameError
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.protocol import Question
from support.folders import folder


@pytest.fixture
def container(tmp_path: Path) -> Iterator[LLMContainer]:
    """Return a container that keeps all answers, and has one."""
    with LLMContainer.open(folder(tmp_path, defaults={"cache": "always"}), watch=False) as opened:
        opened.sync_client("planner").generate(LLMRequest.of("Hi"))
        yield opened


def done(container: LLMContainer, do: str, **values: JSON) -> Mapping[str, JSON]:
    """Return what an operation tells."""

    async def asked() -> Mapping[str, JSON]:
        return await Operations(lambda: container)(Question(do, values))

    return asyncio.run(asked())


def test_levels_and_clients_are_told(container: LLMContainer) -> None:
    told = done(container, "caches")
    levels, clients = told["levels"], told["clients"]
    assert isinstance(levels, list)
    assert isinstance(levels[0], dict)
    assert (levels[0]["level"], levels[0]["entries"]) == ("memory", 1)
    assert isinstance(clients, dict)
    assert list(clients) == ["planner"]


def test_entries_are_told_and_forgotten(container: LLMContainer) -> None:
    entries = done(container, "entries", name="planner")["entries"]
    assert isinstance(entries, list)
    assert len(entries) == 1
    assert done(container, "purge", name="planner") == {"namespaces": ["planner"], "levels": ["memory"], "owing": []}
    assert done(container, "entries") == {"entries": []}
    assert done(container, "purge")["namespaces"] == [None]


@pytest.mark.parametrize("limit", [0, -1, 1001, "9", True, None, 1.5])
def test_a_limit_that_is_none_is_refused(container: LLMContainer, limit: JSON) -> None:
    with pytest.raises(LLMValidationError, match="limit"):
        done(container, "entries", limit=limit)


def test_a_name_that_nobody_has_is_refused(container: LLMContainer) -> None:
    with pytest.raises(UnknownNameError, match="nobody"):
        done(container, "purge", name="nobody")
