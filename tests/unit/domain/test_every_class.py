"""What holds for every class of the domain: annotations that mean something at run time, and values that are frozen.

Hosts and pydantic evaluate our annotations, each in its own module.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import FunctionType
from typing import Generic, get_type_hints

import pytest
from pydantic import TypeAdapter

import loomwire.domain
from loomwire.domain.values import JSON, ToolCall

MODULES = [module.name for module in pkgutil.walk_packages(loomwire.domain.__path__, "loomwire.domain.")]


def annotated(module: str) -> Iterator[tuple[str, type | FunctionType]]:
    """Yield every class and function of a module, methods and properties included."""
    for name, thing in vars(importlib.import_module(module)).items():
        if getattr(thing, "__module__", None) != module or not isinstance(thing, type | FunctionType):
            continue
        yield name, thing
        inner = vars(thing).items() if isinstance(thing, type) else ()
        for part, value in inner:
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if inspect.isfunction(function):
                yield f"{name}.{part}", function


@pytest.mark.parametrize("module", MODULES)
def test_every_annotation_can_be_evaluated(module: str) -> None:
    for name, thing in annotated(module):
        try:
            get_type_hints(thing)
        except (NameError, TypeError) as error:
            pytest.fail(f"{module}.{name}: {error}")


@pytest.mark.parametrize("module", MODULES)
def test_every_value_is_frozen_and_slotted_unless_it_is_generic(module: str) -> None:
    for name, thing in annotated(module):
        if isinstance(thing, type) and is_dataclass(thing):
            assert "__setattr__" in vars(thing), f"{name} is not frozen"
            assert ("__slots__" in vars(thing)) is not issubclass(thing, Generic), f"{name}: slots"


def test_pydantic_reads_our_values_and_any_json() -> None:
    call = {"id": "c1", "name": "weather", "arguments": {"near": [1, {"city": None}]}}
    assert TypeAdapter(ToolCall).validate_python(call) == ToolCall("c1", "weather", {"near": [1, {"city": None}]})
    adapter: TypeAdapter[JSON] = TypeAdapter(JSON)
    assert adapter.validate_json('[1, {"a": [true, null]}]') == [1, {"a": [True, None]}]
