"""The port for typed output: a type becomes a JSON Schema, an answer's text becomes the type."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol, TypeVar

from typing_extensions import TypeForm

from loomwire.domain.values import JSONObject

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class IOutputSchema(Protocol[T_co]):
    """One output type. Immutable, safe to share."""

    @property
    @abstractmethod
    def name(self) -> str:
        """A name for the provider: letters, digits and `_`, at most 64."""

    @property
    @abstractmethod
    def schema(self) -> JSONObject:
        """The JSON Schema of an OBJECT: other types are wrapped as `{"value": ...}`, because vendors want objects."""

    @abstractmethod
    def decode(self, text: str) -> T_co:
        """Return the object that the text describes.

        Args:
            text: JSON, possibly inside a Markdown fence or between sentences; wrapped as `schema` says.

        Raises:
            OutputInvalidError: It does not fit; `problems` say where, without the values.
        """


class IOutputSchemas(Protocol):
    """Makes output schemas."""

    @abstractmethod
    def schema_for(self, output: TypeForm[T]) -> IOutputSchema[T]:
        """Return the schema of a type: pydantic models, dataclasses, TypedDicts, lists, unions, scalars.

        Results are kept, so asking again is cheap. Safe from any thread.

        Raises:
            LLMValidationError: The type has no JSON Schema; the message says which part.
        """
