"""A function with types becomes a tool, and the model's arguments become the function's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, ParamSpec

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from loomwire.application.agents.binding.bound import BoundTool, ToolPolicy
from loomwire.application.resilience.circuit_breaker import CircuitBreaker
from loomwire.domain.errors import LLMValidationError, OutputInvalidError
from loomwire.domain.policies import BreakerPolicy
from loomwire.domain.tools import Tool
from loomwire.domain.values import JSON
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas

if TYPE_CHECKING:
    from decimal import Decimal as Missing

P = ParamSpec("P")

SCHEMAS = PydanticOutputSchemas()
SCHEMAS.schema_for(int)  # pydantic reads files once, which no running loop may do


class Place(BaseModel):
    """A model."""

    city: str
    code: int | None = None


async def weather(
    place: Place,
    days: Annotated[int, Field(ge=1, le=7, description="How many")] = 3,
    tags: list[str] = [],  # noqa: B006
) -> str:
    """Say the weather of a place."""
    return f"{place.city} {days} {tags}"


def add(one: int, *, two: float = 0.5) -> float:
    """Add."""
    return one + two


def nothing() -> None:
    """Do nothing."""


class Shop:
    """Tools that share an object."""

    def find(self, word: str) -> str:
        """Find a thing."""
        return word

    async def __call__(self, word: str) -> str:
        """Find it too."""
        return word


@dataclass
class Unhashable:
    """Its own equality, so no hash."""

    n: int = 1


def test_the_signature_and_the_docstring_are_what_the_model_is_told() -> None:
    tool = BoundTool.of(weather, SCHEMAS)
    assert (tool.name, tool.is_async) == ("weather", True)
    assert tool.tool.description == "Say the weather of a place."
    assert tool.tool.parameters["required"] == ["place", "days", "tags"]
    properties = tool.tool.parameters["properties"]
    assert isinstance(properties, dict)
    assert properties["days"] == {
        "description": "How many (default: 3)",
        "maximum": 7,
        "minimum": 1,
        "type": "integer",
    }
    assert tool.tool.parameters["additionalProperties"] is False
    Draft202012Validator.check_schema(dict(tool.tool.parameters))


def test_arguments_arrive_as_the_types_of_the_signature() -> None:
    read = BoundTool.of(weather, SCHEMAS).read({"place": {"city": "Rome", "code": None}, "days": 2})
    assert read == {"place": Place(city="Rome"), "days": 2, "tags": []}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "$.place: Field required"),
        ({"place": {"city": 3}}, "$.place.city: Input should be a valid string"),
        ({"place": {"city": "x"}, "days": 9}, "$.days: Input should be less than or equal to 7"),
        ({"place": {"city": "x"}, "sk-secret": 9}, "$: 1 unknown; the arguments are: place, days, tags"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_with_their_place(arguments: dict[str, JSON], problem: str) -> None:
    with pytest.raises(OutputInvalidError) as caught:
        BoundTool.of(weather, SCHEMAS).read(arguments)
    assert caught.value.problems == (problem,)


def test_a_function_without_parameters_is_a_tool_too() -> None:
    tool = BoundTool.of(nothing, SCHEMAS)
    assert tool.read({}) == {}
    with pytest.raises(OutputInvalidError) as caught:
        tool.read({"a": 1})
    assert caught.value.problems == ("$: 1 unknown; the arguments are: none",)


@given(st.integers() | st.text() | st.none() | st.lists(st.integers()), st.floats(allow_nan=False) | st.booleans())
def test_what_fits_the_schema_is_read_and_what_is_read_fits_the_function(one: JSON, two: JSON) -> None:
    tool = BoundTool.of(add, SCHEMAS)
    try:
        read = tool.read({"one": one, "two": two})
    except OutputInvalidError:
        assert not Draft202012Validator(dict(tool.tool.parameters)).is_valid({"one": one, "two": two}) or two in (
            float("inf"),
            -float("inf"),
        )
    else:
        assert isinstance(read["one"], int)
        assert isinstance(read["two"], float)


def test_what_a_partial_gives_by_name_no_model_can_change() -> None:
    tool = BoundTool.of(partial(add, two=2.0), SCHEMAS)
    assert (tool.name, tool.tool.description) == ("add", "Add.")
    assert list(tool.read({"one": 1})) == ["one"]
    with pytest.raises(OutputInvalidError):
        tool.read({"one": 1, "two": 5.0})
    assert tool.function(**tool.read({"one": 1})) == 3.0


def test_methods_and_objects_are_functions_too() -> None:
    shop = Shop()
    assert BoundTool.of(shop.find, SCHEMAS).name == "find"
    called = BoundTool.of(shop, SCHEMAS, name="find_it", description="Finds.")
    assert (called.name, called.tool.description, called.is_async) == ("find_it", "Finds.", True)


def test_a_default_that_has_no_hash_stays_the_default() -> None:
    def made(thing: Unhashable = Unhashable(7)) -> int:
        return thing.n

    made.__annotations__["thing"] = Unhashable
    assert BoundTool.of(made, SCHEMAS).read({}) == {"thing": Unhashable(7)}


def starred(*words: str) -> None:
    """Take any number."""


def positional(word: str, /) -> None:
    """Take it by its place."""


def unknown(a: Missing) -> None:
    """Use a name that is not there."""


def callback(a: Callable[[], None]) -> None:
    """Use a type that no JSON has."""


def generated(a: int) -> Iterator[int]:
    """Give several."""
    yield a


async def streamed(a: int) -> AsyncIterator[int]:
    """Give several, slowly."""
    yield a


def refusal(function: Callable[P, object], name: str = "") -> str:
    """Return why a function is not bound."""
    with pytest.raises(LLMValidationError) as caught:
        BoundTool.of(function, SCHEMAS, name=name)
    return caught.value.message


def test_functions_that_no_model_could_call_are_refused_when_they_are_bound() -> None:
    assert refusal(lambda a: a, "untyped") == "tool 'untyped': parameter 'a' has no type"
    assert refusal(starred) == "tool 'starred': parameter 'words' cannot be given by name"
    assert refusal(positional) == "tool 'positional': parameter 'word' cannot be given by name"
    assert refusal(unknown) == "tool 'unknown': the signature cannot be read: NameError"
    assert "has no JSON Schema" in refusal(callback)
    assert refusal(generated) == "tool 'generated': a generator function is no tool"
    assert refusal(streamed) == "tool 'streamed': a generator function is no tool"
    assert "tool name '<lambda>' must be" in refusal(lambda: None)


def test_what_is_no_function_is_told_apart_from_a_bad_signature() -> None:
    with pytest.raises(LLMValidationError, match="not list") as caught:
        # what a host without mypy may write
        BoundTool.of([nothing], SCHEMAS)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert caught.value.hint == "Give every tool as an argument of its own."


def test_a_tool_with_a_schema_of_its_own_gets_its_arguments_as_they_are() -> None:
    tool = Tool("find", parameters={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})
    bound = BoundTool.given(tool, Shop().find)
    assert bound.read({"n": 1}) == {"n": 1}
    with pytest.raises(OutputInvalidError) as caught:
        bound.read({"n": "1"})
    assert caught.value.problems == ("$.n: must be of type integer",)


def test_a_tool_has_a_circuit_breaker_of_its_own_or_the_one_it_is_given() -> None:
    policy = ToolPolicy(breaker=BreakerPolicy(consecutive=2))
    assert BoundTool.of(nothing, SCHEMAS, policy=policy).breaker.name == "tool nothing"
    shared = CircuitBreaker("shop")
    assert BoundTool.of(nothing, SCHEMAS, breaker=shared).breaker is shared
    assert BoundTool.given(Tool("a"), nothing, breaker=shared).breaker is shared


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), float("nan")])
def test_a_time_in_which_nothing_can_be_done_is_refused(timeout_s: float) -> None:
    with pytest.raises(LLMValidationError, match="timeout_s"):
        ToolPolicy(timeout_s)
