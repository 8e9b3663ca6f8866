"""What a server says is shown without the prompt, in time linear in both."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import llm_error
from loomwire.domain.messages import Message, ToolResult
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.wire.words import (
    MOST_COMPARED,
    SHARED_RUN,
    conceal_prompt,
    without_quotes,
)

FEW = st.text(alphabet="ab", max_size=90)


@given(FEW, st.lists(st.tuples(FEW, st.integers(0, 60), st.integers(20, 60), FEW), max_size=3))
def test_no_long_run_of_the_texts_is_left_and_nothing_else_is_lost(
    words: str, around: list[tuple[str, int, int, str]]
) -> None:
    texts = [before + words[at : at + size] + after for before, at, size, after in around]
    shown = without_quotes(words, texts)
    marks = [False] * len(words)
    for at in range(len(words) - SHARED_RUN + 1):
        if any(words[at : at + SHARED_RUN] in text for text in texts):
            marks[at : at + SHARED_RUN] = [True] * SHARED_RUN
    assert shown.replace("[prompt]", "") == "".join(c for c, mark in zip(words, marks, strict=True) if not mark)
    assert ("[prompt]" in shown) is any(marks)


def test_every_text_of_a_request_counts() -> None:
    secrets = [f"the {word} secret of the long request" for word in ("first", "second", "third", "fourth")]
    request = LLMRequest(
        (
            Message.system(secrets[0]),
            Message.assistant(tool_calls=[ToolCall("c", "f", {"a": [secrets[1]]})]),
            Message.tool(ToolResult("c", secrets[2]), ToolResult("d", {"b": {"c": secrets[3]}})),
        )
    )
    error = llm_error("server", "x", provider_message=" / ".join(secrets), provider_code=secrets[0])
    conceal_prompt(error, request)
    assert error.provider_message == "[prompt] / [prompt] / [prompt] / [prompt]"
    assert error.provider_code == "[prompt]"


def test_an_error_without_words_stays_as_it_is() -> None:
    error = llm_error("server", "x", provider_message="short")
    conceal_prompt(error, LLMRequest.of("short"))
    assert (error.provider_message, error.provider_code) == ("short", None)


@pytest.mark.parametrize("text", ["ab" * 2_000_000, "lorem ipsum dolor sit amet " * 150_000])
def test_a_prompt_of_megabytes_is_searched_quickly(text: str) -> None:
    start = time.perf_counter()
    shown = without_quotes("a" * 250 + "lorem ipsum dolor sit amet lorem " + "b" * 217, [text])
    assert time.perf_counter() - start < 1
    assert shown.startswith("a" * 200)


def test_the_words_about_a_prompt_that_is_too_large_to_search_are_not_shown() -> None:
    assert without_quotes("w" * SHARED_RUN, ["x" * (MOST_COMPARED + 1)]) == "[prompt]"
