from __future__ import annotations

from collections.abc import Mapping

import pytest

from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.scripts import check_script


def remarks(script: JSON) -> list[str]:
    """Return the problems of a script, each as `path: what`."""
    return [f"{'.'.join(map(str, path))}: {said}" for path, said in check_script(script)]


BAD: Mapping[str, tuple[JSON, list[str]]] = {
    "no list": ("text", [": must be a list of at least one entry"]),
    "empty": ([], [": must be a list of at least one entry"]),
    "an entry that is text": (["hi"], ["0: must be an object with reasoning"]),
    "nothing said": ([{"delay_s": 1}], ["0: says nothing: give `text`, `tool_calls` or `error`"]),
    "number for text": ([{"text": 1}], ["0.text: must be a text"]),
    "negative delay": ([{"text": "", "delay_s": -1}], ["0.delay_s: must be a number of seconds, at least 0"]),
    "endless delay": ([{"text": "", "delay_s": float("inf")}], ["0.delay_s: must be a number of seconds"]),
    "delay that is no number": ([{"text": "", "delay_s": float("nan")}], ["0.delay_s: must be a number"]),
    "true for a delay": ([{"text": "", "delay_s": True}], ["0.delay_s: must be a number of seconds, at least 0"]),
    "half a character": ([{"text": "", "cut_after": 1.5}], ["0.cut_after: must be a whole number, at least 0"]),
    "status": ([{"error": "server", "status": 99}], ["0.status: must be an HTTP status, 100 to 599"]),
    "finish": ([{"text": "", "finish": "done"}], ["0.finish: must be one of stop, length"]),
    "repeat": ([{"text": "", "repeat": "yes"}], ["0.repeat: must be true or false"]),
    "repeat too early": ([{"text": "", "repeat": True}, {"text": ""}], ["0.repeat: only the last entry"]),
    "unknown reason": ([{"error": "throttle"}], ["0.error: must be one of dns"]),
    "reason of a configuration": ([{"error": "not_yaml"}], ["0.error: must be one of dns"]),
    "a list for a reason": ([{"error": ["dns"]}], ["0.error: must be one of dns"]),
    "text beside error": ([{"error": "dns", "text": ""}], ["0.text: cannot stand beside `error`"]),
    "retry_after without error": ([{"text": "", "retry_after": 1}], ["0.retry_after: needs `error` beside it"]),
    "no calls": ([{"tool_calls": []}], ["0.tool_calls: must be a list of at least one tool call"]),
    "calls as text": ([{"tool_calls": "a"}], ["0.tool_calls: must be a list of at least one tool call"]),
    "call as text": ([{"tool_calls": ["a"]}], ["0.tool_calls.0: must be an object with name, arguments, id"]),
    "call without name": ([{"tool_calls": [{}]}], ["0.tool_calls.0: needs `name`"]),
    "bad tool name": ([{"tool_calls": [{"name": "a b"}]}], ["0.tool_calls.0.name: must be 1 to 64 letters"]),
    "arguments": ([{"tool_calls": [{"name": "a", "arguments": 1}]}], ["0.tool_calls.0.arguments: must be an object"]),
    "usage": ([{"text": "", "usage": {"input": 1}}], ["0.usage.input: unknown key"]),
    "negative usage": ([{"text": "", "usage": {"input_tokens": -1}}], ["0.usage.input_tokens: must be a whole"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_problem_of_a_script_is_named_with_its_place(case: str) -> None:
    script, expected = BAD[case]
    found = remarks(script)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


def test_a_near_miss_gets_a_suggestion() -> None:
    assert remarks([{"error": "throtled"}])[0].endswith("did you mean `throttled`?")


def test_a_script_in_order_has_no_problem() -> None:
    assert (
        remarks([{"text": "a", "usage": {"input_tokens": 1}, "repeat": False}, {"error": "dns", "repeat": True}]) == []
    )
