"""Any type that JSON can hold becomes a schema and a decoder; what does not fit is told without its values."""

from __future__ import annotations

import contextlib
import sys
import typing
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Annotated, Generic, Literal, NamedTuple, Self, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, field_validator, model_validator
from typing_extensions import TypedDict

from loomwire.domain.errors import LLMValidationError, OutputInvalidError
from loomwire.infrastructure.outputs.problems import MAX_PROBLEMS
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.infrastructure.outputs.unsupported import culprit

T = TypeVar("T")
SCHEMAS = PydanticOutputSchemas()


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    amount: int
    text: str = "-"


class Invoice(BaseModel):
    total: float
    lines: list[Line]


class Measure(BaseModel):
    value: int


class Box(BaseModel, Generic[T]):
    inner: T


@dataclass
class Order:
    id: uuid.UUID
    when: datetime


class Options(TypedDict):
    name: str
    size: int


class Point(NamedTuple):
    x: int
    y: int = 0


class Cat(BaseModel):
    kind: Literal["cat"]
    age: int


class Dog(BaseModel):
    kind: Literal["dog"]
    age: int


class Checked(BaseModel):
    name: str
    count: int = 0
    tags: list[str | bool | None] = []

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        """Refuse in every way a validator can."""
        if name == "quoted":
            raise ValueError(f"there is no {name.upper()}")
        if name == "two words":
            raise ValueError(f"there is no {name!r}")
        if name == "plain":
            raise ValueError("the name must be\na city")
        if name == "bug":
            raise KeyError(name)
        if name == "brief":
            raise AssertionError("no short names")
        return name

    @model_validator(mode="after")
    def small(self) -> Self:
        """Refuse a whole object."""
        if self.count > 3:
            raise ValueError(f"too many: {self.count}")
        if self.tags:
            raise ValueError(f"unknown tags: {self.tags}")
        if self.count < 0:
            raise ValueError("count must not be below zero")
        return self


def problems(schema_of: type[object], text: str) -> tuple[str, ...]:
    """Return what is wrong with a text."""
    with pytest.raises(OutputInvalidError) as caught:
        SCHEMAS.schema_for(schema_of).decode(text)
    assert caught.value.text == text
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return caught.value.problems


def test_the_types_that_hosts_use_are_decoded() -> None:
    schemas = SCHEMAS
    assert schemas.schema_for(Invoice).decode('{"total": 3, "lines": [{"amount": 1}]}').lines[0] == Line(amount=1)
    assert schemas.schema_for(Options).decode('{"name": "a", "size": 1}') == {"name": "a", "size": 1}
    assert schemas.schema_for(Point).decode('{"x": 1}') == Point(1)
    assert schemas.schema_for(Box[int]).decode('{"inner": 1}').inner == 1
    assert schemas.schema_for(dict[str, int]).decode('{"a": 1}') == {"a": 1}
    assert schemas.schema_for(list[Line]).decode('{"value": [{"amount": 1}]}') == [Line(amount=1)]
    assert schemas.schema_for(tuple[int, str]).decode('{"value": [1, "a"]}') == (1, "a")
    assert schemas.schema_for(Line | Measure).decode('{"value": {"amount": 1}}') == Line(amount=1)
    assert schemas.schema_for(int | None).decode('{"value": null}') is None
    assert schemas.schema_for(Literal["a", 1]).decode('{"value": 1}') == 1
    assert schemas.schema_for(Colour).decode('{"value": "red"}') is Colour.RED
    assert schemas.schema_for(Decimal).decode('{"value": "1.10"}') == Decimal("1.10")
    assert schemas.schema_for(date).decode('{"value": "2024-02-29"}') == date(2024, 2, 29)
    order = schemas.schema_for(Order).decode(f'{{"id": "{uuid.UUID(int=1)}", "when": "2024-01-01T00:00:00Z"}}')
    assert order == Order(uuid.UUID(int=1), datetime(2024, 1, 1, tzinfo=UTC))


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text() | st.booleans() | st.none())))
def test_what_pydantic_writes_is_read_back(value: list[dict[str, int | str | bool | None]]) -> None:
    written = TypeAdapter(list[dict[str, int | str | bool | None]]).dump_json(value).decode()
    schema = SCHEMAS.schema_for(list[dict[str, int | str | bool | None]])
    assert schema.decode(f'Here: {{"value": {written}}}.') == value
    assert schema.decode(written) == value


@given(st.text())
def test_any_text_is_an_object_or_the_typed_error(text: str) -> None:
    for output in (Invoice, str, int):
        with contextlib.suppress(OutputInvalidError):
            assert isinstance(SCHEMAS.schema_for(output).decode(text), output)


def test_json_between_sentences_and_in_fences_is_taken() -> None:
    schema = SCHEMAS.schema_for(Line)
    assert schema.decode('As [1] says:\n```json\n{"amount": 1}\n```\nHope {that} helps!').amount == 1
    assert SCHEMAS.schema_for(list[int]).decode('see [1]: {"value": [2]}') == [2]


@pytest.mark.parametrize(("output", "text"), [(int, "3"), (int, "```\n3\n```"), (int, " 3 "), (float, "3")])
def test_a_scalar_without_its_wrapper_is_taken(output: type[float], text: str) -> None:
    assert SCHEMAS.schema_for(output).decode(text) == 3


def test_other_types_without_their_wrapper_are_taken_too() -> None:
    assert SCHEMAS.schema_for(str).decode('"hi"') == "hi"
    assert SCHEMAS.schema_for(list[int]).decode("[1, 2]") == [1, 2]
    assert SCHEMAS.schema_for(Line | Measure).decode('{"amount": 1}') == Line(amount=1)
    assert SCHEMAS.schema_for(Measure | None).decode('{"value": 3}') == Measure(value=3)
    assert SCHEMAS.schema_for(Measure | None).decode('{"value": {"value": 3}}') == Measure(value=3)


def test_a_bare_value_beside_others_is_no_answer() -> None:
    assert problems(list[int], "I counted [1], then [2].") == (
        "$: the answer must be an object with the one key 'value'",
    )


def test_a_list_is_not_taken_for_its_first_element() -> None:
    assert problems(Line, '[{"amount": 1}, {"amount": 2}]') == ("$: Input should be an object",)


def test_two_different_answers_are_not_guessed_between() -> None:
    assert problems(Line, '{"amount": 1} or {"amount": 2}') == (
        "$: the answer holds 2 different values that fit; give one",
    )
    assert SCHEMAS.schema_for(Line).decode('{"amount": 1}, I say {"amount": 1}').amount == 1
    assert SCHEMAS.schema_for(Line).decode('Not {"price": 2} but {"amount": 1}').amount == 1


def test_the_problems_of_the_longest_value_are_told() -> None:
    assert problems(Invoice, 'Like {"a": 1}: {"total": 1, "lines": [{"amount": "x"}]}') == (
        "$.lines[0].amount: Input should be a valid integer, unable to parse string as an integer",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "$: the answer is empty"),
        ("I cannot do that.", "$: the answer holds no JSON"),
        ('{"amount": NaN}', "$: NaN is no JSON"),
        ('{"amount": 1, "amount": 2}', "$: an object has the same key twice"),
        ('{"text": "x"}', "$.amount: Field required"),
        ('{"amount": "\ud800"}', "$: Input should be a valid string, unable to parse raw data as a unicode string"),
        ('{"amount": 1, "text": "\\ud800"}', "$: Invalid JSON: unexpected end of hex escape at line 1"),
        ('{"amount": 1, "more": ' + "[" * 250 + "]" * 250 + "}", "$: Invalid JSON: recursion limit exceeded"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, problem: str) -> None:
    assert problems(Line, text)[0].startswith(problem)


def test_a_wrapped_type_is_told_about_its_wrapper() -> None:
    shape = "$: the answer must be an object with the one key 'value'"
    for text in ('{"result": 3}', '{"value": 3, "note": 1}', '"x"', "[3]"):
        assert problems(int, text) == (shape,)
    assert problems(int, '{"value": "x"}') == (
        "$.value: Input should be a valid integer, unable to parse string as an integer",
    )


def test_problems_never_hold_what_the_model_wrote() -> None:
    text = '{"kind": "sesame", "sesame": 1, "age": "sesame", "id": "sesame", "when": "sesame"}'
    tagged = SCHEMAS.schema_for(Annotated[Cat | Dog, Field(discriminator="kind")])
    with pytest.raises(OutputInvalidError) as caught:
        tagged.decode(f'{{"value": {text}}}')
    assert caught.value.problems == ("$.value: Input tag does not match any of the expected tags",)
    seen = [str(caught.value), str(caught.value.to_dict())]
    for output in (Cat, Order, Invoice, Options, dict[str, dict[str, int]], list[int], uuid.UUID, Colour):
        seen += problems(output, text)
    assert not [line for line in seen if "sesame" in line]


def test_a_key_that_the_type_does_not_name_is_a_star() -> None:
    assert problems(dict[str, int], '{"Jane Doe": "x"}') == (
        "$.*: Input should be a valid integer, unable to parse string as an integer",
    )
    assert problems(dict[str, int], '{"Jane [Doe]": "x"}')[0].startswith("$: Input should be a valid integer")


def test_alternatives_are_named() -> None:
    with pytest.raises(OutputInvalidError) as caught:
        SCHEMAS.schema_for(Line | Measure | list[int] | int).decode('{"value": {}}')
    assert caught.value.problems == (
        "$.value.amount (as Line): Field required",
        "$.value.value (as Measure): Field required",
        "$.value: Input should be a valid array",
        "$.value (as int): Input should be a valid integer",
    )


def test_a_tag_is_named_as_the_alternative() -> None:
    with pytest.raises(OutputInvalidError) as caught:
        SCHEMAS.schema_for(Annotated[Cat | Dog, Field(discriminator="kind")]).decode('{"value": {"kind": "cat"}}')
    assert caught.value.problems == ("$.value.age (as cat): Field required",)


def test_many_problems_are_cut_short() -> None:
    found = problems(list[int], '{"value": [' + ", ".join(['"x"'] * 50) + "]}")
    assert len(found) == MAX_PROBLEMS + 1
    assert found[-1] == f"and {50 - MAX_PROBLEMS} more"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"name": "plain"}', "$.name: Value error, the name must be a city"),
        ('{"name": "brief"}', "$.name: Assertion failed, no short names"),
        ('{"name": "x", "count": -1}', "$: Value error, count must not be below zero"),
        ('{"name": "quoted"}', "$.name: does not pass the type's own validator"),
        ('{"name": "two words"}', "$.name: does not pass the type's own validator"),
        ('{"name": "x", "tags": ["sesame seeds", true, null]}', "$: does not pass the type's own validator"),
        ('{"name": "x", "count": 7}', "$: does not pass the type's own validator"),
    ],
)
def test_the_words_of_a_validator_are_passed_on_unless_they_quote_the_value(text: str, problem: str) -> None:
    assert problems(Checked, text) == (problem,)


def test_a_huge_value_is_not_searched_for_quotes() -> None:
    rows = ", ".join(["1"] * 20_000)
    schema = SCHEMAS.schema_for(Annotated[list[int], Field(max_length=3)])
    with pytest.raises(OutputInvalidError) as caught:
        schema.decode(f'{{"value": [{rows}]}}')
    assert caught.value.problems[0].startswith("$.value: List should have at most 3 items")


def test_a_validator_that_breaks_is_the_typed_error_with_its_cause() -> None:
    with pytest.raises(OutputInvalidError) as caught:
        SCHEMAS.schema_for(Checked).decode('{"name": "bug"}')
    assert caught.value.problems == ("$: a validator failed: KeyError",)
    assert isinstance(caught.value.original_error, KeyError)


@pytest.mark.parametrize(
    ("output", "name"),
    [
        (Invoice, "Invoice"),
        (Box[int], "Box_int"),
        (int, "int"),
        (list[Invoice], "list_Invoice"),
        (dict[str, list[Line]], "dict_str_list_Line"),
        (type("Ünï", (BaseModel,), {}), "n"),
        (type("Ж", (BaseModel,), {}), "output"),
        (type("1st", (BaseModel,), {}), "output_1st"),
        (type("A" * 90, (BaseModel,), {}), "A" * 64),
    ],
)
def test_the_name_is_one_that_providers_take(output: type[object], name: str) -> None:
    assert SCHEMAS.schema_for(output).name == name


def test_names_of_special_forms_are_readable() -> None:
    assert SCHEMAS.schema_for(int | None).name == "int_or_None"
    assert SCHEMAS.schema_for(Literal["rm -rf", "b"]).name == "Literal"
    assert SCHEMAS.schema_for(Annotated[Line, Field(description="x")]).name == "Line"
    assert SCHEMAS.schema_for(None).name == "output"


def test_a_schema_is_made_once() -> None:
    schemas = PydanticOutputSchemas()
    assert schemas.schema_for(Invoice) is schemas.schema_for(Invoice)
    assert schemas.schema_for(list[Invoice]) is schemas.schema_for(list[Invoice])
    assert schemas.schema_for(Line | Measure) is not schemas.schema_for(Measure | Line)


def test_only_so_many_schemas_are_kept() -> None:
    schemas = PydanticOutputSchemas(most_kept=2)
    first, second = schemas.schema_for(int), schemas.schema_for(str)
    assert schemas.schema_for(int) is first
    schemas.schema_for(bool)
    assert schemas.schema_for(int) is first
    assert schemas.schema_for(str) is not second


def test_a_type_that_cannot_be_a_key_works_as_well() -> None:
    strange = Annotated[int, Field(gt=0), {"unhashable": 1}]
    assert SCHEMAS.schema_for(strange).decode("3") == 3


def test_schemas_may_be_asked_for_by_many_threads() -> None:
    schemas = PydanticOutputSchemas(most_kept=1)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda at: schemas.schema_for(Invoice if at % 2 else Line).name, range(200)))
    assert made == ["Line", "Invoice"] * 100


class Plain:
    """A class that JSON knows nothing of."""


@dataclass
class Deep:
    fine: int
    rows: list[dict[str, Plain]]


class Calls(BaseModel):
    fine: int
    hook: dict[str, Callable[[int], int]]


class Part(NamedTuple):
    fine: int
    plain: Plain


class Ring(TypedDict):
    again: list[Ring]
    plain: Plain


@dataclass
class Lost:
    gone: Nowhere  # type: ignore[name-defined]  # noqa: F821  # the point of the test


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (Plain, "Plain has no JSON Schema"),
        (Deep, "Deep.rows[][]: Plain has no JSON Schema"),
        (list[Deep], "[].rows[][]: Plain has no JSON Schema"),
        (Calls, "Calls.hook[]: collections.abc.Callable[[int], int] has no JSON Schema"),
        (Part, "Part.plain: Plain has no JSON Schema"),
        (Ring, "Ring.plain: Plain has no JSON Schema"),
        (Lost, "Lost has no JSON Schema"),
        (tuple[Plain, ...], "[]: Plain has no JSON Schema"),
    ],
)
def test_a_type_without_a_schema_is_refused_with_the_part_that_has_none(output: type[object], message: str) -> None:
    with pytest.raises(LLMValidationError) as caught:
        SCHEMAS.schema_for(output)
    assert message in caught.value.message
    assert caught.value.original_error is not None


def test_parts_behind_annotations_are_found_and_callables_are_parts() -> None:
    with pytest.raises(LLMValidationError) as caught:
        SCHEMAS.schema_for(Annotated[list[Plain], Field(min_length=1)])
    assert "[]: Plain has no JSON Schema" in caught.value.message
    with pytest.raises(LLMValidationError) as caught:
        SCHEMAS.schema_for(Plain | int)
    assert "[]: Plain has no JSON Schema" in caught.value.message
    with pytest.raises(LLMValidationError) as caught:
        SCHEMAS.schema_for(Callable[[], int])
    assert caught.value.message.startswith("collections.abc.Callable[[], int] has no")


def test_a_circle_without_a_culprit_blames_the_whole_type() -> None:
    assert culprit(Ring, lambda part: part is Plain) == ("", Ring)
    assert culprit(int, lambda part: part is str) == ("", int)
    path, part = culprit(None, lambda part: part is str)
    assert (path, str(part)) == ("", "None")


def test_names_that_nobody_defined_are_explained() -> None:
    with pytest.raises(LLMValidationError) as caught:
        SCHEMAS.schema_for(Lost)
    assert "Define every name" in caught.value.hint


if sys.version_info < (3, 12):

    class OldOptions(typing.TypedDict):
        name: str

    def test_the_typed_dict_of_an_old_python_is_explained() -> None:
        with pytest.raises(LLMValidationError) as caught:
            SCHEMAS.schema_for(OldOptions)
        assert "typing_extensions" in caught.value.hint
