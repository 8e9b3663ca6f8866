from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigError, ConfigRejectedError, LLMRateLimitError, LLMValidationError
from loomwire.domain.events import Finished, TextDelta, ToolCallStart
from loomwire.domain.messages import Image, Message, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.rule_checks import check_rules
from loomwire.infrastructure.providers.rule import SEARCHED_CHARACTERS, RuleClient
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.testing import FakeClock

CONFIG = LLMConfig(type="rule", model="helper", name="offline")
WEATHER = Tool("weather", parameters={"type": "object", "properties": {"city": {"type": "string"}}})


def client(*rules: JSON, file: str | None = None) -> RuleClient:
    """Return a client with these rules."""
    options: dict[str, JSON] = {"rules": list(rules)}
    return RuleClient(
        replace(CONFIG, options=options if file is None else {**options, "rules_file": file}), SystemClock()
    )


async def said(question: str | LLMRequest, *rules: JSON) -> str:
    """Return the text of the answer to a question."""
    request = LLMRequest.of(question) if isinstance(question, str) else question
    return (await client(*rules).generate(request)).text


async def test_the_first_rule_that_matches_wins() -> None:
    rules: list[JSON] = [{"when": "trip", "answer": "one"}, {"when": "trip to", "answer": "two"}]
    assert await said("Plan a trip to Rome", *rules) == "one"


async def test_patterns_are_searched_anywhere_without_regard_to_case() -> None:
    assert await said("Please PLAN it", {"when": "plan", "answer": "yes"}) == "yes"


async def test_only_the_last_user_message_is_searched() -> None:
    request = LLMRequest.of(
        Message.user("old question"), Message.assistant("old answer"), Message.user("new ", "question"), system="rules"
    )
    rules: list[JSON] = [{"when": "old|rules", "answer": "wrong"}, {"when": "^new question$", "answer": "right"}]
    assert await said(request, *rules) == "right"


async def test_a_conversation_without_user_text_is_searched_as_empty() -> None:
    rules: list[JSON] = [{"when": "^$", "answer": "silence"}]
    assert await said(LLMRequest.of(Message.system("be brief")), *rules) == "silence"
    assert await said(LLMRequest.of(Image(url="https://example.com/a.png")), *rules) == "silence"


async def test_the_default_answers_what_nothing_else_does_and_can_repeat_the_message() -> None:
    rules: list[JSON] = [{"when": "x", "answer": "x"}, {"default": True, "answer": r"You said: \0"}]
    assert await said("two\nlines", *rules) == "You said: two\nlines"


async def test_groups_are_filled_into_texts() -> None:
    rule: JSON = {"when": r"from (\w+) to (\w+)( via \w+)?", "answer": r"\2, not \1\3!", "reasoning": r"\2?"}
    answer = await client(rule).generate(LLMRequest.of("from Rome to Oslo"))
    assert answer.text == "Oslo, not Rome!"
    assert [item.text for item in answer.reasoning] == ["Oslo?"]


@pytest.mark.parametrize(
    ("template", "expected"),
    [(r"C:\new\table", r"C:\new\table"), (r"\\1", r"\1"), (r"\g<1>", r"\g<1>"), (r"\10", "Rome0"), ("\\", "\\")],
)
async def test_other_backslashes_stay_as_they_are(template: str, expected: str) -> None:
    assert await said("Rome", {"when": "(.+)", "answer": template}) == expected


async def test_what_a_user_writes_is_never_read_as_a_reference() -> None:
    assert await said(r"\2 \\1 {0}", {"when": "(.+)", "answer": r"<\1>"}) == r"<\2 \\1 {0}>"


async def test_a_rule_may_be_only_for_one_model() -> None:
    rules: list[JSON] = [{"model": "other", "answer": "wrong"}, {"model": "helper", "answer": "right"}]
    assert await said("hi", *rules) == "right"


async def test_a_rule_may_want_a_tool_to_be_offered() -> None:
    rules: list[JSON] = [{"has_tool": "weather", "answer": "tool"}, {"default": True, "answer": "no tool"}]
    assert await said("hi", *rules) == "no tool"
    assert await said(LLMRequest.of("hi", tools=[WEATHER]), *rules) == "tool"


async def test_a_tool_loop_ends_because_rules_see_the_tools_result() -> None:
    player = client(
        {"after_tool": True, "answer": "It is sunny."},
        {
            "when": r"weather in (\w+)",
            "after_tool": False,
            "tool_call": {"name": "weather", "arguments": {"city": r"\1"}},
        },
    )
    request = LLMRequest.of("The weather in Rome?", tools=[WEATHER])
    first = await player.generate(request)
    assert first.tool_calls == (ToolCall("call_1", "weather", {"city": "Rome"}),)
    assert first.finish == "tool_calls"
    second = await player.generate(request.extended(first.message, Message.tool(ToolResult("call_1", "sun"))))
    assert (second.text, second.finish) == ("It is sunny.", "stop")


async def test_several_tool_calls_come_in_order_with_groups_filled_in_everywhere() -> None:
    rule: JSON = {
        "when": r"(\w+) and (\w+)",
        "tool_calls": [
            {"name": "a", "arguments": {"deep": [{"x": r"\1", "n": 1, "none": None}]}},
            {"name": "b", "arguments": r'{"y": "\2'},
        ],
    }
    calls = (await client(rule).generate(LLMRequest.of("Rome and Oslo"))).tool_calls
    assert calls[0].arguments == {"deep": [{"x": "Rome", "n": 1, "none": None}]}
    assert (calls[1].arguments, calls[1].raw_arguments) == (None, '{"y": "Oslo')


async def test_tool_calls_are_streamed_as_fragments() -> None:
    rule: JSON = {"default": True, "tool_call": {"name": "weather", "id": "c1"}}
    async with client(rule).stream(LLMRequest.of("hi")) as stream:
        events = [event async for event in stream]
    assert events[0] == ToolCallStart(0, "c1", "weather")
    assert events[-1] == Finished("tool_calls")


async def test_json_is_compact_text_with_groups_filled_in() -> None:
    text = await said("order 17", {"when": r"order (\d+)", "json": {"id": r"A-\1", "lines": [{"n": 1}], "ok": True}})
    assert text == '{"id":"A-17","lines":[{"n":1}],"ok":true}'


async def test_json_auto_fits_the_requested_schema() -> None:
    schema: JSON = {
        "$defs": {
            "P": {"type": "object", "properties": {"age": {"type": "integer", "minimum": 3}}, "required": ["age"]}
        },
        "type": "object",
        "properties": {"who": {"$ref": "#/$defs/P"}, "kind": {"enum": ["b", "a"]}},
        "required": ["who", "kind"],
    }
    assert isinstance(schema, Mapping)
    request = LLMRequest.of("any", output=OutputSpec(schema))
    assert json.loads(await said(request, {"default": True, "json": "auto"})) == {"who": {"age": 3}, "kind": "b"}


@pytest.mark.parametrize("output", [None, OutputSpec(None)])
async def test_json_auto_without_a_schema_is_an_empty_object(output: OutputSpec | None) -> None:
    assert await said(LLMRequest.of("any", output=output), {"default": True, "json": "auto"}) == "{}"


async def test_json_auto_for_an_impossible_schema_is_a_typed_error_with_the_way_out() -> None:
    request = LLMRequest.of("any", output=OutputSpec({"type": "string", "minLength": 3, "maxLength": 2}))
    with pytest.raises(LLMValidationError, match="no example of the requested JSON Schema") as raised:
        await said(request, {"default": True, "json": "auto"})
    assert raised.value.hint == "Write the JSON out in the rule."


@pytest.mark.parametrize(("given_json", "expected"), [("auto", {"city": "text"}), ({"city": "Rome"}, {"city": "Rome"})])
async def test_json_becomes_the_arguments_of_a_forced_tool(given_json: JSON, expected: JSON) -> None:
    request = replace(LLMRequest.of("any", tools=[WEATHER]), tool_choice=ToolNamed("weather"))
    answer = await client({"default": True, "json": given_json}).generate(request)
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("weather", expected)]
    assert answer.text == ""


async def test_an_error_rule_raises_what_the_table_says() -> None:
    with pytest.raises(LLMRateLimitError) as raised:
        await said("too fast", {"when": "fast", "error": "throttled"})
    assert (raised.value.provider, raised.value.model) == ("offline", "helper")


async def test_a_rule_says_how_it_ends_and_waits_on_the_clock() -> None:
    clock = FakeClock()
    config = replace(CONFIG, options={"rules": [{"default": True, "answer": "cut", "finish": "length", "delay_s": 3}]})
    task = asyncio.ensure_future(RuleClient(config, clock).generate(LLMRequest.of("hi")))
    await clock.advance(2)
    assert not task.done()
    await clock.advance(1)
    assert (await task).finish == "length"


async def test_streams_answer_by_the_same_rules() -> None:
    async with client({"when": "hi", "answer": "Hello there"}).stream(LLMRequest.of("hi")) as stream:
        assert [event async for event in stream][:2] == [TextDelta("Hello "), TextDelta("there")]


async def test_a_request_without_a_rule_is_a_typed_error_that_names_the_file_and_not_the_text() -> None:
    player = client({"when": "x", "answer": "x"}, {"model": "other", "answer": "x"}, file="rules/demo.yaml")
    with pytest.raises(LLMValidationError, match="none of the 1 rules for this model matches") as raised:
        await player.generate(LLMRequest.of("my secret plan"))
    assert "to rules/demo.yaml" in raised.value.hint
    assert "secret" not in str(raised.value)
    with pytest.raises(LLMValidationError, match="the provider's `rules`"):
        await client({"when": "x", "answer": "x"}).stream(LLMRequest.of("hi")).__aenter__()


async def test_patterns_see_only_the_first_part_of_a_huge_text() -> None:
    rules: list[JSON] = [{"when": "needle", "answer": "found"}, {"default": True, "answer": "not found"}]
    assert await said("x" * (SEARCHED_CHARACTERS - 6) + "needle", *rules) == "found"
    assert await said("x" * SEARCHED_CHARACTERS + "needle", *rules) == "not found"


def test_a_client_says_who_it_is() -> None:
    assert repr(client({"default": True, "answer": ""})) == "RuleClient(offline/helper)"


def test_a_bad_pattern_is_refused_when_the_client_is_built_with_its_position() -> None:
    with pytest.raises(ConfigRejectedError, match=r"rules\.1\.when is no regular expression: .* position 0") as raised:
        client({"when": "ok", "answer": ""}, {"when": "(", "answer": ""})
    assert isinstance(raised.value, ConfigError)
    assert [problem.path for problem in raised.value.problems] == ["rules.1.when"]


KEYS = st.sampled_from(
    ["when", "model", "has_tool", "after_tool", "default", "answer", "tool_call", "json", "error", "name", "delay_s"]
)
JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["auto", "dns", "(a)", "\\1"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(KEYS, JSONS, max_size=4), max_size=3) | JSONS, st.text())
async def test_any_json_gets_remarks_or_answers_but_never_explodes(rules: JSON, text: str) -> None:
    config = replace(CONFIG, options={"rules": rules})
    if list(check_rules(rules)):
        with pytest.raises(ConfigRejectedError):
            RuleClient(config, SystemClock())
        return
    player = RuleClient(config, FakeClock())
    if not any(isinstance(rule, Mapping) and rule.get("delay_s") for rule in player_rules(rules)):
        await asyncio.gather(player.generate(LLMRequest.of(text)), return_exceptions=True)


def player_rules(rules: JSON) -> list[JSON]:
    """Return the rules as a list."""
    return list(rules) if isinstance(rules, list) else []
