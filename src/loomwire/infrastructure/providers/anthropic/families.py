"""What the names of Claude models tell of how they want to be asked."""

from __future__ import annotations

import re

# Up to 4.5; the listing of 2026 (anthropic-models-models-list-44b182) says enabled for these and adaptive from 4.6 on.
_BUDGETED = re.compile(r"claude-(?:instant|[1-3]\b|(?:opus|sonnet|haiku)-4(?:[-.][0-5](?!\d))?(?![-.]\d{1,2}(?!\d)))")
# Before Opus 4.1, the oldest model that the listing calls able.
_FORMLESS = re.compile(r"claude-(?:instant|[1-3]\b|(?:opus|sonnet)-4(?:[-.]0(?!\d))?(?![-.]\d{1,2}(?!\d)))")


def thinks_by_budget(model: str) -> bool:
    """Tell whether a model takes a budget of thinking tokens; newer ones, and unknown names, decide themselves."""
    return _BUDGETED.search(model) is not None


def knows_format(model: str) -> bool:
    """Tell whether a model can be held to a JSON Schema by `output_config.format`; unknown names can."""
    return _FORMLESS.search(model) is None
