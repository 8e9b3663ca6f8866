"""A conversation becomes items in the order in which they were said; what only the vendor understands goes back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import Image, Message, Part, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.openai_responses.quirks import ResponsesQuirks
from loomwire.infrastructure.providers.openai_responses.responses import OpenAIResponses

ORIGIN = "openai_responses"
HI: dict[str, JSON] = {"role": "user", "content": "Hi"}
CALL = ToolCall("call_1", "look", {"city": "Rome"})
WIRE_CALL = {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"city":"Rome"}'}
PLAIN = ResponsesQuirks(encrypted_reasoning=False)


def items(*said: Message, quirks: ResponsesQuirks = ResponsesQuirks(), model: str = "o4") -> list[Mapping[str, JSON]]:
    body = OpenAIResponses(quirks).encode(LLMRequest(said), LLMConfig.custom(model, dialect=ORIGIN), stream=False)
    written: list[Mapping[str, JSON]] = json.loads(body)["input"]
    return written


def kept(kind: str, **fields: JSON) -> Reasoning:
    """Return an item as an answer keeps it."""
    return Reasoning(wire={"type": kind, **fields}, origin=ORIGIN)


def thought(id: str, encrypted: str | None = "gAAA") -> Reasoning:
    """Return a thinking item."""
    return kept("reasoning", id=id, summary=[], encrypted_content=encrypted)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def test_instructions_stand_where_they_were_said() -> None:
    said = (Message.system("A"), Message.user("Hi"), Message.system("B"), Message.user("Hi"), Message.user("Hi"))
    assert items(*said) == [
        {"role": "system", "content": "A"},
        HI,
        {"role": "system", "content": "B"},
        HI,
        HI,
    ]


def test_pictures_are_parts_and_data_urls_pass_as_they_are() -> None:
    bytes_, url = Image(data=b"\x89PNG"), Image(url="https://e.com/a.png", detail="low")
    inline = Image(url="data:image/png;base64,not/decoded")
    (entry,) = items(Message.user("Look", bytes_, url, inline, "here"))
    assert entry["content"] == [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
        {"type": "input_image", "image_url": "https://e.com/a.png", "detail": "low"},
        {"type": "input_image", "image_url": "data:image/png;base64,not/decoded", "detail": "auto"},
        {"type": "input_text", "text": "here"},
    ]
    (bare,) = items(Message.user(url), quirks=ResponsesQuirks(image_detail=False))
    assert bare["content"] == [{"type": "input_image", "image_url": "https://e.com/a.png"}]


def test_what_the_assistant_said_is_a_text_or_a_list_of_parts() -> None:
    assert items(Message.assistant("Yes.")) == [{"role": "assistant", "content": "Yes."}]
    parts = [{"type": "output_text", "text": "Yes."}]
    assert items(Message.assistant("Yes."), quirks=ResponsesQuirks(said_in_parts=True)) == [
        {"type": "message", "role": "assistant", "content": parts}
    ]
    assert items(Message.user("Hi"), Message.assistant("")) == [HI]


def test_calls_and_their_results_are_items_of_their_own() -> None:
    cut = ToolCall("call_2", "look", None, '{"city":"Ro')
    results = (ToolResult("call_1", {"t": 40}), ToolResult("call_2", "no such city", is_error=True))
    assert items(Message.assistant("Let me see.", tool_calls=[CALL, cut]), Message.tool(*results)) == [
        {"role": "assistant", "content": "Let me see."},
        WIRE_CALL,
        {"type": "function_call", "call_id": "call_2", "name": "look", "arguments": '{"city":"Ro'},
        {"type": "function_call_output", "call_id": "call_1", "output": '{"t":40}'},
        {"type": "function_call_output", "call_id": "call_2", "output": "no such city"},
    ]


def test_a_result_that_is_no_json_is_refused() -> None:
    with pytest.raises(LLMValidationError, match="cannot be written as JSON"):
        items(Message.tool(ToolResult("call_1", "\ud83d")))


def test_thinking_goes_back_unchanged_before_what_it_led_to() -> None:
    item = thought("rs_1")
    assert items(assistant(item, Text("Yes."), CALL)) == [
        item.wire,
        {"role": "assistant", "content": "Yes."},
        WIRE_CALL,
    ]


def test_thinking_goes_back_only_in_the_form_that_the_server_takes() -> None:
    plain = kept("reasoning", id="rs_2", summary=[], content=[{"type": "reasoning_text", "text": "Hm."}])
    said = assistant(thought("rs_1"), plain, thought("rs_3", ""), Text("Yes."))
    assert items(said)[:-1] == [thought("rs_1").wire]
    assert items(said, quirks=PLAIN)[:-1] == [plain.wire, thought("rs_3", "").wire]
    assert items(said, model="gpt-4o")[:-1] == []


@pytest.mark.parametrize(
    "foreign",
    [
        Reasoning("Hm."),
        Reasoning("Hm.", "signed", origin="anthropic"),
        Reasoning(wire={"type": "reasoning", "encrypted_content": "x"}, origin="openai_chat"),
        Reasoning(wire={"type": "thinking"}),
    ],
)
def test_thinking_of_others_stays_at_home(foreign: Reasoning) -> None:
    assert items(assistant(foreign, Text("Yes."))) == [{"role": "assistant", "content": "Yes."}]


def test_what_the_servers_own_tools_did_goes_back() -> None:
    search = kept("web_search_call", id="ws_1", status="completed")
    assert items(assistant(search, Text("Found.")), model="gpt-4o")[0] == search.wire


def test_stand_ins_say_where_calls_belong() -> None:
    other = replace(CALL, id="call_2")
    said = assistant(
        thought("rs_1"),
        kept("function_call", call_id="call_1"),
        kept("function_call", call_id="call_gone"),
        thought("rs_2"),
        kept("function_call", call_id="call_2"),
        CALL,
        other,
        replace(CALL, id="call_3"),
    )
    wire = items(said)
    assert [item.get("id") or item["call_id"] for item in wire] == ["rs_1", "call_1", "rs_2", "call_2", "call_3"]


PHASED: dict[str, JSON] = {
    "role": "assistant",
    "content": [{"type": "output_text", "text": "Wait."}],
    "phase": "commentary",
}


def test_a_message_with_a_phase_goes_back_as_it_came() -> None:
    said = assistant(kept("message", **PHASED), kept("function_call", call_id="call_1"), Text("Wait."), CALL)
    assert items(said) == [{"type": "message", **PHASED}, WIRE_CALL]


def test_a_text_that_a_caller_has_changed_is_sent_as_it_is_now() -> None:
    said = assistant(kept("message", **PHASED), Text("Stop."), CALL)
    assert items(said) == [{"role": "assistant", "content": "Stop."}, WIRE_CALL]
    assert items(assistant(kept("message", **PHASED), CALL)) == [WIRE_CALL]


def test_a_custom_tools_call_goes_back_as_text_and_so_does_its_result() -> None:
    call = kept("custom_tool_call", call_id="call_1", name="run", input="print(1)", id="ctc_1", status="completed")
    said = assistant(call, ToolCall("call_1", "run", None, "print(1)"))
    assert items(said, Message.tool(ToolResult("call_1", "1"), ToolResult("call_9", "2"))) == [
        call.wire,
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
        {"type": "function_call_output", "call_id": "call_9", "output": "2"},
    ]
    assert items(Message.user("Hi"), assistant(call)) == [HI]
