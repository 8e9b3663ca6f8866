"""What the configuration says of kept answers and of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loomwire.domain.caching.policies import (
    CachePolicy,
    DiskLevel,
    MemoryLevel,
    MemoryPolicy,
    RedisLevel,
    SemanticPolicy,
)
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.checks.caches import cache_problems
from loomwire.infrastructure.configuration.documents import Document
from loomwire.infrastructure.configuration.injection import Injector
from loomwire.infrastructure.configuration.tree import ConfigTree

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near: {type: openai, api_key: hush}
models:
  quick: {provider: near, model: m}
  vectors: {provider: near, model: v}
clients:
  planner: {models: [quick]}
  other: {models: [quick]}
"""


def with_client(words: str, more: str = "") -> str:
    """Return a configuration whose planner says something more."""
    return TEXT.replace("planner: {models: [quick]}", f"planner: {{models: [quick], {words}}}") + more


def test_deterministic_answers_are_kept_in_memory_unless_something_else_is_said(folder: Folder) -> None:
    found = folder.load(TEXT)
    assert found.clients["planner"].cache == CachePolicy()
    assert found.clients["planner"].cache is found.clients["other"].cache
    assert (found.memory, found.cleanup_s) == (MemoryPolicy(), 60.0)


def test_a_client_says_what_is_another_for_it_and_inherits_the_rest(folder: Folder) -> None:
    defaults = "defaults: {cache: {mode: always, ttl: 60, swr: 5, l1_bytes: 1MiB}}\n"
    clients = folder.load(with_client("cache: {ttl: 10, scope: shared}", defaults)).clients
    usual = CachePolicy(mode="always", ttl_s=60, swr_s=5, levels=(MemoryLevel(1024 * 1024),))
    assert clients["other"].cache == usual
    expected = CachePolicy(mode="always", ttl_s=10, swr_s=5, scope="shared", levels=usual.levels)
    assert clients["planner"].cache == expected


@pytest.mark.parametrize("words", ["cache: off", 'cache: "off"', "cache: {mode: off}"])
def test_a_client_can_keep_nothing(folder: Folder, words: str) -> None:
    assert folder.load(with_client(words)).clients["planner"].cache.is_off


def test_every_place_that_is_configured_is_a_level_and_a_client_may_choose_among_them(folder: Folder) -> None:
    places = "cache: {strategy: lfu, disk: {path: run/c.sqlite, bytes: 2MiB}, redis: {url: 'redis://:pw@h/1'}}\n"
    found = folder.load(with_client("cache: {levels: [redis]}", places)).clients
    redis = RedisLevel(Secret("redis://:pw@h/1"))
    disk = DiskLevel(str(folder.root.absolute() / "run/c.sqlite"), 2 * 1024 * 1024)
    assert found["other"].cache.levels == (MemoryLevel(strategy="lfu"), disk, redis)
    assert found["planner"].cache.levels == (redis,)


def test_a_semantic_cache_names_the_model_that_embeds(folder: Folder) -> None:
    words = "cache: {semantic: {model: vectors, threshold: 0.9, shadow: false, timeout: 1}}"
    planner = folder.load(with_client(words)).clients["planner"]
    assert planner.cache.semantic == SemanticPolicy(0.9, shadow=False, timeout_s=1.0)
    assert planner.embedder is not None
    assert planner.embedder.target == "near/v"


def test_memory_is_read_over_its_defaults(folder: Folder) -> None:
    more = "defaults: {memory: {soft: 0.5, interval: 1}}\nmemory: {limit: 200MiB, interval: 2}\n"
    expected = MemoryPolicy(limit_bytes=200 * 1024 * 1024, soft=0.5, interval_s=2.0)
    assert folder.load(TEXT + more).memory == expected


@pytest.mark.parametrize(
    ("words", "more", "path", "reason"),
    [
        ("cache: {levels: [memory, disk]}", "", "clients.planner.cache.levels.1", "missing_key"),
        ("cache: {levels: [memory, memory]}", "", "clients.planner.cache.levels.1", "defined_twice"),
        ("system: x", "defaults: {cache: {levels: [redis]}}\n", "defaults.cache.levels.0", "missing_key"),
        ("cache: {semantic: {model: vektors}}", "", "clients.planner.cache.semantic.model", "unknown_name"),
        ("cache: off, on_exhausted: stale_cache", "", "clients.planner.on_exhausted", "out_of_range"),
        ("on_exhausted: stale_cache", "defaults: {cache: off}\n", "clients.planner.on_exhausted", "out_of_range"),
        ("system: x", "cache: {disk: {path: .}}\n", "cache.disk.path", "out_of_range"),
        ("system: x", "cache: {redis: {url: 'http://h'}}\n", "cache.redis.url", "out_of_range"),
        ("system: x", "cache: {redis: {url: 'redis://h', prefix: 'a b'}}\n", "cache.redis.prefix", "out_of_range"),
        ("system: x", "memory: {soft: 0.9, high: 0.5}\n", "memory", "out_of_range"),
        ("cache: {ttl: 0}", "", "clients.planner.cache.ttl", "out_of_range"),
    ],
)
def test_what_could_not_be_kept_so_is_refused(folder: Folder, words: str, more: str, path: str, reason: str) -> None:
    (problem,) = folder.problems(with_client(words, more))
    assert (problem.path, problem.reason) == (path, reason)


def test_the_password_of_a_server_is_in_no_problem(folder: Folder) -> None:
    problems = folder.problems(f"{TEXT}cache: {{redis: {{url: 'http://:sesame@h'}}}}\n")
    assert "sesame" not in repr(problems) + "".join(problem.render() for problem in problems)


def test_an_edit_of_what_all_inherit_is_an_edit_of_each_client(folder: Folder) -> None:
    first = folder.load(TEXT)
    second = folder.load(f"{TEXT}defaults: {{cache: {{ttl: 5}}}}\n")
    assert first.clients["other"] != second.clients["other"]


def test_packages_that_are_missing_are_named_with_their_extra(folder: Folder) -> None:
    text = with_client("cache: {semantic: {model: vectors, index: usearch}}", "cache: {redis: {url: 'redis://h'}}\n")
    document = Document("a.yaml", text.encode())
    tree = ConfigTree([document], Injector({}, {}, folder.root))
    problems = list(cache_problems(tree, tree.values, folder.root, has=lambda _: False))
    extras = ["redis", "semantic", "usearch"]
    assert [problem.hint for problem in problems] == [f'pip install "loomwire[{extra}]"' for extra in extras]
    assert list(cache_problems(tree, tree.values, folder.root, has=lambda _: True)) == []
