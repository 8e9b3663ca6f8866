"""Turns valid settings into the domain's own values, with every inherited number resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import (
    BreakerPolicy,
    CataloguePolicy,
    DetectionPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
    WireLimits,
)
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import NO_PARAMETERS, Parameters
from loomwire.domain.values import JSON, NO_JSON, FrozenDict, JSONObject
from loomwire.infrastructure.configuration.reading.keeping import CacheReader
from loomwire.infrastructure.configuration.reading.memory import Memory
from loomwire.infrastructure.configuration.reading.tuning import balance_policy, exhausted_policy, rate_policy, tuned
from loomwire.infrastructure.configuration.scalars import Plain, freeze
from loomwire.infrastructure.configuration.schema import entities
from loomwire.infrastructure.configuration.schema.knowledge import Catalogue
from loomwire.infrastructure.configuration.schema.settings import Defaults, Settings

_NOTHING_SAID = ModelCapabilities()
_Alike: TypeAlias = dict[
    tuple[int, TimeoutPolicy, WireLimits, RetryPolicy, RetryBudgetPolicy, BreakerPolicy], LLMConfig
]


def resolved_models(
    settings: Settings, options: Mapping[str, JSONObject], values: Mapping[str, Plain], memory: Memory, folder: Path
) -> FrozenDict[str, LLMConfig]:
    """Return every model with what holds for it: its own words, then its provider's, then the defaults.

    Args:
        settings: Valid settings whose references all exist.
        options: The options of offline providers, by provider.
        values: What the settings were read from.
        memory: Models that are the same as last time, or as the one in force, are the very objects.
        folder: The configuration's folder, in which a catalogue of its own may be.
    """
    defaults = settings.defaults
    plain = LLMConfig(type="none", model="none", catalogue=_catalogue(settings.catalogue, folder, memory))
    base = tuned(plain, defaults, defaults.pool)
    rates = _Rates(settings)
    providers = {
        name: memory.provider(
            name,
            replace(
                provider_config(base, name, provider, options.get(name, NO_JSON)),
                provider_rate=rates.of("provider", name),
            ),
        )
        for name, provider in settings.providers.items()
    }
    before: Mapping[str, LLMConfig] = {} if memory.before is None else memory.before.models
    raw = _section(values, "models")
    limits, waiting = _section(values, "limits"), _section(values, "defaults").get("rate")

    def model(name: str, entity: entities.Model) -> LLMConfig:
        """Return a model, the one of before when nothing of it changed."""
        provider = providers[entity.provider]
        rate = rates.of("model", name)
        words = raw.get(name) if rate is None else [raw.get(name), limits.get(name), waiting]
        return memory.models.entry(name, words, (provider,), lambda: _model(provider, entity, rate), before.get(name))

    return FrozenDict({name: model(name, entity) for name, entity in settings.models.items()})


def resolved_clients(
    settings: Settings, models: Mapping[str, LLMConfig], folder: Path, values: Mapping[str, Plain], memory: Memory
) -> FrozenDict[str, ClientConfig]:
    """Return every client. Targets of a client without own blocks are the very objects in `models`.

    Args:
        settings: Valid settings whose references all exist.
        models: Every model.
        folder: The configuration's folder, in which folders of recordings are.
        values: What the settings were read from.
        memory: Clients that are the same as last time, or as the one in force, are the very objects.
    """
    before: Mapping[str, ClientConfig] = {} if memory.before is None else memory.before.clients
    raw = _section(values, "clients")
    usual = _section(values, "defaults")
    above = [usual.get("balance"), usual.get("cache"), values.get("cache")]
    inherits = any(block is not None for block in above)
    caches = CacheReader(settings.defaults.cache, settings.cache, folder)
    alike: _Alike = {}

    def client(name: str, entity: entities.Client) -> ClientConfig:
        """Return a client, the one of before when nothing of it changed."""
        recorded = "" if entity.replay is None else memory.recorded(folder / entity.replay)
        return memory.clients.entry(
            name,
            [raw.get(name), *above] if inherits else raw.get(name),
            (*(models[model] for model in entity.models), *_embedders(entity, models)),
            lambda: _kept(
                _client(name, entity, settings.defaults, models, (folder, recorded), alike), entity, caches, models
            ),
            before.get(name),
            recorded,
        )

    return FrozenDict({name: client(name, entity) for name, entity in settings.clients.items()})


def provider_config(base: LLMConfig, name: str, provider: entities.Provider, options: JSONObject) -> LLMConfig:
    """Return what holds for every model of a provider.

    Args:
        base: What holds where the provider says nothing.
        name: Its name.
        provider: Valid settings.
        options: Its further options, as an offline provider has them.
    """
    keys = provider.keys if provider.api_key is None else [provider.api_key]
    if provider.quirks:
        options = FrozenDict({**options, "quirks": frozen_values(provider.quirks)})
    if provider.region is not None:
        options = FrozenDict({**options, "region": provider.region})
    return replace(
        tuned(base, provider, provider.pool),
        type=provider.type,
        name=name,
        dialect=provider.dialect,
        base_url=provider.base_url,
        api_version=provider.api_version,
        keys=tuple(keys),
        headers=FrozenDict({header: value.reveal() for header, value in provider.headers.items()}),
        extra=frozen_values(provider.extra),
        allow_private=provider.allow_private,
        free=provider.free,
        lenient_terminal=provider.lenient_terminal,
        options=options,
    )


def _model(provider: LLMConfig, model: entities.Model, rate: RatePolicy | None) -> LLMConfig:
    return replace(
        tuned(provider, model, model.pool),
        model=model.model,
        rate=rate,
        parameters=_parameters(model.parameters),
        capabilities=_capabilities(model.capabilities),
        emulate_tools=model.emulate_tools,
        prices=None if model.prices is None else _prices(model.prices),
        extra=FrozenDict({**provider.extra, **frozen_values(model.extra)}) if model.extra else provider.extra,
        tags=frozenset(model.tags),
    )


def _section(values: Mapping[str, Plain], name: str) -> Mapping[str, Plain]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}


def _client(
    name: str,
    client: entities.Client,
    defaults: Defaults,
    models: Mapping[str, LLMConfig],
    replay: tuple[Path, str],
    alike: _Alike,
) -> ClientConfig:
    folder, recorded = replay
    targets = tuple(_target(models[model], client, alike) for model in client.models)
    if client.replay is not None:
        tapes = str(folder / client.replay)
        targets = tuple(replace(target, replay=tapes, recorded=recorded) for target in targets)
    if client.strict_capabilities is not None:
        targets = tuple(_strict(target, strict=client.strict_capabilities) for target in targets)
    own = client.balance
    return ClientConfig(
        name=name,
        targets=targets,
        system=client.system,
        # The call is as long as its first target may take, unless the client says so for all of them.
        total_s=targets[0].timeouts.total_s,
        balance=balance_policy(defaults.balance, own),
        weights=() if own is None or not own.weights else tuple(own.weights[model] for model in client.models),
        content_filter_fallback=client.content_filter_fallback,
        on_exhausted=exhausted_policy(client.on_exhausted),
    )


def _kept(
    client: ClientConfig, entity: entities.Client, caches: CacheReader, models: Mapping[str, LLMConfig]
) -> ClientConfig:
    """Return a client with what it keeps."""
    embedder = next(_embedders(entity, models), None)
    return replace(client, cache=caches.policy(entity.cache), embedder=embedder)


def _embedders(entity: entities.Client, models: Mapping[str, LLMConfig]) -> Iterator[LLMConfig]:
    semantic = None if entity.cache is None else entity.cache.semantic
    if semantic is not None:
        yield models[semantic.model]


def _strict(config: LLMConfig, *, strict: bool) -> LLMConfig:
    if strict is config.catalogue.strict:
        return config
    return replace(config, catalogue=replace(config.catalogue, strict=strict))


def _catalogue(block: Catalogue, folder: Path, memory: Memory) -> CataloguePolicy:
    path = None if block.path is None else folder / block.path
    return CataloguePolicy(
        enabled=block.enabled,
        prices=block.prices,
        strict=block.strict_capabilities,
        path=None if path is None else str(path),
        read="" if path is None else memory.content(path),
    )


def detection_policy(block: Catalogue, folder: Path) -> DetectionPolicy:
    """Return whether and how providers are asked.

    Args:
        block: Valid settings.
        folder: The configuration's folder, as seen from which the file of answers is.
    """
    file = None if block.file is None else str(folder / block.file)
    return DetectionPolicy(block.detect, block.max_age, block.at_once, block.timeout, file)


def _target(model: LLMConfig, client: entities.Client, alike: _Alike) -> LLMConfig:
    """Return a model as a client asks it; clients that say the same of it share the object, and what is built of it."""
    made = tuned(model, client)
    if made is model:
        return made
    return alike.setdefault((id(model), made.timeouts, made.limits, made.retry, made.retry_budget, made.breaker), made)


class _Rates:
    """How fast providers and models may be asked, by kind and name."""

    def __init__(self, settings: Settings) -> None:
        self._rates: dict[tuple[str, str], RatePolicy] = {}
        for name, limit in settings.limits.items():
            kind = limit.kind or ("model" if name in settings.models else "provider")
            self._rates[kind, name] = rate_policy(settings.defaults.rate, limit)

    def of(self, kind: str, name: str) -> RatePolicy | None:
        return self._rates.get((kind, name))


def _parameters(block: entities.Parameters) -> Parameters:
    if not block.model_fields_set:
        return NO_PARAMETERS
    return Parameters(
        temperature=block.temperature,
        top_p=block.top_p,
        max_tokens=block.max_tokens,
        stop=tuple(block.stop),
        seed=block.seed,
        presence_penalty=block.presence_penalty,
        frequency_penalty=block.frequency_penalty,
        reasoning_effort=block.reasoning_effort,
    )


def _capabilities(block: entities.Capabilities) -> ModelCapabilities:
    if not block.model_fields_set:
        # One object, by which whoever merges knows what it has merged before.
        return _NOTHING_SAID
    return ModelCapabilities(
        supports_tools=block.tools,
        supports_vision=block.vision,
        supports_streaming=block.streaming,
        supports_json_mode=block.json_mode,
        supports_json_schema=block.json_schema,
        supports_system_message=block.system_message,
        supports_reasoning=block.reasoning,
        max_tokens=block.max_tokens,
        context_window=block.context_window,
        custom_capabilities=frozen_values(block.custom),
    ).stated_by("yaml")


def _prices(block: entities.Prices) -> Prices:
    return Prices.per_mtok(
        block.input_usd_per_mtok,
        block.output_usd_per_mtok,
        block.cache_read_usd_per_mtok,
        block.cache_write_usd_per_mtok,
    )


def frozen_values(values: Mapping[str, Plain]) -> FrozenDict[str, JSON]:
    """Return free values that nobody can change."""
    return FrozenDict({key: freeze(value) for key, value in values.items()})
