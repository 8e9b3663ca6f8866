"""Valid settings become the domain's own values, every inherited number resolved."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import MIB, PoolPolicy, TimeoutPolicy, WireLimits
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import NO_PARAMETERS, Parameters
from loomwire.domain.values import FrozenDict, Secret
from loomwire.infrastructure.configuration.loader import ConfigLoader
from loomwire.infrastructure.configuration.schema import blocks
from loomwire.infrastructure.configuration.schema.entities import decimal_usd

if TYPE_CHECKING:
    from unit.infrastructure.configuration.conftest import Folder

TEXT = """\
version: 1
providers:
  near:
    type: custom
    dialect: openai_chat
    base_url: "https://example.com/v1/"
    api_key: hush
    headers: {X-Team: blue}
    extra: {a: 1, b: [x]}
    api_version: 2024-10-21
    quirks: {deployments: true, stop_limit: 4, seed: null}
    allow_private: true
    lenient_terminal: true
    timeouts: {connect: 2, idle: 20}
    pool: {max_connections: 7, keepalive_expiry: 3}
    limits: {body: 2MiB}
  bare: {type: openai, free: true}
models:
  full:
    provider: near
    model: big-1
    parameters: {temperature: 0.2, top_p: 1, max_tokens: 800, stop: [END], seed: 7, presence_penalty: -1,
      frequency_penalty: 1, reasoning_effort: low}
    capabilities: {tools: true, vision: false, context_window: 200000, custom: {specialized_for: [sql]}}
    prices: {input_usd_per_mtok: 5, output_usd_per_mtok: 0.1, cache_read_usd_per_mtok: 0.025}
    tags: [premium, premium]
    extra: {b: 2, c: null}
    timeouts: {idle: 10}
    pool: {trust_env: true}
    limits: {event: 4096}
  plain: {provider: bare, model: m}
clients:
  slow: {models: [full], timeouts: {idle: 5, total: 50}, limits: {json_depth: 8}, system: Be brief.}
  calm: {models: [full]}
  other: {models: [plain], timeouts: {}}
defaults:
  timeouts: {connect: 1, ttft: 9, min_attempt: 0}
  pool: {keepalive: 3}
  limits: {request: 1 MiB}
"""


def test_a_provider_and_a_model_become_one_config(folder: Folder) -> None:
    assert folder.load(TEXT).models["full"] == LLMConfig(
        type="custom",
        model="big-1",
        name="near",
        base_url="https://example.com/v1",
        dialect="openai_chat",
        keys=(Secret("hush"),),
        parameters=Parameters(0.2, 1.0, 800, ("END",), 7, -1.0, 1.0, "low"),
        capabilities=ModelCapabilities(
            supports_tools=True,
            supports_vision=False,
            context_window=200_000,
            custom_capabilities=FrozenDict({"specialized_for": ("sql",)}),
        ).stated_by("yaml"),
        prices=Prices.per_mtok(Decimal(5), Decimal("0.1"), Decimal("0.025")),
        timeouts=TimeoutPolicy(connect_s=2.0, ttft_s=9.0, idle_s=10.0, min_attempt_s=0.0),
        pool=PoolPolicy(max_connections=7, keepalive=3, keepalive_expiry_s=3.0, trust_env=True),
        limits=WireLimits(body=2 * MIB, event=4096, request=MIB),
        headers={"X-Team": "blue"},
        extra={"a": 1, "b": 2, "c": None},
        allow_private=True,
        lenient_terminal=True,
        api_version="2024-10-21",
        options={"quirks": {"deployments": True, "stop_limit": 4, "seed": None}},
        tags=frozenset({"premium"}),
    )


def test_a_region_becomes_part_of_the_config_beside_the_quirks(folder: Folder) -> None:
    model = folder.load(TEXT.replace("    quirks:", "    region: eu-west-1\n    quirks:")).models["full"]
    assert model.options["region"] == "eu-west-1"
    assert model.options.keys() == {"region", "quirks"}


def test_what_nobody_says_is_left_to_the_domain(folder: Folder) -> None:
    plain = folder.load(TEXT.split("defaults:", maxsplit=1)[0]).models["plain"]
    assert plain == LLMConfig(type="openai", model="m", name="bare", free=True)
    assert plain.parameters is NO_PARAMETERS
    assert plain.prices is None


def test_a_client_overrides_its_models_and_shares_them_when_it_says_nothing(folder: Folder) -> None:
    snapshot = folder.load(TEXT)
    slow, calm, other = (snapshot.clients[name] for name in ("slow", "calm", "other"))
    full = snapshot.models["full"]
    assert slow.targets == (
        dataclasses.replace(
            full,
            timeouts=dataclasses.replace(full.timeouts, idle_s=5.0, total_s=50.0),
            limits=dataclasses.replace(full.limits, json_depth=8),
        ),
    )
    assert (slow.total_s, slow.system, slow.name) == (50.0, "Be brief.", "slow")
    assert calm.targets[0] is full
    assert (calm.total_s, calm.system) == (900.0, None)
    assert other.targets[0] is snapshot.models["plain"]


def test_clients_that_say_the_same_of_a_model_share_what_they_ask(folder: Folder) -> None:
    text = "version: 1\nproviders: {p: {type: openai, api_key: any}}\n"
    text += "models: {m: {provider: p, model: m}, n: {provider: p, model: m}}\nclients:\n"
    for name, model, total in (("one", "m", 30), ("two", "m", 30), ("three", "m", 40), ("four", "n", 30)):
        text += f"  {name}: {{models: [{model}], timeouts: {{total: {total}}}}}\n"
    clients = folder.load(text).clients
    one, two, three, four = (clients[name].targets[0] for name in ("one", "two", "three", "four"))
    assert one is two
    assert one is not three
    assert one is not four
    assert (one.timeouts.total_s, three.timeouts.total_s) == (30.0, 40.0)


def test_a_snapshot_cannot_be_changed_and_hashes(folder: Folder) -> None:
    snapshot = folder.load(TEXT)
    assert isinstance(hash(snapshot), int)
    assert snapshot == folder.load(TEXT)
    for mapping in (snapshot.clients, snapshot.models, snapshot.models["full"].extra):
        assert type(mapping) is FrozenDict


def test_the_digest_is_of_files_variables_and_secret_files(folder: Folder, tmp_path: Path) -> None:
    text = TEXT.replace("hush", '"${KEY}"').replace("blue", '"${file:team}"').replace("Be brief.", '"${UNUSED:-x}"')
    (folder.root / "team").write_text("blue")
    first = folder.load(text, {"KEY": "a", "OTHER": "1"})
    assert folder.load(text, {"KEY": "a", "OTHER": "2"}).digest == first.digest
    digests = {first.digest}
    digests.add(folder.load(text, {"KEY": "b"}).digest)
    digests.add(folder.load(text, {"KEY": "a", "UNUSED": "x"}).digest)
    digests.add(folder.load(text, {"KEY": "a", "LOOMWIRE__CLIENTS__SLOW__SYSTEM": "y"}).digest)
    digests.add(folder.load(text.replace("blue", "red") + "# a comment\n", {"KEY": "a"}).digest)
    (folder.root / "team").write_text("red")
    digests.add(folder.load(text, {"KEY": "a"}).digest)
    assert len(digests) == 6
    moved = tmp_path / "moved"
    folder.root.rename(moved)
    (moved / "team").write_text("blue")
    loader = ConfigLoader(("openai", "custom"), ("openai_chat",), {}, {"KEY": "a"})
    again = loader.load(moved)
    assert (again.digest, again.files) == (first.digest, (f"{moved}/a.yaml",))


def test_files_are_read_in_the_order_of_their_names_and_hidden_ones_are_not(folder: Folder) -> None:
    head, clients = TEXT.split("clients:\n")
    files = {
        "b.yaml": f"clients:\n{clients}",
        "a.YML": head,
        ".c.yaml": "nonsense: 1",
        "d.txt": "no",
        "e/f.yaml": "no: 1",
    }
    snapshot = folder.load(files)
    assert [name[-6:] for name in snapshot.files] == ["/a.YML", "b.yaml"]
    assert list(snapshot.clients) == ["slow", "calm", "other"]


def test_a_single_file_is_a_configuration_too(folder: Folder) -> None:
    folder.load({"a.yaml": TEXT, "b.yaml": ""})
    snapshot = ConfigLoader(("openai", "custom"), ("openai_chat",), {}, {}).load(folder.root / "a.yaml")
    assert snapshot.files == (f"{folder.root}/a.yaml",)


def test_aliases_share_blocks_with_references_in_them(folder: Folder) -> None:
    block = """\
clients:
  one: &c
    models: [plain]
    system: ${S}
  two: *c
  three: {<<: *c, models: [full]}
"""
    text = TEXT.split("clients:", maxsplit=1)[0] + block
    clients = folder.load(text, {"S": "Be brief."}).clients
    assert {client.system for client in clients.values()} == {"Be brief."}
    assert clients["three"].targets[0].model == "big-1"


@pytest.mark.parametrize(
    ("written", "size"), [("5", 5), ("5B", 5), ("1 KiB", 1024), ("2MiB", 2 * MIB), ("1GiB", 1024 * MIB)]
)
def test_sizes_are_bytes_or_have_a_binary_unit(folder: Folder, written: str, size: int) -> None:
    assert folder.load(TEXT.replace("1 MiB", written)).models["plain"].limits.request == size


@given(st.integers(0, 10**15 - 1), st.integers(-12, 3))
def test_a_price_is_the_decimal_that_was_written(digits: int, exponent: int) -> None:
    price = Decimal(digits).scaleb(exponent)
    assert decimal_usd(float(str(price))) == price


def test_the_schema_has_the_defaults_of_the_policies() -> None:
    def agrees(block: type[blocks.Block], policy: object, suffix: str = "") -> bool:
        fields = {name: field.default for name, field in block.model_fields.items()}
        known = {field.name: getattr(policy, field.name) for field in dataclasses.fields(type(policy))}  # type: ignore[arg-type]
        return all(fields[name.removesuffix(suffix)] == value for name, value in known.items())

    assert agrees(blocks.Timeouts, TimeoutPolicy(), "_s")
    assert agrees(blocks.Pool, PoolPolicy(), "_s")
    assert agrees(blocks.WireSizes, WireLimits())
