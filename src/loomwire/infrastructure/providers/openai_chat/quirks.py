"""The ways in which vendors of the chat dialect differ. Data only: the provider table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.quirks import Quirks

ReasoningBack: TypeAlias = Literal["no", "reasoning", "reasoning_content", "reasoning_details", "thinking_parts"]
ReasoningEffortField: TypeAlias = Literal["no", "reasoning_effort", "reasoning.effort"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatQuirks(Quirks):
    """How one vendor's chat completions differ from OpenAI's. What a vendor does not know is left out of the body.

    Args:
        deployments: The model is a deployment of Azure: a dated `api_version` of the configuration puts it into the
            path; else the v1 API is asked, and the body names it.
        api_version: Said in the query as `api-version`, unless the configuration says another; None for nothing.
        pass_through: Fields that Azure's inference API does not know go on to the model when a header asks for it.
        max_tokens: The field that bounds the output.
        stream_usage: `stream_options.include_usage` may be sent.
        seed: The field of the seed; None when there is none.
        stop_limit: How many stop texts it takes.
        system_role: The role of instructions.
        speaker_names: Messages may carry the speaker's name.
        content_parts: Content may be a list of parts; else texts are joined and pictures refused.
        image_detail: Pictures may say how closely to look.
        required: Its word for "must call a tool".
        named_tool: One tool can be forced by name; else that tool is the only one sent, and required.
        strict_tools: Tools may ask to be kept to strictly.
        tool_names: Tool results carry the tool's name.
        short_call_ids: Ids of tool calls must be nine letters and digits; others are replaced, alike everywhere.
        limited_call_ids: Ids of tool calls may have 40 characters at most; longer ones are replaced, alike everywhere.
        call_extras: `extra_content` of a tool call goes back with it.
        json_schema: Answers can be held to a JSON Schema.
        strict_subset: What is held to strictly must be in OpenAI's subset of JSON Schema; else any schema is sent.
        json_object: Answers can be held to any JSON object; else an open schema says the same.
        cache_points: It wants to be told where what is worth caching ends.
        reasoning_effort: The field of the reasoning effort.
        reasoning_back: The form in which thinking goes back in the history.
        reasoning_beside: Reasoning tokens stand beside the completion tokens, not inside.
    """

    deployments: bool = False
    api_version: str | None = None
    pass_through: bool = False
    max_tokens: str = "max_tokens"
    stream_usage: bool = True
    seed: str | None = "seed"
    stop_limit: int = 16
    system_role: str = "system"
    speaker_names: bool = True
    content_parts: bool = True
    image_detail: bool = True
    required: str = "required"
    named_tool: bool = True
    strict_tools: bool = True
    tool_names: bool = False
    short_call_ids: bool = False
    limited_call_ids: bool = False
    call_extras: bool = False
    json_schema: bool = True
    strict_subset: bool = False
    json_object: bool = True
    cache_points: bool = False
    reasoning_effort: ReasoningEffortField = "reasoning_effort"
    reasoning_back: ReasoningBack = "no"
    reasoning_beside: bool = False
