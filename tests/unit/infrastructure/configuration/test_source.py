from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from typing_extensions import override

from loomwire.domain.config import Snapshot
from loomwire.domain.ports.config import ConfigReading
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.source import _COLLECTOR, FolderSource

TEXT = """\
version: 1
providers:
  near: {type: vllm, base_url: "http://127.0.0.1:1/v1", allow_private: true, api_key: "${file:key}"}
models:
  one: {provider: near, model: "${MODEL:-m}", extra: {flag: 1}}
  two: {provider: near, model: n}
clients:
  a: {models: [one], system: Be brief.}
  b: {models: [two]}
"""


class World:
    """A folder, its source and its environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.environ: dict[str, str] = {}
        (root / "key").write_text("secret")
        self.write(TEXT)
        self.source = FolderSource(loader(self.environ), root)
        self.before: Snapshot | None = None

    def write(self, text: str, name: str = "a.yaml") -> None:
        """Save a file."""
        (self.root / name).write_text(text)

    def read(self) -> ConfigReading:
        """Read everything; what is good is in force from now on."""
        reading = self.source.read(self.before)
        self.before = reading.snapshot or self.before
        return reading

    def good(self) -> Snapshot:
        """Read what is good."""
        snapshot = self.read().snapshot
        assert snapshot is not None
        return snapshot


def loader(environ: Mapping[str, str]) -> ConfigLoader:
    """Return a loader that knows a few types."""
    return ConfigLoader(("vllm", "mock"), ("openai_chat",), {}, environ)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a good configuration."""
    return World(tmp_path)


def test_the_same_content_gives_the_very_same_objects(world: World) -> None:
    first, second = world.good(), world.good()
    assert first.digest == second.digest
    assert first.models["one"] is second.models["one"]
    assert first.clients["a"] is second.clients["a"]


def test_what_is_edited_is_another_object_and_everything_else_stays(world: World) -> None:
    first = world.good()
    world.write(TEXT.replace("Be brief.", "Be long.") + "  c: {models: [two]}\n")
    second = world.good()
    assert {name for name in first.clients if second.clients[name] is not first.clients[name]} == {"a"}
    assert second.models["one"] is first.models["one"]
    assert list(second.clients) == ["a", "b", "c"]


@pytest.mark.parametrize("flag", ["true", "1.0", '"1"', "-1"])
def test_a_number_and_a_word_that_python_takes_for_equal_are_not_the_same(world: World, flag: str) -> None:
    first = world.good()
    world.write(TEXT.replace("flag: 1", f"flag: {flag}"))
    second = world.good()
    assert second.models["one"] is not first.models["one"]
    assert second.clients["a"] is not first.clients["a"]
    assert second.clients["b"] is first.clients["b"]


def test_what_a_provider_or_a_default_says_reaches_its_models(world: World) -> None:
    first = world.good()
    (world.root / "key").write_text("another")
    second = world.good()
    assert second.digest != first.digest
    assert all(second.clients[name] is not first.clients[name] for name in ("a", "b"))
    world.write(TEXT + "defaults: {timeouts: {attempt: 5}}\n")
    third = world.good()
    assert all(third.clients[name] is not second.clients[name] for name in ("a", "b"))


def test_the_environment_is_read_again(world: World) -> None:
    first = world.good()
    world.environ["MODEL"] = "x"
    second = world.good()
    assert (first.models["one"].model, second.models["one"].model) == ("m", "x")
    assert second.clients["b"] is first.clients["b"]


def test_what_was_edited_there_and_back_is_what_is_in_force(world: World) -> None:
    first = world.good()
    world.write(TEXT.replace("Be brief.", "Be long."))
    # Read and not adopted, as after a shrink that was refused.
    world.source.read(first)
    world.write(TEXT)
    again = world.source.read(first).snapshot
    assert again is not None
    assert again.clients["a"] is first.clients["a"]


def test_a_bad_reading_has_a_digest_of_its_own_that_knows_why(world: World) -> None:
    world.read()
    world.write("clients: [")
    bad = world.read()
    assert bad.snapshot is None
    assert bad.digest == world.read().digest
    world.write(TEXT)
    (world.root / "key").unlink()
    missing = world.read()
    (world.root / "key").mkdir()
    assert len({bad.digest, missing.digest, world.read().digest}) == 3


def test_every_file_is_watched_whether_it_exists_or_not(world: World) -> None:
    assert world.source.watched == (str(world.root),)
    world.write("version: 1\nproviders: {p: {type: mock, script: scripts/s.yaml}}\n", "b.yaml")
    (world.root / "key").unlink()
    reading = world.read()
    assert reading.snapshot is None
    expected = ["", "/.env", "/a.yaml", "/b.yaml", "/key", "/scripts/s.yaml"]
    assert list(reading.watched) == [f"{world.root}{name}" for name in expected]
    assert world.source.watched == reading.watched
    assert "watched=" not in repr(reading)


class Surprising(Mapping[str, str]):
    """An environment that cannot be read."""

    @override
    def __getitem__(self, name: str) -> str:
        raise NotImplementedError

    @override
    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("canary")

    @override
    def __len__(self) -> int:
        raise NotImplementedError


def test_whatever_happens_is_a_reading_and_no_exception(tmp_path: Path) -> None:
    source = FolderSource(loader(Surprising()), tmp_path)
    reading = source.read(None)
    assert reading.snapshot is None
    assert [problem.message for problem in reading.problems] == ["the configuration cannot be read (RuntimeError)"]
    assert "canary" not in repr(reading)
    assert source.read(None).digest == reading.digest


@pytest.mark.parametrize("is_on", [True, False])
def test_the_cycle_collector_is_as_it_was(world: World, is_on: bool) -> None:
    before = gc.isenabled()
    try:
        (gc.enable if is_on else gc.disable)()
        world.read()
        assert gc.isenabled() is is_on
    finally:
        (gc.enable if before else gc.disable)()


def test_a_child_reads_although_a_thread_of_its_parent_was_reading(world: World) -> None:
    world.read()
    with world.source._lock, _COLLECTOR.paused():
        child = os.fork()
        if child == 0:
            code = 9
            try:
                code = 7 if gc.isenabled() and world.source.read(None).snapshot is not None else 8
            finally:
                os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    # And what the child does, here.
    world.source.leave_parent()
    assert world.read().snapshot is not None


def test_a_collector_that_nobody_paused_is_left_alone() -> None:
    _COLLECTOR.resume()
    with _COLLECTOR.paused(), _COLLECTOR.paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def fifo(path: Path) -> None:
    """Make a pipe that nobody writes to."""
    os.mkfifo(path)


BAD_ROOTS: Mapping[str, Callable[[Path], object]] = {
    "a pipe": fifo,
    "a link to itself": lambda path: path.symlink_to(path),
    "nothing": lambda _: None,
    "an empty folder": lambda path: path.mkdir(),
    "a large file": lambda path: path.write_bytes(b"a: b\n" * 2_200_000),
    "no UTF-8": lambda path: path.write_bytes(b"\xff\xfe"),
}


@pytest.mark.parametrize("kind", BAD_ROOTS)
def test_a_root_that_is_no_configuration_is_one_clear_problem(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "root"
    BAD_ROOTS[kind](root)
    reading = FolderSource(loader({}), root).read(None)
    assert reading.snapshot is None
    errors = [problem for problem in reading.problems if problem.severity == "error"]
    assert [problem.file for problem in errors] == [str(root)]
    assert str(root) in reading.watched


def test_a_name_that_no_system_takes_is_a_problem_too(tmp_path: Path) -> None:
    reading = FolderSource(loader({}), tmp_path / ("x" * 300)).read(None)
    assert [problem.message for problem in reading.problems] == ["the folder cannot be read"]


def test_recordings_that_cannot_be_read_are_told_apart_from_those_that_can(world: World) -> None:
    held = world.root / "tapes"
    held.mkdir()
    (held / "0001.json").mkdir()
    world.write(TEXT.replace("{models: [two]}", "{models: [two], replay: tapes}"))
    first = world.read()
    assert [problem.code for problem in first.problems] == ["CFG022"]
    (held / "0001.json").rmdir()
    (held / "0001.json").write_text("{")
    second = world.read()
    assert [problem.code for problem in second.problems] == ["CFG022"]
    assert first.digest != second.digest
    assert str(held / "0001.json") in second.watched


def test_a_relative_root_stays_the_folder_it_was_when_the_process_goes_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text(TEXT.replace("${file:key}", "k"))
    (tmp_path / "elsewhere" / "conf").mkdir(parents=True)
    with contextlib.chdir(tmp_path):
        source = FolderSource(loader({}), Path("conf"))
        first = source.read(None).snapshot
        assert first is not None
        assert first.files == ("conf/a.yaml",)
        with contextlib.chdir("elsewhere"):
            reading = source.read(first)
            assert (reading.digest, source.root) == (first.digest, tmp_path / "conf")
            assert reading.snapshot is not None
            assert reading.snapshot.files == (str(tmp_path / "conf" / "a.yaml"),)
            assert reading.snapshot.clients["a"] is first.clients["a"]
        assert source.root == Path("conf")


def test_a_relative_root_is_read_although_the_working_directory_was_removed(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text(TEXT.replace("${file:key}", "k"))
    gone = tmp_path / "gone"
    gone.mkdir()
    with contextlib.chdir(tmp_path):
        source = FolderSource(loader({}), Path("conf"))
        os.chdir(gone)
        gone.rmdir()
        assert source.read(None).snapshot is not None
        os.chdir(tmp_path)


RESILIENT = """\
version: 1
providers:
  near: {type: vllm, base_url: "http://127.0.0.1:1/v1", allow_private: true, api_key: k}
  far: {type: vllm, base_url: "http://127.0.0.1:2/v1", allow_private: true, api_key: k}
models:
  one: {provider: near, model: m}
  two: {provider: near, model: n}
  three: {provider: far, model: o}
clients:
  a: {models: [one]}
  b: {models: [two]}
  c: {models: [three], balance: ordered}
"""


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("", "defaults: {balance: cost}", "ab"),
        ("defaults: {balance: cost}", "defaults: {balance: latency}", "ab"),
        ("defaults: {balance: cost}", "", "ab"),
        ("", "defaults: {balance: {warmup: 1}}", "abc"),
        ("", "defaults: {balance: latency}", ""),
        ("", "defaults: {rate: {queue: 5}}", ""),
        ("limits: {near: {rpm: 1}}", "limits: {near: {rpm: 1}}\ndefaults: {rate: {queue: 5}}", "ab"),
        ("limits: {one: {rpm: 1}}", "limits: {one: {rpm: 1}}\ndefaults: {rate: {queue: 5}}", "a"),
        ("", "limits: {one: {rpm: 1}}", "a"),
        ("limits: {one: {rpm: 1}}", "limits: {one: {rpm: 2}}", "a"),
        ("limits: {one: {rpm: 1}, two: {rpm: 1}}", "limits: {one: {rpm: 1}, two: {tpm: 1}}", "b"),
        ("limits: {one: {rpm: 1}, two: {rpm: 1}}", "limits: {one: {rpm: 1}}", "b"),
        ("limits: {near: {rpm: 1}}", "limits: {near: {rpm: 2}}", "ab"),
        ("limits: {near: {rpm: 1}}", "limits: {far: {rpm: 1}}", "abc"),
        ("limits: {near: {rpm: 1}}", "", "ab"),
        ("", "defaults: {retry: {attempts: 2}}", "abc"),
        ("", "defaults: {retry: {attempts: 3}}", ""),
        ("", "defaults: {breaker: {open: 1}}", "abc"),
        ("", "health: {interval: 5}", ""),
        ("", "defaults: {shutdown: {drain: 5}}", ""),
    ],
)
def test_an_edit_of_what_all_share_makes_only_those_anew_for_whom_something_else_holds(
    world: World, before: str, after: str, changed: str
) -> None:
    for forgetful in (False, True):
        world.write(f"{RESILIENT}{before}\n")
        first = world.good()
        world.write(f"{RESILIENT}{after}\n")
        if forgetful:
            world.source = FolderSource(loader(world.environ), world.root)
        second = world.good()
        anew = {name for name in "abc" if second.clients[name] is not first.clients[name]}
        assert anew == {*changed}, forgetful


def test_a_client_that_is_made_anew_shares_what_it_asks_with_those_that_stay(world: World) -> None:
    world.write(RESILIENT)
    first = world.good()
    world.write(f"{RESILIENT}defaults: {{balance: cost}}\n")
    second = world.good()
    assert second.clients["a"].targets[0] is first.clients["a"].targets[0]
    assert second.models["one"] is first.models["one"]


def test_what_is_kept_of_a_reading_is_of_the_names_that_it_has(world: World) -> None:
    kept = world.source._memory
    for number in range(5):
        text = RESILIENT.replace("far:", f"far{number}:").replace("provider: far", f"provider: far{number}")
        world.write(text.replace("  c:", f"  c{number}:"))
        world.good()
    assert set(kept._providers) == {"near", "far4"}
    assert set(kept.clients._kept) == {"a", "b", "c4"}
    world.write("version: 1\n")
    assert world.read().snapshot is None
    assert set(kept._providers) == {"near", "far4"}
