"""ModelRegistry: what is known of models, from what was detected, the catalogue, and families of names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.policies import CataloguePolicy, DetectionPolicy
from loomwire.domain.ports.models import NOTHING_KNOWN, IModelRegistry, ModelFacts
from loomwire.domain.values import FrozenDict, Source
from loomwire.infrastructure.catalogue.detected import DetectedFacts

if TYPE_CHECKING:
    from loomwire.infrastructure.catalogue.bundle import Bundle, VendorFile
    from loomwire.infrastructure.catalogue.vendors import Vendor

KEPT: Final = 4096
"""Models whose facts are remembered; whoever has more is served as well, only slower."""


@final
class ModelRegistry(IModelRegistry):
    """Reads a vendor's file when a model of it is asked for first; everything is remembered.

    Args:
        detected: What providers said; it is stronger than the catalogue.
    """

    def __init__(self, detected: DetectedFacts | None = None) -> None:
        """Read nothing yet."""
        self.detected = detected or DetectedFacts()
        self._bundles: dict[tuple[str | None, str], Bundle] = {}
        self._known: dict[tuple[str, str, str, CataloguePolicy], tuple[int, ModelFacts]] = {}

    @override
    def facts(self, config: LLMConfig) -> ModelFacts:
        """Return what is known of a model.

        Raises:
            ConfigError: The folder of `catalogue.path` has a file that cannot be read.
        """
        key = (config.type, config.base_url or "", config.model, config.catalogue)
        known = self._known.get(key)
        changes = self.detected.changes
        if known is not None and known[0] == changes:
            return known[1]
        facts = self._merged(config)
        if known is not None and known[1] == facts:
            facts = known[1]
        if len(self._known) >= KEPT:
            self._known.clear()
        self._known[key] = (changes, facts)
        return facts

    def _merged(self, config: LLMConfig) -> ModelFacts:
        listed = self._listed(config) if config.catalogue.enabled else NOTHING_KNOWN
        found = self.detected.facts((config.type, config.base_url or ""), config.model)
        if found is None:
            return listed
        # Zeros mean "costs nothing" where the vendor says so; a server that took its form over may mean "unknown".
        if found.prices is not None and found.prices.are_zero and not _is_vendors(config):
            found = _without_prices(found, "zero")
        return found.over(listed)

    def remember(self, policy: DetectionPolicy) -> None:
        """Read what providers said to an earlier process, and forget what is too old. It blocks on the file.

        Args:
            policy: Says where, and what is too old.
        """
        if policy.mode != "off" and policy.file is not None:
            # 5 ms that nobody need pay who keeps nothing.
            from loomwire.infrastructure.catalogue.kept import read

            self.detected.add(read(Path(policy.file)))
        self.detected.expire(policy.max_age_s)

    def entries(
        self, types: tuple[str, ...] = (), policy: CataloguePolicy = CataloguePolicy()
    ) -> Iterator[tuple[str, str, ModelFacts]]:
        """Yield every model of the catalogue as provider type, name and facts.

        Args:
            types: Provider types to look at; none for all that have models of their own.
            policy: Says which catalogue.
        """
        from loomwire.infrastructure.catalogue.vendors import VENDORS

        for type_ in types or own_types():
            file = self._bundle(policy).vendor(VENDORS[type_].file)
            if file is None:
                continue
            for name in file.models:
                # As a call would know it: of a name that its operator gives, no price is known.
                yield type_, name, self._listed(LLMConfig(type=type_, model=name, catalogue=policy))

    def _listed(self, config: LLMConfig) -> ModelFacts:
        # The catalogue's own modules are imported by whoever looks something up in it, which nobody offline does.
        from loomwire.infrastructure.catalogue.vendors import OWNERS, VENDORS

        vendor = VENDORS.get(config.type)
        if vendor is None:
            return NOTHING_KNOWN
        bundle = self._bundle(config.catalogue)
        facts = _own(bundle, vendor, config.model)
        owner, slash, name = config.model.partition("/")
        others = [(file, config.model) for file in vendor.family]
        if slash and owner in OWNERS:
            others.append((OWNERS[owner], name))
        for file, model in others:
            # Only a stranger's models: what a vendor lists itself, it lists whole.
            if not facts.known:
                facts = _found(bundle.vendor(file), model, "family", hopeful=vendor.named_by_operator)
        return _as_asked(facts, vendor, config.base_url)

    def _bundle(self, policy: CataloguePolicy) -> Bundle:
        key = (policy.path, policy.read)
        bundle = self._bundles.get(key)
        if bundle is None:
            from loomwire.infrastructure.catalogue.bundle import Bundle

            bundle = self._bundles[key] = Bundle(None if policy.path is None else Path(policy.path))
        return bundle


def own_types() -> tuple[str, ...]:
    """Return the provider types whose models the catalogue lists as theirs, each file once."""
    from loomwire.infrastructure.catalogue.vendors import VENDORS

    seen: dict[str, str] = {}
    for type_, vendor in VENDORS.items():
        if vendor.file:
            seen.setdefault(vendor.file, type_)
    return tuple(seen.values())


def _own(bundle: Bundle, vendor: Vendor, model: str) -> ModelFacts:
    if not vendor.file:
        return NOTHING_KNOWN
    source: Source = "family" if vendor.named_by_operator or vendor.served else "catalogue"
    return _found(bundle.vendor(vendor.file), model, source, hopeful=vendor.named_by_operator)


def _found(file: VendorFile | None, model: str, source: Source, *, hopeful: bool) -> ModelFacts:
    from loomwire.infrastructure.catalogue.families import matched

    match = None if file is None else matched(file.models, model)
    if file is None or match is None:
        return NOTHING_KNOWN
    return file.facts(match, source=source, hopeful=hopeful)


def _as_asked(facts: ModelFacts, vendor: Vendor, base_url: str | None) -> ModelFacts:
    """Return what a vendor's facts are where the model is asked: elsewhere than at the vendor without its prices."""
    if facts.prices is not None and not vendor.sells_at(base_url):
        facts = _without_prices(facts, "elsewhere")
    return _without_limits(facts) if vendor.served else facts


def _is_vendors(config: LLMConfig) -> bool:
    from loomwire.infrastructure.catalogue.vendors import VENDORS

    vendor = VENDORS.get(config.type)
    return vendor is not None and vendor.sells_at(config.base_url)


def _without_prices(facts: ModelFacts, why: str) -> ModelFacts:
    """Return facts without their prices; who said those stays, to be told beside the reason."""
    return replace(facts, prices=None, unpriced=why)


def _without_limits(facts: ModelFacts) -> ModelFacts:
    said = {name: who for name, who in facts.said.items() if name not in ("context_window", "max_tokens")}
    capabilities = replace(facts.capabilities, context_window=None, max_tokens=None)
    sources = {name: who for name, who in capabilities.sources.items() if name in said}
    return replace(facts, capabilities=replace(capabilities, sources=FrozenDict(sources)), said=FrozenDict(said))
