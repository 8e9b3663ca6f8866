"""Names of models lead to the entry that is about them, and never to more than that entry proves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.catalogue.families import Match, always_searches, matched

KNOWN = (
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4o-2024-05-13",
    "gpt-5",
    "gpt-5-codex",
    "claude-opus-4-1-20250805",
    "claude-opus-4-1-20250601",
    "claude-3-5-haiku@20241022",
    "gemini-2.5-flash",
    "openai/gpt-4o",
    "anthropic.claude-opus-4-1-20250805-v1:0",
)
NAMES = st.text("abcdefgo450-:@./", max_size=24)


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("gpt-4o", Match("gpt-4o", "exact")),
        ("gpt-4o-2024-05-13", Match("gpt-4o-2024-05-13", "exact")),
        ("GPT-4o", Match("gpt-4o", "alias")),
        ("models/gemini-2.5-flash", Match("gemini-2.5-flash", "alias")),
        ("publishers/google/models/gemini-2.5-flash", Match("gemini-2.5-flash", "alias")),
        ("claude-opus-4-1@20250805", Match("claude-opus-4-1-20250805", "alias")),
        ("claude-3-5-haiku-20241022", Match("claude-3-5-haiku@20241022", "alias")),
        ("gpt-4o-2031-01-01", Match("gpt-4o", "dated")),
        ("gpt-4o-20310101", Match("gpt-4o", "dated")),
        ("gpt-4o-latest", Match("gpt-4o", "dated")),
        ("claude-opus-4-1", Match("claude-opus-4-1-20250805", "dated")),
        ("claude-opus-4-1-latest", Match("claude-opus-4-1-20250805", "dated")),
        ("openai/gpt-4o:free", Match("openai/gpt-4o", "dated")),
        ("us.anthropic.claude-opus-4-1-20250805-v1:0", Match("anthropic.claude-opus-4-1-20250805-v1:0", "dated")),
        ("ft:gpt-4o-mini-2024-07-18:acme::abc", Match("gpt-4o-mini", "tuned")),
        ("gpt-5-codex-max", Match("gpt-5-codex", "begins")),
        ("gpt-5-mini-2031-01-01", Match("gpt-5", "begins")),
        ("ft:gpt-5-codex-max:acme", None),
        ("ft:", None),
        ("gpt-50", None),
        ("zork", None),
        ("", None),
    ],
)
def test_a_name_leads_to_the_strongest_entry(name: str, match: Match | None) -> None:
    assert matched(KNOWN, name) == match


@given(name=NAMES, known=st.lists(NAMES, max_size=6, unique=True))
def test_any_name_gives_a_known_entry_or_none(name: str, known: list[str]) -> None:
    match = matched(known, name)
    assert match is None or match.id in known
    if name in known:
        assert match == Match(name, "exact")


def test_the_rule_is_told_in_words() -> None:
    rules = [Match("m", kind).rule for kind in ("exact", "alias", "dated", "tuned", "begins")]
    assert rules == ["exact", "alias of m", "family of m", "fine-tuned from m", "begins like m"]


@pytest.mark.parametrize(
    ("model", "searches"),
    [
        ("gpt-4o-search-preview", True),
        ("gpt-4o-mini-search-preview-2025-03-11", True),
        ("openai/gpt-5-search-api", True),
        ("perplexity/sonar-pro-search", True),
        ("o3-deep-research", True),
        ("openai/o4-mini-deep-research:nitro", True),
        ("sonar", True),
        ("perplexity/sonar-reasoning-pro", True),
        ("llama-3.1-sonar-large-128k-online", True),
        ("r1-1776", False),
        ("sonarqube-1", False),
        ("relace/relace-search", False),
        ("research-1", False),
        ("gpt-4o", False),
    ],
)
def test_a_name_tells_what_searches_in_every_call(model: str, searches: bool) -> None:
    assert always_searches(model) is searches
