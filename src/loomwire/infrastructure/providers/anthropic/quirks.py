"""The ways in which vendors of the messages dialect differ. Data only: the table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.quirks import Quirks

Thinking: TypeAlias = Literal["by_model", "budget", "adaptive", "budget_and_effort", "no"]
JSONForm: TypeAlias = Literal["by_model", "format", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnthropicQuirks(Quirks):
    """How one vendor's messages differ from Anthropic's. What a vendor does not know is left out of the body.

    Args:
        version: What the header `anthropic-version` says.
        max_tokens: The bound of the output when nobody names one, because the field is mandatory. A thinking budget is
            added to it. Every Claude since 2024 can say so much.
        hottest: The highest temperature it takes.
        thinking: How the reasoning effort is said; `by_model` knows which Claude wants which.
        signed_thinking: Thinking without a signature, as others' servers say it, does not go back: it is refused.
        json_form: How an answer is held to a schema: `format` is `output_config.format`, which knows a part of JSON
            Schema and refuses the rest; `tool` must be called, sees the whole schema and is held to none of it;
            `by_model` takes the first where model and schema allow it.
        named_tool: One tool can be forced by name; else that tool is the only one sent, and some tool required.
        strict_tools: Tools may ask to be kept to strictly.
        cache_points: It wants to be told what is worth keeping in its prompt cache.
        most_cache_points: How many such places it takes.
        system_inside: Instructions in mid-conversation stay where they are, as Claude allows since Opus 4.8; else they
            join the instructions at the beginning.
    """

    version: str = "2023-06-01"
    max_tokens: int = 4096
    hottest: float = 1.0
    thinking: Thinking = "by_model"
    signed_thinking: bool = False
    json_form: JSONForm = "by_model"
    named_tool: bool = True
    strict_tools: bool = True
    cache_points: bool = True
    most_cache_points: int = 4
    system_inside: bool = False


LOCAL_MESSAGES = AnthropicQuirks(
    hottest=2.0, thinking="budget", json_form="tool", named_tool=False, strict_tools=False, cache_points=False
)
"""vLLM, LM Studio and llama.cpp: of the newer fields they know none, and llama.cpp (2026.10) reads a tool_choice that
names a tool as "any"."""

DEEPSEEK_MESSAGES = AnthropicQuirks(
    hottest=2.0, thinking="budget_and_effort", json_form="tool", strict_tools=False, cache_points=False
)
"""It ignores the budget and reads the effort; of `output_config` it knows nothing else."""

ROUTED_MESSAGES = AnthropicQuirks(hottest=2.0, thinking="budget", json_form="tool")
"""OpenRouter: other vendors' models stand behind it, and a budget is what it translates for all of them."""
