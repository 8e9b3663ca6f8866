"""What is wrong with providers and models as targets: no key, no address, a header or field that cannot be sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import replace
from typing import TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import NO_JSON, JSONObject, may_be_shown
from loomwire.infrastructure.configuration.checks.replays import replayed_providers
from loomwire.infrastructure.configuration.documents import Part
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.entities import Model, Provider
from loomwire.infrastructure.configuration.schema.secrecy import dotted
from loomwire.infrastructure.configuration.schema.settings import Settings
from loomwire.infrastructure.configuration.snapshot import frozen_values, provider_config
from loomwire.infrastructure.configuration.tree import ConfigTree

TargetCheck: TypeAlias = Callable[[LLMConfig], Iterable[ConfigError]]
"""Yields what keeps a target from being asked. An error's `metadata` may say where in the provider's block: `key` is
the way to what is wrong, `needs` are keys of which none is there."""

_Entity = TypeVar("_Entity", bound=BaseModel)
_BASE = LLMConfig(type="none", model="none")
_REPLAYED = replace(_BASE, replay="recordings")


class TargetReader:
    """Looks at every provider and model of one configuration, also at those that no client uses.

    Args:
        tree: Knows the places.
        check: Knows the provider types.
        known: Paths of problems that are known already.
    """

    def __init__(self, tree: ConfigTree, check: TargetCheck, known: Set[str]) -> None:
        """Look at nothing yet."""
        self._tree = tree
        self._check = check
        self._known = known

    def problems(
        self, settings: Settings | None, values: Mapping[str, Plain], options: Mapping[str, JSONObject]
    ) -> Iterator[Problem]:
        """Yield every problem.

        Args:
            settings: Valid settings, or None; then whatever is valid of each provider and model is looked at.
            values: The whole configuration.
            options: The options of offline providers, by provider.
        """
        if self._tree.is_broken:
            return  # what seems to be missing may stand where we did not get
        providers = _entities(values.get("providers"), Provider, None if settings is None else settings.providers)
        # A provider that nobody asks over the network needs no key.
        offline = dict.fromkeys(replayed_providers(values), _REPLAYED)
        targets: dict[str, LLMConfig] = {}
        for name, (provider, unfit) in providers.items():
            base = offline.get(name, _BASE)
            target = targets[name] = provider_config(base, name, provider, options.get(name, NO_JSON))
            for error in self._check(target):
                yield from self._problem(("providers", name), error, unfit)
        models = _entities(values.get("models"), Model, None if settings is None else settings.models)
        for name, (model, unfit) in models.items():
            if model.extra and model.provider in targets:
                yield from self._model_problems(targets[model.provider], name, model, unfit)

    def _model_problems(self, target: LLMConfig, name: str, model: Model, unfit: Set[str]) -> Iterator[Problem]:
        # Of a model only `extra` reaches the check on its own; the rest is its provider's, and looked at there.
        for error in self._check(replace(target, extra=frozen_values(model.extra))):
            if _strings(error, "key")[:1] == ("extra",):
                yield from self._problem(("models", name), error, unfit)

    def _problem(self, owner: tuple[str, str], error: ConfigError, unfit: Set[str]) -> Iterator[Problem]:
        key = _strings(error, "key")
        path = (*owner, *key)
        # What could not be read or was refused is no second time missing or wrong.
        lost = unfit | {str(path[2]) for path in self._tree.failed if path[:2] == owner and len(path) > 2}
        if not lost.isdisjoint((*key[:1], *_strings(error, "needs"))) or (key and dotted(path) in self._known):
            return
        hint = error.hint if may_be_shown(owner[1]) else None
        message = error.message.removeprefix(f"provider {error.provider!r}: ")
        at: Part = "value" if key[:1] in (("base_url",), ("dialect",)) else "key"
        yield self._tree.problem(error.reason, message, path, at=at, hint=hint)


def _entities(
    section: Plain, kind: type[_Entity], valid: Mapping[str, _Entity] | None
) -> dict[str, tuple[_Entity, Set[str]]]:
    """Return every entity that can be had, with its keys that are not valid and were left out."""
    nothing: frozenset[str] = frozenset()
    if valid is not None:
        return {name: (entity, nothing) for name, entity in valid.items()}
    entries = section.items() if isinstance(section, Mapping) else ()
    found = ((name, _salvaged(kind, entry)) for name, entry in entries if isinstance(entry, Mapping))
    return {name: entity for name, entity in found if entity is not None}


def _salvaged(kind: type[_Entity], entry: Mapping[str, Plain]) -> tuple[_Entity, Set[str]] | None:
    left: dict[str, Plain] = dict(entry)
    unfit: set[str] = set()
    for _ in range(2):
        try:
            return kind.model_validate(left), unfit
        except ValidationError as error:
            for found in error.errors(include_url=False, include_input=False):
                _drop(left, unfit, found["loc"])
    return None


def _drop(left: dict[str, Plain], unfit: set[str], path: KeyPath) -> None:
    """Leave out what is not valid: of headers only the one with a bad name, since another may carry the key."""
    key = str(path[0])
    below = left.get(key)
    if path[-1] == "[key]" and isinstance(below, Mapping):
        left[key] = {name: value for name, value in below.items() if name != path[1]}
    else:
        left.pop(key, None)
        unfit.add(key)


def _strings(error: ConfigError, name: str) -> tuple[str, ...]:
    words = error.metadata.get(name, ())
    return tuple(str(word) for word in words) if isinstance(words, list | tuple) else ()
