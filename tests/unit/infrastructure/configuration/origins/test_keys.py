"""What the schema says of a key is found by its path."""

from __future__ import annotations

from loomwire.infrastructure.configuration.json_schema import config_json_schema
from loomwire.infrastructure.configuration.origins.keys import KeyFacts, SchemaKeys

KEYS = SchemaKeys(config_json_schema(("openai", "mock")))


def facts(path: str) -> KeyFacts:
    """Return what is known of a key that exists."""
    found = KEYS.facts(tuple(path.split(".")))
    assert found is not None
    return found


def test_a_value_has_a_meaning_a_default_and_a_unit() -> None:
    total = facts("clients.any.timeouts.total")
    assert (total.kind, total.default, total.unit, total.required) == ("value", 900.0, "seconds", False)
    assert total.description == "The whole call, unless the request says otherwise."


def test_a_unit_is_found_where_null_is_allowed_too() -> None:
    assert facts("models.any.parameters.max_tokens").unit == "tokens"


def test_words_that_are_allowed_are_listed() -> None:
    assert facts("clients.any.on_exhausted").allowed == ("raise",)
    assert facts("clients.any.on_exhausted.mode").allowed == ("raise", "stale_cache", "static", "callable")
    assert facts("clients.any.balance").allowed[:2] == ("ordered", "weighted")
    assert facts("defaults.retry.jitter").allowed == ("full",)
    assert facts("providers.any.type").allowed == ("openai", "mock")


def test_what_must_be_there_is_required() -> None:
    assert facts("models.any.provider").required
    assert facts("models.any.prices.input_usd_per_mtok").required


def test_blocks_names_and_free_keys_are_told_apart() -> None:
    kinds = {path: facts(path).kind for path in ("clients", "clients.any", "models.any.extra", "clients.any.models")}
    assert kinds == {
        "clients": "names",
        "clients.any": "block",
        "models.any.extra": "free",
        "clients.any.models": "value",
    }
    assert facts("models.any.extra.deep.er").kind == "free"
    assert facts("providers.any.headers.x-anything").kind == "value"


def test_the_root_is_a_block() -> None:
    assert {"version", "clients"} <= {*KEYS.below(())}


def test_a_key_that_does_not_exist_has_no_facts() -> None:
    assert KEYS.facts(("clients", "any", "modles")) is None
    assert KEYS.facts(("clients", "any", "system", "deeper")) is None
    assert KEYS.below(("nothing",)) == ()


def test_a_key_that_this_release_does_not_act_on_says_so_down_to_its_leaves() -> None:
    assert not facts("budgets.any.limit_usd").in_force
    assert facts("clients.any.cache.ttl").in_force
    assert facts("clients.any.breaker.window").in_force
    assert facts("clients.any.timeouts.total").in_force
