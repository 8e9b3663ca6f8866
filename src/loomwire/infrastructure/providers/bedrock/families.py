"""What the names of models behind Bedrock tell of how they want to be asked."""

from __future__ import annotations

import re

from loomwire.infrastructure.providers.anthropic import families as claude
from loomwire.infrastructure.providers.bedrock.quirks import Thinking

# Of AWS's page on structured outputs; Claude from 4.5 on, which `_LATE_CLAUDE` tells.
_FORMED = re.compile(
    r"qwen3|gpt-oss|deepseek\.v3|ministral|magistral|voxtral|mistral-large-3|gemma-3|nemotron|minimax|kimi"
)
_LATE_CLAUDE = re.compile(r"claude-(?:opus|sonnet|haiku)-4-(?:[5-9]|\d\d)(?!\d)|claude-[a-z]+-[5-9](?!\d)")


def thinking_of(model: str) -> Thinking:
    """Return how a model is told how much to think; `no` when its name says nothing of it."""
    if "claude" in model:
        return "claude_budget" if claude.thinks_by_budget(model) else "claude_adaptive"
    if "nova-2" in model:
        return "nova"
    return "effort" if "gpt-oss" in model else "no"


def knows_format(model: str) -> bool:
    """Tell whether a model can be held to a JSON Schema by `outputConfig.textFormat`; unknown names cannot."""
    return (_LATE_CLAUDE if "claude" in model else _FORMED).search(model) is not None


def takes_thinking_back(model: str) -> bool:
    """Tell whether a model takes its thinking back in the next turn."""
    return "deepseek" not in model
