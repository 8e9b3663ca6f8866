"""Names of models tell how a model wants to be asked."""

from __future__ import annotations

import pytest

from loomwire.infrastructure.providers.anthropic.families import knows_format, thinks_by_budget


@pytest.mark.parametrize(
    ("model", "by_budget", "has_format"),
    [
        ("claude-2.1", True, False),
        ("claude-instant-1.2", True, False),
        ("claude-3-5-sonnet-20240620", True, False),
        ("claude-3-7-sonnet-latest", True, False),
        ("claude-sonnet-4-0", True, False),
        ("claude-opus-4-20250514", True, False),
        ("anthropic.claude-opus-4-20250514-v1:0", True, False),
        ("claude-opus-4-1-20250805", True, True),
        ("claude-sonnet-4-5-20250929", True, True),
        ("claude-haiku-4-5", True, True),
        ("anthropic/claude-sonnet-4.5", True, True),
        ("claude-opus-4-6", False, True),
        ("claude-sonnet-4.6", False, True),
        ("claude-opus-4-10", False, True),
        ("claude-opus-5", False, True),
        ("claude-fable-5", False, True),
        ("something-else", False, True),
    ],
)
def test_a_claude_up_to_4_5_has_a_budget_and_one_before_4_1_no_format(
    model: str, by_budget: bool, has_format: bool
) -> None:
    assert (thinks_by_budget(model), knows_format(model)) == (by_budget, has_format)
