"""The ways in which vendors of the Responses dialect differ. Data only: the table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.quirks import Quirks

OutputField: TypeAlias = Literal["text", "response_format"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesQuirks(Quirks):
    """How one vendor's Responses API differs from OpenAI's. What a vendor does not know is left out of the body.

    Args:
        store: `store: false` may be sent, so that the server keeps nothing.
        encrypted_reasoning: Thinking comes encrypted when `include` asks for it, and only then goes back; else it comes
            as plain text and goes back as that.
        plain_models: Beginnings of the names of models that do not think and refuse to be asked for encrypted thinking.
        system_role: The role of instructions.
        said_in_parts: The assistant's own words go back as a list of output parts, not as a text.
        image_detail: Pictures may say how closely to look.
        seed: A seed may be sent.
        penalties: Presence and frequency penalty may be sent.
        stop_limit: How many stop texts it takes.
        named_tool: One tool can be forced by name; else that tool is the only one sent, and required.
        strict_tools: Tools say whether to be kept to strictly. OpenAI does so unless told otherwise.
        strict_subset: What is held to strictly must be in OpenAI's subset of JSON Schema; else any schema is sent.
        output_field: Where the shape of the answer stands; `response_format` is the form of chat completions.
        json_object: Answers can be held to any JSON object; else an open schema says the same.
        reasoning_effort: The effort may be sent.
    """

    store: bool = True
    encrypted_reasoning: bool = True
    plain_models: tuple[str, ...] = ("gpt-3.5", "gpt-4", "gpt-5-chat", "chatgpt-")
    system_role: str = "system"
    said_in_parts: bool = False
    image_detail: bool = True
    seed: bool = False
    penalties: bool = False
    stop_limit: int = 0
    named_tool: bool = True
    strict_tools: bool = True
    strict_subset: bool = False
    output_field: OutputField = "text"
    json_object: bool = True
    reasoning_effort: bool = True


OPENAI_RESPONSES = ResponsesQuirks(strict_subset=True)

# Recorded with the role developer (azure-openai-responses-text-a5ec6f).
AZURE_RESPONSES = ResponsesQuirks(strict_subset=True, system_role="developer")

# It refuses encrypted thinking, and of the formats of an answer it reads schemas only (its protocol.py of 2026).
VLLM_RESPONSES = ResponsesQuirks(encrypted_reasoning=False, seed=True, json_object=False)

# As in its chat completions, the form of a forced tool is a word, and JSON needs a schema.
LM_STUDIO_RESPONSES = ResponsesQuirks(encrypted_reasoning=False, named_tool=False, json_object=False)

# It reads no `text`, takes what it does not know for a field of chat completions, and the assistant's words only in
# parts (2026.10; tests/llama).
LLAMACPP_RESPONSES = ResponsesQuirks(
    encrypted_reasoning=False,
    said_in_parts=True,
    seed=True,
    penalties=True,
    stop_limit=16,
    named_tool=False,
    output_field="response_format",
)
