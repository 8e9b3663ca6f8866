"""The contract of `IOutputSchemas` and `IOutputSchema`."""

from __future__ import annotations

import json
import re
import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from typing_extensions import TypedDict, TypeForm

from loomwire.domain.errors import LLMValidationError, OutputInvalidError
from loomwire.domain.ports.output import IOutputSchema, IOutputSchemas
from loomwire.testing.contracts.contract import Contract, claim, expect, in_threads, raised, same

_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_CANARY = "heliotrope-4711"
_THREADS = 4


@dataclass(frozen=True)
class Item:
    """One line of an order."""

    name: str
    count: int


class Order(TypedDict):
    """An order, as a TypedDict with a list of dataclasses."""

    buyer: str
    items: list[Item]


_ITEM = '{"name": "pen", "count": 2}'
_ORDER = f'{{"buyer": "Ada", "items": [{_ITEM}]}}'
_MISFITS = ('{"name": "heliotrope-4711", "count": "heliotrope-4711"}', '{"name": "heliotrope-4711"}', _CANARY, "", "[]")


class OutputSchemasContract(Contract):
    """Claims what `loomwire.domain.ports.output` promises; subclass it as `TestMySchemas` and give it a maker.

    Example:
        >>> from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
        >>> class TestMySchemas(OutputSchemasContract):
        ...     def schemas(self) -> IOutputSchemas:
        ...         return PydanticOutputSchemas()
        >>> TestMySchemas().test_objects_are_decoded()
    """

    port: ClassVar[str] = "loomwire.domain.ports.output.IOutputSchemas"

    @abstractmethod
    def schemas(self) -> IOutputSchemas:
        """Return a fresh maker of schemas."""
        raise self.unwritten("schemas")

    @claim
    async def test_objects_are_decoded(self) -> None:
        """Dataclasses and TypedDicts come back as objects of their type, nested ones too."""
        schemas = self.schemas()
        same(schemas.schema_for(Item).decode(_ITEM), Item("pen", 2), "a dataclass")
        same(schemas.schema_for(Order).decode(_ORDER), {"buyer": "Ada", "items": [Item("pen", 2)]}, "a TypedDict")

    @claim
    async def test_other_types_are_wrapped_in_an_object(self) -> None:
        """Lists, unions and scalars go as `{"value": ...}`, because vendors want objects, and come back bare."""
        schemas = self.schemas()
        same(schemas.schema_for(list[int]).decode('{"value": [1, 2]}'), [1, 2], "a list")
        same(schemas.schema_for(float).decode('{"value": 1.5}'), 1.5, "a scalar")
        either = _both(schemas, int | str)
        same([either.decode('{"value": 3}'), either.decode('{"value": "three"}')], [3, "three"], "a union")
        word: IOutputSchema[str] = schemas.schema_for(Literal["yes", "no"])
        same(word.decode('{"value": "no"}'), "no", "a literal")

    @claim
    async def test_every_schema_is_an_object_in_json(self) -> None:
        """`schema` is the JSON Schema of an object, whatever the type, and JSON; `name` is fit for a provider."""
        schemas = self.schemas()
        deep = dict[str, list[dict[str, list[dict[str, list[Item]]]]]]
        found: Sequence[IOutputSchema[object]] = (
            schemas.schema_for(Item),
            schemas.schema_for(Order),
            schemas.schema_for(list[Item]),
            schemas.schema_for(int),
            schemas.schema_for(deep),
        )
        for schema in found:
            same(schema.schema.get("type"), "object", f"the schema's type of {schema.name}")
            same(json.loads(json.dumps(schema.schema)), schema.schema, f"the schema of {schema.name} after JSON")
            expect(_NAME.fullmatch(schema.name), f"the name is {schema.name!r}")
        same(list(_properties(found[2])), ["value"], "the properties of a wrapped list")

    @claim
    async def test_fences_and_sentences_around_json_are_passed_over(self) -> None:
        """JSON inside a Markdown fence or between sentences is found."""
        schema = self.schemas().schema_for(Item)
        for text in (f"```json\n{_ITEM}\n```", f"```\n{_ITEM}\n```", f"Here you are: {_ITEM} Anything else?"):
            same(schema.decode(text), Item("pen", 2), f"what {text!r} says")

    @claim
    async def test_what_does_not_fit_is_a_typed_error_without_values(self) -> None:
        """What does not fit raises OutputInvalidError: `problems` say where, and nothing but `text` shows a value."""
        schema = self.schemas().schema_for(Item)
        for text in _MISFITS:
            error = await raised(OutputInvalidError, _decoding(schema, text))
            expect(error.problems, f"no problem is named for {text!r}")
            same(error.text, text, "the answer that the error keeps")
            expect(_CANARY not in f"{error} {error.problems} {error.to_dict()}", "it shows a value of the answer")

    @claim
    async def test_a_problem_says_where(self) -> None:
        """A problem names the place of what does not fit."""
        schema = self.schemas().schema_for(Order)
        error = await raised(OutputInvalidError, _decoding(schema, '{"buyer": "Ada", "items": [{"name": "pen"}]}'))
        expect("count" in " ".join(error.problems), f"the problems are {error.problems!r} and name no `count`")

    @claim
    async def test_schemas_are_kept(self) -> None:
        """Asking for a type again is cheap: the same schema is handed out."""
        schemas = self.schemas()
        expect(schemas.schema_for(Item) is schemas.schema_for(Item), "the schema was made again")

    @claim
    async def test_threads_may_ask_at_the_same_time(self) -> None:
        """Threads may ask for schemas at the same time, and decode with one of them."""
        schemas = self.schemas()

        async def work() -> tuple[object, ...]:
            """Decode with a schema of a class and with one of a list."""
            return (schemas.schema_for(Item).decode(_ITEM), schemas.schema_for(list[int]).decode('{"value": [1]}'))

        same(set(map(repr, await in_threads(_THREADS, work))), {repr((Item("pen", 2), [1]))}, "what they decoded")

    @claim
    async def test_a_type_without_a_schema_is_refused(self) -> None:
        """A type that has no JSON Schema raises LLMValidationError, whose message names the part."""
        error = await raised(LLMValidationError, _asking(self.schemas(), threading.Event))
        expect("Event" in str(error), f"the message does not name the type: {error}")


def _both(schemas: IOutputSchemas, either: TypeForm[int | str]) -> IOutputSchema[int | str]:
    return schemas.schema_for(either)


def _properties(schema: IOutputSchema[object]) -> Sequence[str]:
    properties = schema.schema.get("properties")
    return list(properties) if isinstance(properties, dict) else []


async def _decoding(schema: IOutputSchema[object], text: str) -> object:
    return schema.decode(text)


async def _asking(schemas: IOutputSchemas, output: TypeForm[object]) -> object:
    return schemas.schema_for(output)
