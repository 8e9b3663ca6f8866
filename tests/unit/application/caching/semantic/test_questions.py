"""Only a short text of one line, said last by the user, is a question that can be compared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loomwire.application.caching.semantic.questions import MAX_CHARACTERS, question_of, without_question
from loomwire.domain.messages import Image, Message, Text, ToolResult
from loomwire.domain.requests import LLMRequest

PIXEL = Image(b"png")


def test_the_question_is_what_the_user_said_last() -> None:
    asks = LLMRequest.of(Message.user("first"), Message.assistant("yes"), Message.user(" Why? "), system="Be brief.")
    assert question_of(asks) == " Why? "


@pytest.mark.parametrize(
    "last",
    [
        Message.user("What is this?", PIXEL),
        Message.user(PIXEL),
        Message.user("What ", "is it?"),
        Message.user("  "),
        Message.user("x" * (MAX_CHARACTERS + 1)),
        Message.user("Correct this:\n1. one"),
        Message.user("tab\there"),
        Message.user("lone \ud800"),
        Message.user("left\u202eright"),
        Message.assistant("Well,"),
        Message.system("Be brief."),
        Message.tool(ToolResult("1", "42")),
    ],
)
def test_anything_else_is_no_question(last: Message) -> None:
    assert question_of(LLMRequest.of(Message.user("earlier"), last)) is None


def test_what_is_around_a_question_is_everything_but_its_words() -> None:
    asks = LLMRequest.of("What is it?", system="Be brief.")
    bare = without_question(asks)
    assert bare == without_question(LLMRequest.of("Another one", system="Be brief."))
    assert bare.messages[0] == asks.messages[0]
    named = replace(asks, messages=(Message("user", (Text("What is it?"),), name="Ann"),))
    assert without_question(named).messages[0].name == "Ann"
