"""The ways in which servers of Cohere's chat may differ. Data only: the provider table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire.infrastructure.providers.quirks import Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class CohereQuirks(Quirks):
    """How one server's chat v2 differs from Cohere's own.

    Args:
        schema: The field of `response_format` that holds a JSON Schema. Cohere's API definition says `json_schema`, the
            examples of its pages say `schema`.
        stop_limit: How many stop texts it takes.
        image_detail: Pictures may say how closely to look.
        thinking: Thinking can be switched on and off.
    """

    schema: str = "json_schema"
    stop_limit: int = 5
    image_detail: bool = True
    thinking: bool = True
