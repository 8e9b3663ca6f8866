"""What a provider of dependency-injector says about itself: what it makes, of what class, and from what."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from dependency_injector import providers

# By class and not by attribute: a Configuration provider has every attribute there is.
_CALLING = (providers.BaseSingleton, providers.Factory, providers.Callable, providers.Resource)


class Part:
    """A provider as it stands, its last override included. Nothing is built by looking at it.

    Attributes:
        provider: The provider that counts.
        made_by: What it calls, or None when it calls nothing.
        positional: What it gives by position. These arguments have no names, so nobody checks them.
        arguments: What it gives by name.
    """

    __slots__ = ("arguments", "made_by", "positional", "provider")

    def __init__(self, provider: providers.Provider[Any]) -> None:
        """Read a provider."""
        while provider.last_overriding is not None:
            provider = provider.last_overriding
        self.provider = provider
        self.made_by: Callable[..., Any] | None = None
        self.positional: tuple[object, ...] = ()
        self.arguments: Mapping[str, object] = {}
        if isinstance(provider, _CALLING):
            self.made_by, self.positional, self.arguments = provider.provides, provider.args, provider.kwargs

    @property
    def needs(self) -> tuple[providers.Provider[Any], ...]:
        """The providers it is made from."""
        given = (each for each in (*self.positional, *self.arguments.values()) if isinstance(each, providers.Provider))
        return tuple(each() if isinstance(each, providers.Delegate) else each for each in given)

    @property
    def parameters(self) -> Mapping[str, inspect.Parameter]:
        """What it may be given, by name; empty when that cannot be told."""
        try:
            return {} if self.made_by is None else inspect.signature(self.made_by).parameters
        except ValueError:  # some builtins do not tell
            return {}

    @property
    def required(self) -> tuple[str, ...]:
        """The names of what it must be given."""
        open_ended = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        every = self.parameters.values()
        return tuple(each.name for each in every if each.default is each.empty and each.kind not in open_ended)

    @property
    def classes(self) -> Mapping[str, tuple[type, ...]]:
        """The classes that each argument may have, where that can be told; under `return` those of what is made."""
        if self.made_by is None:
            return {}
        annotated = getattr(self.made_by, "__init__") if isinstance(self.made_by, type) else self.made_by  # noqa: B009
        try:
            hints: Mapping[str, object] = get_type_hints(annotated)
        except NameError:  # a host's own annotations may exist for type checkers only
            return {}
        return {name: _classes(hint) for name, hint in hints.items()}

    @property
    def supplies(self) -> type | None:
        """The class of what it makes, or None when that cannot be told."""
        if isinstance(self.provider, providers.Object):
            return type(self.provider.provides)
        if isinstance(self.made_by, type):
            return self.made_by
        made = self.classes.get("return", ())
        return made[0] if len(made) == 1 and made[0] is not object else None


def _classes(hint: object) -> tuple[type, ...]:
    if get_origin(hint) in (Union, UnionType):
        options = [_classes(option) for option in get_args(hint)]
        return tuple(itertools.chain.from_iterable(options)) if all(options) else ()
    plain = get_origin(hint) or hint
    return (plain,) if isinstance(plain, type) else ()
