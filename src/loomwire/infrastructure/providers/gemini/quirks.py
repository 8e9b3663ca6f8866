"""The ways in which Gemini's hosts differ. Data only: the provider table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.quirks import Quirks

Thinking: TypeAlias = Literal["auto", "budget", "level", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeminiQuirks(Quirks):
    """How one host's generateContent differs from that of the Gemini API.

    Args:
        models: What stands in the path before a bare model name.
        tool_schema: The field of a tool's parameters; `parameters` is OpenAPI's subset of JSON Schema.
        output_schema: The field of the answer's schema that is tried first; the other one is taken when only it can
            say what the schema says.
        thinking: How an effort is told: a `budget` of tokens (Gemini 2), a `level` (Gemini 3 on), or by the model's
            name.
        include_thoughts: Ask for the readable thinking when an effort is asked for.
        call_ids: Tool calls and results may carry ids.
        url_types: A picture's address must come with its type.
        skip_signatures: Calls of other vendors in the history may say that they have no signature, where one is
            demanded (Gemini 3 on).
    """

    models: str = "models"
    tool_schema: Literal["parametersJsonSchema", "parameters"] = "parametersJsonSchema"
    output_schema: Literal["responseJsonSchema", "responseSchema"] = "responseJsonSchema"
    thinking: Thinking = "auto"
    include_thoughts: bool = True
    call_ids: bool = True
    url_types: bool = False
    skip_signatures: bool = True
