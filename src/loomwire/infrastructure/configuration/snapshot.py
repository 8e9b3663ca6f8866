"""Turns valid settings into the domain's own values, with every inherited number resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.config import ClientConfig, LLMConfig
from loomwire.domain.policies import CataloguePolicy, DetectionPolicy, PoolPolicy, TimeoutPolicy, WireLimits
from loomwire.domain.pricing import Prices
from loomwire.domain.requests import NO_PARAMETERS, Parameters
from loomwire.domain.values import JSON, NO_JSON, FrozenDict, JSONObject
from loomwire.infrastructure.configuration.reading.memory import Memory
from loomwire.infrastructure.configuration.scalars import Plain, freeze
from loomwire.infrastructure.configuration.schema import blocks, entities
from loomwire.infrastructure.configuration.schema.knowledge import Catalogue
from loomwire.infrastructure.configuration.schema.settings import Settings

_NOTHING_SAID = ModelCapabilities()
_Alike: TypeAlias = dict[tuple[int, TimeoutPolicy, WireLimits], LLMConfig]


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
    base = _tuned(plain, defaults.timeouts, defaults.limits, defaults.pool)
    providers = {
        name: memory.provider(name, provider_config(base, name, provider, options.get(name, NO_JSON)))
        for name, provider in settings.providers.items()
    }
    before: Mapping[str, LLMConfig] = {} if memory.before is None else memory.before.models
    raw = _section(values, "models")

    def model(name: str, entity: entities.Model) -> LLMConfig:
        """Return a model, the one of before when nothing of it changed."""
        provider = providers[entity.provider]
        return memory.models.entry(name, raw.get(name), (provider,), lambda: _model(provider, entity), before.get(name))

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
    alike: _Alike = {}

    def client(name: str, entity: entities.Client) -> ClientConfig:
        """Return a client, the one of before when nothing of it changed."""
        recorded = "" if entity.replay is None else memory.recorded(folder / entity.replay)
        return memory.clients.entry(
            name,
            raw.get(name),
            tuple(models[model] for model in entity.models),
            lambda: _client(name, entity, models, folder, recorded, alike),
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
        _tuned(base, provider.timeouts, provider.limits, provider.pool),
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


def _model(provider: LLMConfig, model: entities.Model) -> LLMConfig:
    return replace(
        _tuned(provider, model.timeouts, model.limits, model.pool),
        model=model.model,
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
    name: str, client: entities.Client, models: Mapping[str, LLMConfig], folder: Path, recorded: str, alike: _Alike
) -> ClientConfig:
    targets = tuple(_target(models[model], client, alike) for model in client.models)
    if client.replay is not None:
        replay = str(folder / client.replay)
        targets = tuple(replace(target, replay=replay, recorded=recorded) for target in targets)
    if client.strict_capabilities is not None:
        targets = tuple(_strict(target, strict=client.strict_capabilities) for target in targets)
    # Without fallback, the first target is the whole call, so what holds for it holds for the call.
    return ClientConfig(name=name, targets=targets, system=client.system, total_s=targets[0].timeouts.total_s)


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
    made = _tuned(model, client.timeouts, client.limits, None)
    return made if made is model else alike.setdefault((id(model), made.timeouts, made.limits), made)


def _tuned(
    config: LLMConfig, timeouts: blocks.Timeouts | None, limits: blocks.WireSizes | None, pool: blocks.Pool | None
) -> LLMConfig:
    """Return the same object when no block says anything, so that generations can tell by identity what changed."""
    if not any(block is not None and block.model_fields_set for block in (timeouts, limits, pool)):
        return config
    return replace(
        config,
        timeouts=config.timeouts if timeouts is None else _timeouts(config.timeouts, timeouts),
        limits=config.limits if limits is None else _limits(config.limits, limits),
        pool=config.pool if pool is None else _pool(config.pool, pool),
    )


def _timeouts(policy: TimeoutPolicy, block: blocks.Timeouts) -> TimeoutPolicy:
    return replace(policy, **{f"{name}_s": getattr(block, name) for name in block.model_fields_set})


def _limits(policy: WireLimits, block: blocks.WireSizes) -> WireLimits:
    return replace(policy, **{name: getattr(block, name) for name in block.model_fields_set})


def _pool(policy: PoolPolicy, block: blocks.Pool) -> PoolPolicy:
    names = {"max_connections": "max_connections", "keepalive": "keepalive", "trust_env": "trust_env"}
    names["keepalive_expiry"] = "keepalive_expiry_s"
    return replace(policy, **{names[name]: getattr(block, name) for name in block.model_fields_set & names.keys()})


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
