"""The JSON Schema admits what loads, refuses what does not, and explains every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import jsonschema
import pytest
import yaml

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.configuration.json_schema import config_json_schema
from loomwire.infrastructure.configuration.yaml_tree import Table, read_tree

SAMPLE = Path(__file__).parents[4] / "config"
SCHEMA = config_json_schema(("openai", "rule", "custom"), ("openai_chat",))


def complaints(text: str, schema: JSONObject = SCHEMA) -> list[str]:
    """Return the places a validator complains about."""
    root, flaws = read_tree(text)
    assert isinstance(root, Table)
    assert flaws == []
    validator = jsonschema.Draft202012Validator(schema)
    return [".".join(map(str, error.absolute_path)) for error in validator.iter_errors(root.plain)]


def mapping(value: JSON, *path: str) -> JSONObject:
    """Return a mapping inside a schema."""
    for step in path:
        assert isinstance(value, Mapping), path
        value = value[step]
    assert isinstance(value, Mapping), path
    return value


def keys(schema: JSONObject) -> Iterator[tuple[str, JSONObject, bool]]:
    """Yield every key of the schema: its name, what is said of it, and whether it must be there."""
    owners = {"": schema, **{name: mapping(schema, "$defs", name) for name in mapping(schema, "$defs")}}
    for owner, block in owners.items():
        for name in mapping(block, "properties") if "properties" in block else ():
            required = block.get("required", [])
            assert isinstance(required, list)
            yield f"{owner}.{name}", mapping(block, "properties", name), name in required


def alternatives(key: JSONObject) -> list[JSON]:
    """Return what a key may be."""
    kinds = key.get("anyOf", [])
    assert isinstance(kinds, list)
    return kinds


def is_number(kind: JSON) -> bool:
    """Tell whether a schema admits a number."""
    return isinstance(kind, Mapping) and kind.get("type") in ("number", "integer")


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", ["loomwire.yaml"])
def test_the_sample_is_valid(file: str) -> None:
    assert complaints((SAMPLE / file).read_text(encoding="utf-8")) == []


GOOD = """\
version: 1
providers:
  near: {type: openai, api_key: "${KEY}", timeouts: {connect: 3}, limits: {body: 32MiB, event: 5}}
models:
  quick:
    {provider: near, model: m, parameters: {temperature: 1}, prices: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}}
clients:
  planner: {models: [quick], balance: ordered, cache: {mode: "off"}, system: "${S:-Be brief.}"}
  other: {models: [quick], balance: {policy: latency}, timeouts: {idle: "${IDLE:-30}"}}
  third:
    models: [quick]
    balance: {policy: weighted, weights: {quick: 2}}
    on_exhausted: {mode: callable, function: host.answers:sorry}
    content_filter_fallback: true
    retry: {attempts: 2, hedge: true}
    breaker: {slow_after: 5}
limits:
  near: {rpm: "${RPM}", kind: provider}
health: {interval: 0}
"""


def test_good_values_are_valid_and_so_are_references_in_their_place() -> None:
    assert complaints(GOOD) == []
    for value in (
        "temperature: 1",
        "connect: 3",
        "provider: near",
        'mode: "off"',
        "policy: latency",
        "32MiB",
        "version: 1",
    ):
        key = value.split(": ")[0] if ": " in value else None
        reference = f'{key}: "${{V:-x}}"' if key else '"${V:-x}"'
        assert complaints(GOOD.replace(value, reference)) == [], value


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("version: 1\n", "", ""),
        ("version: 1", "version: 2", "version"),
        ("clients:", "cleints: {}\nclients:", ""),
        ("  near:", "  Near:", "providers"),
        ("  other:", "  my other:", "clients"),
        ("type: openai", "type: opnai", "providers.near.type"),
        ("type: openai", "type: custom, dialect: klingon", "providers.near.dialect"),
        ("connect: 3", "connect: three", "providers.near.timeouts"),
        ("connect: 3", "connect: 0", "providers.near.timeouts"),
        ("body: 32MiB", "body: 32MB", "providers.near.limits"),
        ("temperature: 1", "temperature: 3", "models.quick.parameters.temperature"),
        ("model: m", "model: 5", "models.quick.model"),
        ("model: m, ", "", "models.quick"),
        ("input_usd_per_mtok: 1", "input_usd_per_mtok: -1", "models.quick.prices"),
        ("balance: ordered", "balance: ordred", "clients.planner.balance"),
        ("models: [quick], balance: o", "models: quick, balance: o", "clients.planner.models"),
        ("[quick], balance: o", "[Quick], balance: o", "clients.planner.models.0"),
        ("idle:", "idel:", "clients.other.timeouts"),
        ("{quick: 2}", "{quick: 0}", "clients.third.balance"),
        ("host.answers:sorry", "host.answers", "clients.third.on_exhausted"),
        ("mode: callable", "mode: sometimes", "clients.third.on_exhausted"),
        ("attempts: 2", "attempts: 6", "clients.third.retry"),
        ("slow_after: 5", "slow_after: 0", "clients.third.breaker"),
        ('rpm: "${RPM}"', "rpm: 0", "limits.near.rpm"),
        ("kind: provider", "kind: key", "limits.near.kind"),
        ("interval: 0", "interval: -1", "health"),
    ],
)
def test_what_would_not_load_is_not_valid(old: str, new: str, place: str) -> None:
    assert old in GOOD
    found = complaints(GOOD.replace(old, new, 1))
    assert len(found) == 1
    assert found[0].startswith(place)


def test_types_and_dialects_are_open_unless_they_are_given() -> None:
    assert complaints(GOOD.replace("openai", "whatever, dialect: any"), config_json_schema()) == []


def test_every_key_has_a_meaning_and_a_default_unless_it_must_be_there() -> None:
    found = list(keys(SCHEMA))
    assert len(found) > 150
    assert [name for name, key, _ in found if not key.get("description")] == []
    assert [name for name, key, required in found if not required and "default" not in key] == []


def test_every_number_has_a_unit() -> None:
    numbers = {name: key for name, key, _ in keys(SCHEMA) if any(map(is_number, (key, *alternatives(key))))}
    assert len(numbers) > 60
    assert [name for name, key in numbers.items() if not key.get("x-unit")] == []
    units = {name: numbers[f"Parameters.{name}"]["x-unit"] for name in ("temperature", "top_p", "seed")}
    assert units == {"temperature": "none (0 to 2)", "top_p": "share from 0 to 1", "seed": "none (any whole number)"}
    for name in ("presence_penalty", "frequency_penalty"):
        assert numbers[f"Parameters.{name}"]["x-unit"] == "none (-2 to 2)"


def test_reserved_keys_say_so() -> None:
    paths = ["properties.budgets", "$defs.Client.properties.pool", "properties.state"]
    for path in paths:
        description = str(mapping(SCHEMA, *path.split("."))["description"])
        assert description.endswith("(Reserved: this release does not act on it yet.)")
    shared = str(mapping(SCHEMA, "$defs", "Defaults", "properties", "ledger")["description"])
    assert shared == "How spending is written down. (Reserved: this release does not act on it yet.)"
    partly = mapping(SCHEMA, "$defs", "Provider", "properties", "pool")["description"]
    assert str(partly).endswith("(Reserved in part: HTTP/1.1 is spoken.)")


def test_keys_in_force_are_not_called_reserved() -> None:
    blocks = {
        "Client": ("retry", "breaker", "balance", "models", "cache", "on_exhausted"),
        "Defaults": ("rate", "health", "shutdown", "retry"),
    }
    for owner, names in blocks.items():
        for name in names:
            assert "Reserved" not in str(mapping(SCHEMA, "$defs", owner, "properties", name)["description"])
    assert "Reserved" not in str(mapping(SCHEMA, "properties", "limits")["description"])


def test_it_is_plain_json() -> None:
    assert yaml.safe_load(yaml.safe_dump(SCHEMA)) == SCHEMA
