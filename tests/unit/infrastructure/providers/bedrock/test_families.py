"""Names of models behind Bedrock tell how they want to be asked."""

from __future__ import annotations

import pytest

from loomwire.infrastructure.providers.bedrock.families import knows_format, takes_thinking_back, thinking_of


@pytest.mark.parametrize(
    ("model", "thinking", "form"),
    [
        ("anthropic.claude-instant-v1", "claude_budget", False),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "claude_budget", False),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", "claude_budget", False),
        ("anthropic.claude-opus-4-1-20250805-v1:0", "claude_budget", False),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude_budget", True),
        ("us.anthropic.claude-sonnet-4-6", "claude_adaptive", True),
        ("global.anthropic.claude-opus-5", "claude_adaptive", True),
        ("amazon.titan-text-lite-v1", "no", False),
        ("us.amazon.nova-lite-v1:0", "no", False),
        ("us.amazon.nova-2-lite-v1:0", "nova", False),
        ("openai.gpt-oss-120b-1:0", "effort", True),
        ("qwen.qwen3-32b-v1:0", "no", True),
        ("deepseek.v3-v1:0", "no", True),
        ("us.deepseek.r1-v1:0", "no", False),
        ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", "no", False),
    ],
)
def test_a_name_tells_of_thinking_and_of_formats(model: str, thinking: str, form: bool) -> None:
    assert (thinking_of(model), knows_format(model)) == (thinking, form)


def test_only_deepseek_refuses_its_own_thinking() -> None:
    assert not takes_thinking_back("us.deepseek.r1-v1:0")
    assert takes_thinking_back("anthropic.claude-v2")
