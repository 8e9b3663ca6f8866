"""What a function's signature says about the arguments a model may give."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator
from dataclasses import field, make_dataclass
from functools import partial
from typing import ParamSpec

from loomwire.domain.errors import LLMValidationError

P = ParamSpec("P")

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_EMPTY = inspect.Parameter.empty


def arguments_type(function: Callable[P, object], tool: str) -> type[object]:
    """Return a dataclass whose fields are the function's parameters, with their types and defaults.

    What a `functools.partial` gives by name is the host's own: no model is told of it, and none can change it.

    Args:
        function: Any function but a generator. Every parameter can be given by name and has a type.
        tool: The tool's name, for messages.

    Raises:
        LLMValidationError: A parameter without a type, or one that nobody can give by name; a type that cannot be
            found; or a generator function.
    """
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise LLMValidationError(f"tool {tool!r}: a generator function is no tool", hint="Return the whole result.")
    fields = [
        (each.name, each.annotation, _default(each) if each.default is not _EMPTY else field())
        for each in _parameters(function, tool)
    ]
    # Without this text the schema would be described by the signature that dataclasses make up.
    return make_dataclass(tool, fields, kw_only=True, namespace={"__doc__": ""})


def _parameters(function: Callable[P, object], tool: str) -> Iterator[inspect.Parameter]:
    given = _given(function)
    for parameter in _signature(function, tool).parameters.values():
        if parameter.name in given:
            continue
        if parameter.kind not in _NAMED:
            raise LLMValidationError(
                f"tool {tool!r}: parameter {parameter.name!r} cannot be given by name",
                hint="Use parameters with names and types, without *args, **kwargs and '/'.",
            )
        if parameter.annotation is _EMPTY:
            raise LLMValidationError(
                f"tool {tool!r}: parameter {parameter.name!r} has no type", hint="Write its type behind its name."
            )
        yield parameter


def _given(function: object) -> Collection[str]:
    return function.keywords.keys() if isinstance(function, partial) else ()


def _signature(function: Callable[P, object], tool: str) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, TypeError, ValueError, SyntaxError, AttributeError) as error:
        raise LLMValidationError(
            f"tool {tool!r}: the signature cannot be read: {type(error).__name__}",
            hint="Define every name that its types use at the level of its module.",
            original_error=error,
        ) from error


def _default(parameter: inspect.Parameter) -> object:
    value: object = parameter.default
    # Dataclasses refuse a list or dict as a default, which a function may have.
    made: object = field(default=value) if type(value).__hash__ is not None else field(default_factory=lambda: value)
    return made
