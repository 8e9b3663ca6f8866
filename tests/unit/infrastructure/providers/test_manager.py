from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.local.refusals import listed, unknown
from loomwire.infrastructure.providers.manager import GROUP, ProviderManager, installed
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.registering import Registration
from loomwire.infrastructure.providers.rows.kinds import Also, DialectType, ProviderType
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS

CHAT = DIALECTS["openai_chat"]
ACME = ProviderType(name="acme", base_url="https://llm.acme.example/v1")
CLIENT = ProviderType(name="acme", dialect=None, client="acme.client:Client")

ACME_MODULE = """
from loomwire.dialects import DialectType, ProviderType, Quirks, Registration

ROW = ProviderType(name="acme", base_url="https://llm.acme.example/v1")
SPOKEN = DialectType("acme.dialect:Acme", "acme.speaker:Acme", Quirks())
BOTH = Registration(ProviderType(name="acme", dialect="acme_wire", base_url="https://a.example"), {"acme_wire": SPOKEN})
OTHER = ProviderType(name="other", base_url="https://llm.acme.example/v1")
BAD = ProviderType(name="acme", dialect="klingon")
LYING = ProviderType(name="acme", base_url="https://llm.acme.example/v1", also=("openai_chat",))
NOTHING = "nothing"
"""


@pytest.fixture
def packages(tmp_path: Path) -> Iterator[Path]:
    """Return a folder in which packages can be installed for the test."""
    sys.path.insert(0, str(tmp_path))
    before = set(sys.modules)
    yield tmp_path
    sys.path.remove(str(tmp_path))
    for name in set(sys.modules) - before:
        if name.startswith("acme"):
            del sys.modules[name]


def package(folder: Path, name: str, **points: str) -> None:
    """Install a package with entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    listed_points = "".join(f"{point} = {place}\n" for point, place in points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{listed_points}", encoding="utf-8")
    (folder / "acme_rows.py").write_text(ACME_MODULE, encoding="utf-8")
    (folder / "acme_leaves.py").write_text("raise SystemExit(3)", encoding="utf-8")


def none() -> Sequence[EntryPoint]:
    return ()


def refused(register: Callable[[], object]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        register()
    return caught.value


def test_ours_are_there_and_nobody_looks_at_packages_for_them() -> None:
    looked: list[int] = []

    def finder() -> Sequence[EntryPoint]:
        looked.append(1)
        return ()

    manager = ProviderManager(finder)
    assert all(manager.providers[name] is row for name, row in PROVIDERS.items())
    assert all(manager.dialects[name] is row for name, row in DIALECTS.items())
    assert "openai" in manager.providers
    assert manager.package_of("openai") == "loomwire"
    assert list(manager.dialects) == list(DIALECTS)
    assert not looked
    assert "acme" not in manager.providers
    assert manager.providers.get("acme") is None
    assert manager.dialects.get("acme") is None
    odd: object = 7
    assert odd not in manager.providers
    assert looked
    assert list(manager.providers) == list(PROVIDERS)
    assert len(manager.providers) == len(PROVIDERS)
    assert manager.packages() == {}


def test_a_row_registered_in_code_is_there_at_once() -> None:
    manager = ProviderManager(none)
    seen = manager.providers
    manager.register_provider(ACME)
    manager.register_provider(ACME)
    assert seen["acme"] is ACME
    assert manager.package_of("acme") == "this program"
    assert manager.packages() == {"acme": "this program"}
    assert manager.providers.described().endswith(", acme (of this program)")


def test_a_registered_row_brings_its_dialects() -> None:
    manager = ProviderManager(none)
    row = replace(ACME, dialect="acme_wire", also=(Also(dialect="openai_chat", path="/chat"),))
    spoken = DialectType("acme.dialect:Acme", "acme.speaker:Acme", Quirks())
    manager.register_provider(row, {"acme_wire": spoken}, package="acme-llm 2")
    assert manager.dialects["acme_wire"] is spoken
    assert manager.dialects.described().endswith(", acme_wire (of acme-llm 2)")
    assert len(manager.dialects) == len(DIALECTS) + 1
    manager.register_provider(replace(row, name="acme_too"), package="acme-too 1")
    assert manager.dialects["acme_wire"] is spoken


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (replace(ACME, name="Acme LLM"), "its name must be"),
        (replace(ACME, name=""), "its name must be"),
        (replace(ACME, dialect="klingon"), "there is no dialect 'klingon'"),
        (replace(ACME, also=(Also(dialect="klingon"),)), "there is no dialect 'klingon'"),
        (replace(ACME, in_process=True), "in_process"),
        (replace(ACME, base_url="llm.acme.example"), "base_url must be a URL"),
        (replace(ACME, base_url="https://u:p@llm.acme.example"), "base_url must be a URL"),
        (replace(ACME, base_url="https://llm.acme.example?key=1"), "base_url must be a URL"),
        (replace(ACME, base_url="https://[broken"), "base_url must be a URL"),
        (replace(ACME, path="v1"), "path must begin"),
        (replace(ACME, auth="X Key"), "auth must be"),
        (replace(ACME, also=(Also(dialect="openai_chat", base_url="x"),)), "base_url must be a URL"),
        (replace(CLIENT, client="acme.client"), "client must be `module:Class`"),
        (replace(CLIENT, dialect="openai_chat"), "it needs one of them"),
        (replace(ACME, dialect=None), "neither a dialect nor a client"),
    ],
)
def test_a_row_that_could_not_work_is_refused_with_its_package(row: ProviderType, says: str) -> None:
    manager = ProviderManager(none)
    error = refused(lambda: manager.register_provider(row, package="acme-llm 1.0"))
    assert says in error.message
    assert "of acme-llm 1.0" in error.message
    assert error.reason == "out_of_range"
    assert manager.packages() == {}


@pytest.mark.parametrize(
    ("name", "spoken", "says"),
    [
        ("Wire", CHAT, "small letters"),
        ("wire", replace(CHAT, client="acme"), "must be `module:Class`"),
        ("wire", replace(CHAT, speaker="acme:"), "must be `module:Class`"),
    ],
)
def test_a_dialect_that_could_not_work_is_refused(name: str, spoken: DialectType, says: str) -> None:
    manager = ProviderManager(none)
    assert says in refused(lambda: manager.register_provider(ACME, {name: spoken})).message
    assert "wire" not in manager.dialects


def test_untyped_callers_are_told_too() -> None:
    manager = ProviderManager(none)
    wrong: list[tuple[dict[str, object], str]] = [
        ({"quirks": {"stream_usage": False}}, "quirks must be Quirks"),
        ({"quirks": Quirks()}, "quirks must be Quirks of its dialect 'openai_chat'"),
        ({"capabilities": {}}, "capabilities must be"),
        ({"options": None}, "options must be"),
        ({"embeds": "openai"}, "embeds must be"),
        ({"reranks": True}, "reranks must be"),
        ({"counts": ("anthropic",)}, "counts must be a tuple of Counts"),
        ({"counts": "anthropic"}, "counts must be a tuple of Counts"),
    ]
    for changes, says in wrong:
        row = ProviderType(name="acme", **changes)  # type: ignore[arg-type]  # that is the point
        assert says in refused(lambda row=row: manager.register_provider(row)).message  # type: ignore[misc]
    spoken: dict[str, DialectType] = {"wire": "acme:Wire"}  # type: ignore[dict-item]  # that is the point
    assert "must be a DialectType" in refused(lambda: manager.register_provider(ACME, spoken)).message
    bad = replace(CHAT, quirks=ModelCapabilities())  # type: ignore[arg-type]  # that is the point
    assert "must be Quirks" in refused(lambda: manager.register_provider(ACME, {"wire": bad})).message


def test_a_name_that_is_taken_is_refused_and_says_by_whom() -> None:
    manager = ProviderManager(none)
    manager.register_provider(ACME, package="acme-llm 1.0")
    again = refused(lambda: manager.register_provider(replace(ACME, free=True), package="evil 6.6"))
    assert again.reason == "defined_twice"
    assert "of evil 6.6" in again.message
    assert "is there already, of acme-llm 1.0" in again.message
    ours = refused(lambda: manager.register_provider(replace(ACME, name="openai"), package="evil 6.6"))
    assert "is there already, of loomwire" in ours.message
    changed = replace(CHAT, client="evil:Chat")
    chat = refused(lambda: manager.register_provider(replace(ACME, name="evil"), {"openai_chat": changed}))
    assert "the dialect 'openai_chat' is there already, of loomwire" in chat.message
    assert manager.providers["acme"] is ACME
    assert manager.dialects["openai_chat"] is CHAT


def test_an_installed_package_is_found_by_its_name_and_imported_only_then(packages: Path) -> None:
    package(packages, "acme-llm", acme="acme_rows:BOTH", zebra="acme_zebra:NEVER")
    manager = ProviderManager()
    assert manager.packages() == {"acme": "acme-llm 1.0", "zebra": "acme-llm 1.0"}
    assert "acme (of acme-llm 1.0)" in manager.providers.described()
    assert "acme_rows" not in sys.modules
    row = manager.providers["acme"]
    assert (row.name, row.dialect) == ("acme", "acme_wire")
    assert manager.package_of("acme") == "acme-llm 1.0"
    assert "acme_wire" in manager.dialects
    assert "acme" not in manager.dialects
    assert "acme_zebra" not in sys.modules


def test_a_dialect_is_found_by_the_entry_point_of_its_name(packages: Path) -> None:
    package(packages, "acme-llm", acme_wire="acme_rows:BOTH")
    manager = ProviderManager()
    assert manager.dialects["acme_wire"].client == "acme.dialect:Acme"
    assert manager.providers["acme"].dialect == "acme_wire"
    assert manager.providers.get("acme_wire") is None


def test_a_row_alone_is_enough_and_a_package_that_comes_later_is_found(packages: Path) -> None:
    manager = ProviderManager()
    assert "acme" not in manager.providers
    package(packages, "acme-llm", acme="acme_rows:ROW")
    assert manager.providers["acme"].name == "acme"


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("acme_rows:GONE", "importing it raised AttributeError"),
        ("acme_gone:ROW", "importing it raised ModuleNotFoundError"),
        ("acme_rows:NOTHING", "its entry point is a str"),
        ("acme_rows:OTHER", "brings the type 'other'"),
        ("acme_rows:BAD", "there is no dialect 'klingon'"),
        ("acme_rows:LYING", "reading it raised AttributeError"),
        ("acme_leaves:ROW", "importing it raised SystemExit"),
    ],
)
def test_a_broken_package_is_named_each_time_its_type_is_taken(packages: Path, place: str, says: str) -> None:
    package(packages, "acme-llm", acme=place)
    manager = ProviderManager()
    assert "acme" in manager.providers
    first = refused(lambda: manager.providers["acme"])
    second = refused(lambda: manager.providers.get("acme"))
    for error in (first, second):
        assert says in error.message
        assert "of acme-llm 1.0" in error.message
        assert error.metadata["key"] == ("type",)
    assert first is not second


def test_two_packages_of_one_name_are_both_named_and_neither_is_imported(packages: Path) -> None:
    package(packages, "acme-llm", acme="acme_rows:ROW")
    package(packages, "evil", acme="acme_evil:ROW")
    error = refused(lambda: ProviderManager().providers["acme"])
    assert "acme-llm 1.0 and evil 1.0" in error.message
    assert error.reason == "defined_twice"
    assert "acme_rows" not in sys.modules


def test_a_package_cannot_take_a_name_of_ours(packages: Path) -> None:
    package(packages, "evil", openai="acme_rows:ROW")
    manager = ProviderManager()
    assert manager.providers["openai"] is PROVIDERS["openai"]
    assert manager.ignored() == {"openai": "evil 1.0"}
    assert manager.packages() == {}
    assert "acme_rows" not in sys.modules


def test_an_entry_point_without_a_package_is_listed_all_the_same() -> None:
    point = EntryPoint("acme", "acme_rows:ROW", GROUP)
    assert ProviderManager(lambda: [point]).packages() == {"acme": "an unnamed package"}
    assert isinstance(installed(), tuple)
    assert issubclass(PathDistribution, Distribution)


def test_threads_that_ask_at_once_get_the_same_row(packages: Path) -> None:
    package(packages, "acme-llm", acme="acme_rows:BOTH")
    manager = ProviderManager()
    rows: list[ProviderType] = []
    threads = [threading.Thread(target=lambda: rows.append(manager.providers["acme"])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(rows) == 8
    assert all(row is rows[0] for row in rows)


def test_hints_say_whose_a_type_is() -> None:
    manager = ProviderManager(none)
    manager.register_provider(ACME, package="acme-llm 1.0")
    assert "acme (of acme-llm 1.0)" in str(unknown("provider 'x' has the unknown type", "zzz", manager.providers).hint)
    assert listed(["a", "b"]) == "a, b"


def test_registrations_are_values() -> None:
    assert Registration(ACME) == Registration(ACME, {})
