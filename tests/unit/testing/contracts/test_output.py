"""The output schemas' contract notices every broken promise."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ClassVar, TypeVar

import pytest
from typing_extensions import TypeForm, override

from loomwire.domain.errors import LLMError, OutputInvalidError
from loomwire.domain.ports.output import IOutputSchema, IOutputSchemas
from loomwire.domain.values import JSONObject
from loomwire.infrastructure.outputs.pydantic_schemas import PydanticOutputSchemas
from loomwire.testing.contracts.contract import Contract
from loomwire.testing.contracts.output import Order, OutputSchemasContract

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Schema(IOutputSchema[T_co]):
    """A schema that keeps its promises; the others break one each."""

    def __init__(self, inner: IOutputSchema[T_co]) -> None:
        self.inner = inner

    @property
    @override
    def name(self) -> str:
        return self.inner.name

    @property
    @override
    def schema(self) -> JSONObject:
        return self.inner.schema

    @override
    def decode(self, text: str) -> T_co:
        return self.inner.decode(text)


class Schemas(IOutputSchemas):
    """A maker that keeps its promises; the others break one each."""

    def __init__(self) -> None:
        self.inner = PydanticOutputSchemas()

    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return self.inner.schema_for(output)


class Flat(Schema[T_co]):
    @override
    def decode(self, text: str) -> T_co:
        if text.count("{") > 1:
            raise OutputInvalidError("nested objects are not decoded", problems=["$: nested"], text=text)
        return self.inner.decode(text)


class Dropping(Schemas):
    """Decodes nothing with more than one brace."""

    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Flat(super().schema_for(output))


class Bare(Schema[T_co]):
    @property
    @override
    def schema(self) -> JSONObject:
        return {"type": "array"} if "value" in str(self.inner.schema) else self.inner.schema

    @override
    def decode(self, text: str) -> T_co:
        return self.inner.decode(text.replace('{"value"', '{"values"'))


class Unwrapped(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Bare(super().schema_for(output))


class Long(Schema[T_co]):
    @property
    @override
    def name(self) -> str:
        return self.inner.name * 20


class LongNames(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Long(super().schema_for(output))


class Strict(Schema[T_co]):
    @override
    def decode(self, text: str) -> T_co:
        if text[:1] != "{":
            raise OutputInvalidError("text around JSON", problems=["$: text"], text=text)
        return self.inner.decode(text)


class Pedantic(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Strict(super().schema_for(output))


class Raw(Schema[T_co]):
    @override
    def decode(self, text: str) -> T_co:
        try:
            return self.inner.decode(text)
        except LLMError:
            raise ValueError("no") from None


class RaisesOfItsOwn(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Raw(super().schema_for(output))


class Quoting(Schema[T_co]):
    @override
    def decode(self, text: str) -> T_co:
        try:
            return self.inner.decode(text)
        except OutputInvalidError:
            raise OutputInvalidError("misfit", problems=[f"$: {text}"], text=text) from None


class QuotesTheAnswer(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Quoting(super().schema_for(output))


class Vague(Schema[T_co]):
    @override
    def decode(self, text: str) -> T_co:
        try:
            return self.inner.decode(text)
        except OutputInvalidError:
            raise OutputInvalidError("misfit", problems=["$: wrong"], text=text) from None


class SaysNotWhere(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return Vague(super().schema_for(output))


class Forgets(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        return PydanticOutputSchemas().schema_for(output)


class OneThreadOnly(Schemas):
    def __init__(self) -> None:
        super().__init__()
        self.home = threading.get_ident()

    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        if threading.get_ident() != self.home:
            raise RuntimeError("another thread")
        return super().schema_for(output)


class TakesTypeErrors(Schemas):
    @override
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        try:
            return super().schema_for(output)
        except LLMError:
            raise TypeError("no schema") from None


@pytest.fixture(autouse=True, scope="module")
def imported() -> None:
    """Let pydantic import what it needs, which blocks, before there is a loop."""
    PydanticOutputSchemas().schema_for(Order)


class Suite(OutputSchemasContract):
    patience_s: ClassVar[float] = 5.0

    def __init__(self, broken: type[Schemas]) -> None:
        self.broken = broken

    @override
    def schemas(self) -> IOutputSchemas:
        return self.broken()


BROKEN: list[tuple[str, type[Schemas], str]] = [
    ("objects_are_decoded", Dropping, "nested objects are not decoded"),
    ("other_types_are_wrapped_in_an_object", Unwrapped, "OutputInvalidError"),
    ("every_schema_is_an_object_in_json", Unwrapped, "is 'array' and not 'object'"),
    ("every_schema_is_an_object_in_json", LongNames, "the name is"),
    ("fences_and_sentences_around_json_are_passed_over", Pedantic, "text around JSON"),
    ("what_does_not_fit_is_a_typed_error_without_values", RaisesOfItsOwn, "ValueError in place of OutputInvalid"),
    ("what_does_not_fit_is_a_typed_error_without_values", QuotesTheAnswer, "it shows a value of the answer"),
    ("a_problem_says_where", SaysNotWhere, "name no `count`"),
    ("schemas_are_kept", Forgets, "the schema was made again"),
    ("threads_may_ask_at_the_same_time", OneThreadOnly, "RuntimeError: another thread"),
    ("a_type_without_a_schema_is_refused", TakesTypeErrors, "TypeError in place of LLMValidationError"),
]


@pytest.mark.parametrize(("claim", "broken", "seen"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_broken_promise_is_noticed(
    claim: str, broken: type[Schemas], seen: str, breach: Callable[[Contract, str], str]
) -> None:
    assert seen in breach(Suite(broken), f"test_{claim}")


def test_every_claim_of_the_contract_is_proved_to_fail() -> None:
    claims = {name.removeprefix("test_") for name in dir(OutputSchemasContract) if name.startswith("test_")}
    assert claims == {claim for claim, _, _ in BROKEN}
