from __future__ import annotations

from collections.abc import Mapping

import pytest

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.rule_checks import check_rules


def remarks(rules: JSON) -> list[str]:
    """Return the problems of rules, each as `path: what`."""
    return [f"{'.'.join(map(str, path))}: {what}" for path, what in check_rules(rules)]


BAD: Mapping[str, tuple[JSON, list[str]]] = {
    "no list": ({"when": "a"}, [": must be a list of at least one rule"]),
    "empty": ([], [": must be a list of at least one rule"]),
    "nothing": (None, [": must be a list of at least one rule"]),
    "a rule that is text": (["hi"], ["0: must be an object with when, model"]),
    "unknown key": ([{"wen": "a", "when": "a", "answer": "b"}], ["0.wen: unknown key; did you mean `when`?"]),
    "no answer": ([{"when": "a"}], ["0: has no answer: give one of answer, tool_call"]),
    "two answers": (
        [{"when": "a", "answer": "b", "json": "auto", "error": "dns"}],
        ["0.json: is a second answer beside `answer`", "0.error: is a second answer beside `answer`"],
    ),
    "no condition": ([{"answer": "b"}], ["0: needs one of when, model, has_tool, after_tool, or `default: true`"]),
    "default with a condition": ([{"default": True, "when": "a", "answer": ""}], ["0.when: cannot stand beside"]),
    "default: false": ([{"default": False, "answer": ""}], ["0.default: must be true, or left out"]),
    "default too early": (
        [{"default": True, "answer": ""}, {"when": "a", "answer": ""}],
        ["0.default: must be the last rule"],
    ),
    "pattern that is no text": ([{"when": 1, "answer": ""}], ["0.when: must be a regular expression as text"]),
    "pattern": ([{"when": "a(", "answer": r"\3"}], ["0.when: is no regular expression: missing ), unterminated"]),
    "huge repetition": ([{"when": "a{99999999999}", "answer": ""}], ["0.when: is no regular expression: the repet"]),
    "missing group": ([{"when": "(a)", "answer": r"\2"}], [r"0.answer: uses \2, but `when` has 1 groups"]),
    "no groups": ([{"model": "a", "json": {"a": [r"x\1"]}}], [r"0.json: uses \1, but `when` has no groups"]),
    "json": ([{"when": "a", "json": "automatic"}], ["0.json: must be an object, or the word auto"]),
    "json list": ([{"when": "a", "json": [1]}], ["0.json: must be an object, or the word auto"]),
    "error": ([{"when": "a", "error": "oops"}], ["0.error: must be one of dns"]),
    "finish of an error": ([{"when": "a", "error": "dns", "finish": "stop"}], ["0.finish: cannot stand beside"]),
    "tool call": (
        [{"when": "a", "tool_call": {"nam": "x"}}],
        ["0.tool_call: needs `name`", "0.tool_call.nam: unknown"],
    ),
    "tool calls": ([{"when": "a", "tool_calls": [{}]}], ["0.tool_calls.0: needs `name`"]),
    "flag": ([{"after_tool": 1, "answer": ""}], ["0.after_tool: must be true or false"]),
    "delay": ([{"when": "a", "answer": "", "delay_s": "1"}], ["0.delay_s: must be a number of seconds"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_problem_of_the_rules_is_named_with_its_place(case: str) -> None:
    rules, expected = BAD[case]
    found = remarks(rules)
    assert len(found) == len(expected), found
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


def test_rules_in_order_have_no_problem() -> None:
    rules: list[JSON] = [
        {
            "when": "(a)",
            "model": "m",
            "has_tool": "t",
            "after_tool": False,
            "answer": r"\1",
            "delay_s": 0,
            "finish": "stop",
        },
        {"when": "b", "tool_calls": [{"name": "t", "arguments": {}}]},
        {"default": True, "json": {"a": r"\0"}, "reasoning": "hm"},
    ]
    assert remarks(rules) == []
