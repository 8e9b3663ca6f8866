"""The ways in which models behind Bedrock's Converse differ. Data only: the provider table is read without the dialect.

What a model takes is told by its name; of an inference profile the name may say nothing, so that it can be told here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from loomwire.infrastructure.providers.quirks import Quirks

Thinking: TypeAlias = Literal["by_model", "claude_budget", "claude_adaptive", "nova", "effort", "no"]
JSONForm: TypeAlias = Literal["by_model", "format", "tool"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BedrockQuirks(Quirks):
    """How a server of Converse, or the models it is asked for, differ from what their names say.

    Args:
        hottest: The highest temperature it takes.
        thinking: How the reasoning effort is said.
        json_form: How an answer is held to a schema: `format` is `outputConfig.textFormat`, which knows a part of JSON
            Schema and refuses the rest; `tool` must be called, sees the whole schema and is held to none of it;
            `by_model` takes the first where model and schema allow it.
        strict_tools: Tools may ask to be kept to strictly, where the model knows `format`.
        cache_points: It wants to be told what is worth keeping in its prompt cache.
        most_cache_points: How many such places it takes.
        thinking_back: Thinking goes back in the next turn; models of DeepSeek refuse that.
    """

    hottest: float = 1.0
    thinking: Thinking = "by_model"
    json_form: JSONForm = "by_model"
    strict_tools: bool = True
    cache_points: bool = True
    most_cache_points: int = 4
    thinking_back: bool = True
