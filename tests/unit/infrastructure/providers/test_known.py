"""Merging what is known of a target: yaml > detected > catalogue > family > provider, for every field by itself."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import CataloguePolicy
from loomwire.domain.ports.models import IModelRegistry, ModelFacts, Provenance
from loomwire.domain.pricing import Prices
from loomwire.domain.values import Source
from loomwire.infrastructure.providers.known import KEPT, Merging, known, merged
from loomwire.infrastructure.providers.rows.kinds import ProviderType
from loomwire.infrastructure.providers.table import PROVIDERS

FLAGS = tuple(field.name for field in fields(ModelCapabilities) if field.name.startswith("supports_"))
NUMBERS = ("max_tokens", "context_window")
ROW = ProviderType(name="row")
PRICES = Prices(1, 2, 3, 4, "catalogue")
SAID = Provenance("catalogue")


class Says(IModelRegistry):
    """A registry that says the same of every model."""

    def __init__(self, facts: ModelFacts) -> None:
        self.said = facts

    @override
    def facts(self, config: LLMConfig) -> ModelFacts:
        return self.said


def capabilities() -> st.SearchStrategy[ModelCapabilities]:
    """Any facts, without sources."""
    flags = {name: st.sampled_from((None, True, False)) for name in FLAGS}
    numbers = {name: st.sampled_from((None, 1, 2)) for name in NUMBERS}
    return st.builds(ModelCapabilities, **flags, **numbers)


@given(own=capabilities(), detected=capabilities(), listed=capabilities(), family=capabilities(), row=capabilities())
def test_the_strongest_who_says_anything_wins_field_by_field(
    own: ModelCapabilities,
    detected: ModelCapabilities,
    listed: ModelCapabilities,
    family: ModelCapabilities,
    row: ModelCapabilities,
) -> None:
    told: list[tuple[Source, ModelCapabilities]] = [("detected", detected), ("catalogue", listed), ("family", family)]
    facts = ModelFacts()
    for source, each in told:
        stated = each.stated_by(source)
        facts = facts.over(ModelFacts(stated, said=dict.fromkeys(stated.sources, SAID)))
    result = merged(own, facts, row)
    for name in (*FLAGS, *NUMBERS):
        ranked = [("yaml", own), *told, ("provider", row)]
        first = next(((s, getattr(c, name)) for s, c in ranked if getattr(c, name) is not None), ("unknown", None))
        if first in {("catalogue", True), ("family", True)}:
            # A no of the row is about its API, which the catalogue knows nothing of.
            first = ("provider", False) if getattr(row, name) is False else first
        assert (result.source(name), getattr(result, name)) == first


def test_a_catalogue_price_holds_unless_it_is_yours_free_or_switched_off() -> None:
    registry = Says(ModelFacts(prices=PRICES))
    plain = LLMConfig(type="row", model="m")
    own = Prices(9, 9, 9, 9)
    assert known(plain, ROW, registry)[1] == PRICES
    assert known(replace(plain, prices=own), ROW, registry)[1] == own
    assert known(replace(plain, free=True), ROW, registry)[1] is None
    assert known(plain, replace(ROW, free=True), registry)[1] is None
    assert known(replace(plain, catalogue=CataloguePolicy(prices=False)), ROW, registry)[1] is None


def test_offline_types_are_what_they_are_and_nobody_is_asked() -> None:
    registry = Says(ModelFacts(prices=PRICES))
    config = LLMConfig(type="mock", model="gpt-4o")
    assert known(config, PROVIDERS["mock"], registry) == known(config, PROVIDERS["mock"], None)


def test_what_the_api_has_no_words_for_is_a_yes_only_when_the_provider_itself_says_so() -> None:
    row = ModelCapabilities(supports_json_schema=False)
    yes = ModelCapabilities(supports_json_schema=True, supports_tools=True)
    listed = ModelFacts(yes.stated_by("catalogue"), said={"supports_tools": SAID})
    asked = ModelFacts(yes.stated_by("detected"), said={"supports_tools": SAID})
    assert merged(ModelCapabilities(), listed, row).supports_json_schema is False
    assert merged(ModelCapabilities(), listed, row).supports_tools is True
    assert merged(ModelCapabilities(), asked, row).supports_json_schema is True


def test_the_same_three_give_the_same_object_and_others_another() -> None:
    merging, own, row = Merging(), ModelCapabilities(), ModelCapabilities(supports_json_mode=True)
    facts = ModelFacts(ModelCapabilities(supports_tools=True).stated_by("catalogue"), said={"supports_tools": SAID})
    first = merging.merged(own, facts, row)
    assert merging.merged(own, facts, row) is first
    assert first == merged(own, facts, row)
    assert merging.merged(ModelCapabilities(supports_tools=False), facts, row).supports_tools is False


def test_more_than_can_be_remembered_is_merged_all_the_same() -> None:
    merging, facts, row = Merging(), ModelFacts(), ModelCapabilities()
    for window in range(KEPT + 2):
        assert merging.merged(ModelCapabilities(context_window=window), facts, row).context_window == window
