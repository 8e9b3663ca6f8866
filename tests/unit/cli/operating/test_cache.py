"""What caches of running processes hold is shown in numbers, and purged on every level."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from loomwire import LLMContainer, LLMRequest
from loomwire.cli.operating.cache import complete_names
from loomwire.domain.caching.entries import CacheKey
from loomwire.domain.values import JSON
from support.commands import loomwire
from support.folders import folder
from support.operating import Running

CLIENTS: Mapping[str, JSON] = {
    "planner": {"models": ["helper"]},
    "writer": {"models": ["helper"], "cache": {"scope": "shared"}},
    "reader": {"models": ["helper"], "cache": "off"},
}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


@pytest.fixture
def caching(tmp_path: Path) -> Iterator[Running]:
    """Return a container whose clients have been asked the same twice each."""
    config = folder(
        tmp_path,
        clients=CLIENTS,
        defaults={"cache": "always"},
        cache={"redis": {"url": "redis://:hunter2@127.0.0.1:1/0"}},
        control={"socket": "l.sock"},
    )
    with LLMContainer.open(config) as container:
        for name in CLIENTS:
            for _ in range(2):
                container.sync_client(name).generate(LLMRequest.of("What is the secret?"))
        yield Running(container, config)


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Running]:
    """Return a container that keeps nothing."""
    config = folder(tmp_path, defaults={"cache": "off"}, control={"socket": "l.sock"})
    with LLMContainer.open(config) as container:
        yield Running(container, config)


def test_levels_and_clients_are_shown_with_what_they_did(caching: Running) -> None:
    ran = loomwire("cache", "stats", caching.config)
    title, head, memory, redis, _, names, planner, *others = ran.out.splitlines()
    assert (ran.code, ran.err, title.partition(" (")[0]) == (0, "", f"process {os.getpid()}")
    assert cells(head)[:4] == ["level", "hits", "misses", "rate"]
    assert cells(memory)[:4] == ["memory", "2", "2", "50%"]
    assert "KiB of 64 MiB" in memory
    assert (cells(redis)[0], cells(redis)[1]) == ("redis", "0")
    assert "rests for" in redis
    assert cells(names)[:2] == ["client", "hits"]
    assert cells(planner) == ["planner", "1", "0", "0", "0", "1", "50%", "1", "0"]
    assert [cells(other)[0] for other in others if other] == ["writer"]
    assert "hunter2" not in ran.out
    assert "secret" not in ran.out


def test_the_numbers_are_one_document(caching: Running) -> None:
    told = json.loads(loomwire("cache", "stats", caching.config, "--json").out)
    (process,) = told["processes"]
    assert told["schema"] == "loomwire/caches/1"
    assert [level["level"] for level in process["levels"]] == ["memory", "redis"]
    assert process["clients"]["planner"]["hits"] == 1


def test_entries_are_shown_by_digest_and_never_by_value(caching: Running) -> None:
    ran = loomwire("cache", "show", caching.config)
    _, head, *lines = ran.out.splitlines()
    assert cells(head) == ["level", "hits", "age", "fresh for", "size", "kept for", "digest"]
    assert sorted(cells(line)[-2] for line in lines) == ["*shared*", "planner"]
    assert "Hello" not in ran.out
    assert len(loomwire("cache", "show", caching.config, "--limit", "1").out.splitlines()) == 3
    told = json.loads(loomwire("cache", "show", caching.config, "--client", "planner", "--json").out)
    (entry,) = told["processes"][0]["entries"]
    assert (told["schema"], entry["namespace"], len(entry["digest"])) == ("loomwire/cache-entries/1", "planner", 64)


def test_a_client_is_purged_and_the_others_keep_theirs(caching: Running) -> None:
    ran = loomwire("cache", "purge", "planner", caching.config)
    # The server cannot be reached, which is said, and costs nothing.
    assert ran.code == 8
    assert "forgot planner (memory, redis); redis could not be reached" in ran.out
    assert "*shared*" in loomwire("cache", "show", caching.config).out
    assert "planner" not in loomwire("cache", "show", caching.config).out


def test_what_a_client_shares_is_purged_with_it(caching: Running) -> None:
    told = json.loads(loomwire("cache", "purge", "writer", caching.config, "--json").out)
    assert told["processes"][0]["namespaces"] == ["writer", "*shared*"]
    assert "*shared*" not in loomwire("cache", "show", caching.config).out


def test_everything_is_purged_by_the_word_all(caching: Running) -> None:
    assert "forgot everything" in loomwire("cache", "purge", "all", caching.config).out
    assert "nothing is kept" in loomwire("cache", "show", caching.config).out


def test_a_namespace_of_the_host_is_purged_by_its_name(caching: Running) -> None:
    memory = caching.container.caches.stores.levels()[0]
    asyncio.run(memory.set(CacheKey("passages", bytes(32)), b"1", ttl_s=9))
    assert "forgot passages" in loomwire("cache", "purge", "passages", caching.config).out
    assert asyncio.run(memory.get(CacheKey("passages", bytes(32)))) is None


def test_a_name_that_nobody_has_is_an_error_with_those_there_are(caching: Running) -> None:
    ran = loomwire("cache", "purge", "plannr", caching.config)
    assert (ran.code, ran.out) == (3, "")
    for said in ("CFG030", "plannr", "planner, reader, writer"):
        assert said in ran.err


def test_where_nothing_is_kept_it_is_said(bare: Running) -> None:
    assert "no cache is configured" in loomwire("cache", "stats", bare.config).out
    assert "nothing is kept" in loomwire("cache", "show", bare.config).out
    ran = loomwire("cache", "purge", "all", bare.config)
    assert (ran.code, "nothing to forget" in ran.out) == (0, True)


def test_without_a_process_it_is_said_where_one_was_looked_for(idle: Path) -> None:
    for words in (("stats",), ("show",), ("purge", "planner")):
        ran = loomwire("cache", *words, idle)
        assert (ran.code, ran.out) == (6, "")
        assert "NOT005" in ran.err


def test_names_are_completed_while_the_configuration_is_valid(idle: Path, tmp_path: Path) -> None:
    import click

    from loomwire.cli.main import cli

    ctx = click.Context(cli)
    ctx.params["config"] = idle
    assert complete_names(ctx, click.Option(["--x"]), "") == ["all", "lonely", "planner"]
    (idle / "more.yaml").write_text("version: [", encoding="utf-8")
    assert complete_names(ctx, click.Option(["--x"]), "") == []
