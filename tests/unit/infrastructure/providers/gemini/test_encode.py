"""Requests are written as the Gemini API and Vertex AI accept them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

import pytest

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import CapabilityError, ConfigError, LLMValidationError
from loomwire.domain.messages import Image, Message, Reasoning, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, Parameters, ReasoningEffort
from loomwire.domain.tools import Tool, ToolChoice, ToolNamed
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.gemini.conversation import MADE_UP, NO_SIGNATURE
from loomwire.infrastructure.providers.gemini.gemini import Gemini
from loomwire.infrastructure.providers.gemini.quirks import GeminiQuirks

Wire: TypeAlias = dict[str, object]

CONFIG = LLMConfig.gemini("gemini-2.5-flash", api_key="k")
SCHEMA: Mapping[str, JSON] = {"type": "object", "properties": {"city": {"type": "string"}}}
LOOK = Tool("look", "Looks.", SCHEMA)
PING = Tool("ping")
CALL = ToolCall("call_1", "look", {"city": "Rome"})


def written(request: LLMRequest, config: LLMConfig = CONFIG, quirks: GeminiQuirks = GeminiQuirks()) -> dict[str, JSON]:
    body: dict[str, JSON] = json.loads(Gemini(quirks).encode(request, config, stream=False))
    return body


def contents(*said: Message, config: LLMConfig = CONFIG, quirks: GeminiQuirks = GeminiQuirks()) -> list[Wire]:
    turns: list[Wire] = json.loads(Gemini(quirks).encode(LLMRequest(said), config, stream=False))["contents"]
    return turns


def model_parts(*parts: Text | ToolCall | Reasoning, config: LLMConfig = CONFIG) -> list[Wire]:
    said = LLMRequest((Message.user("Hi"), Message("assistant", parts)))
    wire: list[Wire] = json.loads(Gemini().encode(said, config, stream=False))["contents"][1]["parts"]
    return wire


def settings(parameters: Parameters, model: str = "gemini-2.5-flash", quirks: GeminiQuirks = GeminiQuirks()) -> JSON:
    config = LLMConfig.gemini(model, api_key="k")
    return written(LLMRequest.of("Hi", parameters=parameters), config, quirks).get("generationConfig")


def test_a_plain_question_is_one_turn() -> None:
    assert written(LLMRequest.of("Hi")) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}


def test_instructions_stand_apart_wherever_they_were_given() -> None:
    body = written(
        LLMRequest((Message.system("One."), Message.user("Hi"), Message.system("Two."), Message.user("And?")))
    )
    assert body == {
        "contents": [{"role": "user", "parts": [{"text": "Hi"}, {"text": "And?"}]}],
        "systemInstruction": {"parts": [{"text": "One."}, {"text": "Two."}]},
    }


def test_instructions_alone_are_what_is_asked() -> None:
    assert written(LLMRequest((Message.system("Say hi."),))) == {
        "contents": [{"role": "user", "parts": [{"text": "Say hi."}]}]
    }


def test_roles_alternate() -> None:
    said = contents(
        Message.user("a"), Message.user("b"), Message.assistant("c"), Message.assistant("d"), Message.user("e")
    )
    assert said == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
        {"role": "user", "parts": [{"text": "e"}]},
    ]


def test_results_of_one_turn_stand_in_the_order_of_its_calls_with_their_names() -> None:
    others = (ToolCall("call_2", "ping", {}), ToolCall(f"{MADE_UP}3", "look", {"city": "Oslo"}))
    said = contents(
        Message.user("Hi"),
        Message.assistant(tool_calls=(CALL, *others)),
        Message.tool(ToolResult(f"{MADE_UP}3", "cold")),
        Message.tool(ToolResult("call_2", "down", is_error=True), ToolResult("call_1", {"sky": "blue"})),
        Message.user("And?"),
    )
    assert said[1]["parts"] == [
        {"functionCall": {"name": "look", "args": {"city": "Rome"}, "id": "call_1"}},
        {"functionCall": {"name": "ping", "args": {}, "id": "call_2"}},
        # The server never gave this id.
        {"functionCall": {"name": "look", "args": {"city": "Oslo"}}},
    ]
    assert said[2] == {
        "role": "user",
        "parts": [
            {"functionResponse": {"name": "look", "response": {"sky": "blue"}, "id": "call_1"}},
            {"functionResponse": {"name": "ping", "response": {"error": "down"}, "id": "call_2"}},
            {"functionResponse": {"name": "look", "response": {"output": "cold"}}},
        ],
    }
    assert said[3] == {"role": "user", "parts": [{"text": "And?"}]}


@pytest.mark.parametrize("content", [None, 7, "text", ["a"], True])
def test_a_result_that_is_no_object_is_put_into_one(content: JSON) -> None:
    said = contents(Message.user("Hi"), Message.tool(ToolResult("x", content, "look")))
    assert said[1]["parts"] == [{"functionResponse": {"name": "look", "response": {"output": content}, "id": "x"}}]


def test_a_result_of_an_unknown_tool_is_refused() -> None:
    with pytest.raises(LLMValidationError, match="name"):
        contents(Message.user("Hi"), Message.tool(ToolResult("x", "cold")))


def test_ids_are_left_out_where_the_host_knows_none() -> None:
    said = contents(
        Message.user("Hi"),
        Message.assistant(tool_calls=(CALL,)),
        Message.tool(ToolResult("call_1", {})),
        quirks=GeminiQuirks(call_ids=False),
    )
    assert "call_1" not in json.dumps(said)


def test_arguments_that_were_cut_are_shown_as_text() -> None:
    cut = ToolCall("x", "look", None, '{"city": "Ro')
    assert model_parts(cut) == [{"functionCall": {"name": "look", "args": {"arguments": '{"city": "Ro'}, "id": "x"}}]


def test_a_silent_answer_goes_back_as_an_empty_text() -> None:
    assert model_parts(Text("")) == [{"text": ""}]
    assert model_parts(Reasoning("Hm.")) == [{"text": ""}]


def test_parts_stand_where_they_stood() -> None:
    code: JSON = {"executableCode": {"code": "1"}}
    kept = (
        Reasoning("Think.", origin="gemini"),
        Reasoning(signature="s1", wire={"at": [0, 0], "text": 3}, origin="gemini"),
        Reasoning(wire={"at": [6, 0], "part": code}, origin="gemini"),
        Reasoning("More.", "s2", wire={"at": [6, 1]}, origin="gemini"),
        Reasoning(signature="s3", wire={"at": [9, 1], "text": 0}, origin="gemini"),
    )
    call = {"functionCall": {"name": "look", "args": {"city": "Rome"}, "id": "call_1"}}
    assert model_parts(*kept, Text("onetwothree"), CALL, ToolCall("b", "ping", {})) == [
        {"text": "Think.", "thought": True},
        {"text": "one", "thoughtSignature": "s1"},
        {"text": "two"},
        code,
        call,
        {"text": "More.", "thought": True, "thoughtSignature": "s2"},
        {"text": "thr"},
        {"text": "", "thoughtSignature": "s3"},
        {"text": "ee"},
        {"functionCall": {"name": "ping", "args": {}, "id": "b"}},
    ]


@pytest.mark.parametrize("at", ["ab", [1], [1, "b"], [-1, -1], None, {"a": 1}, [99, 99]])
def test_a_place_that_is_none_loses_nothing(at: JSON) -> None:
    kept = Reasoning(signature="s", wire={"at": at, "text": 99}, origin="gemini")
    parts = model_parts(kept, Text("said"), CALL)
    assert "".join(str(part.get("text", "")) for part in parts) == "said"
    assert sum("functionCall" in part for part in parts) == 1
    assert sum("thoughtSignature" in part for part in parts) == 1


def test_thinking_of_others_stays_at_home() -> None:
    foreign = (
        Reasoning("Hm.", "s", origin="anthropic"),
        Reasoning("Plain."),
        Reasoning("", None, "x", origin="anthropic"),
    )
    assert model_parts(*foreign, Text("a")) == [{"text": "a"}]


def test_a_call_takes_its_signature_along() -> None:
    signed = ToolCall("x", "look", {}, "", "c2ln")
    over_chat = ToolCall("x", "look", {}, "", '{"google": {"thought_signature": "c2ln"}}')
    for call in (signed, over_chat):
        assert model_parts(call) == [
            {"functionCall": {"name": "look", "args": {}, "id": "x"}, "thoughtSignature": "c2ln"}
        ]
    other = ToolCall("x", "look", {}, "", '{"vendor": 1}')
    assert model_parts(other) == [{"functionCall": {"name": "look", "args": {}, "id": "x"}}]


def test_calls_of_others_say_so_where_signatures_are_demanded() -> None:
    newer = LLMConfig.gemini("gemini-3-pro-preview", api_key="k")
    parts = model_parts(CALL, ToolCall("b", "ping", {}), config=newer)
    assert [part.get("thoughtSignature") for part in parts] == [NO_SIGNATURE, None]


def test_pictures_go_as_bytes_or_by_address() -> None:
    said = contents(
        Message.user(
            Image(b"\x89PNG"),
            Image(url="data:image/webp;base64,AAAA"),
            Image(url="data:image/svg+xml,%3Csvg/%3E"),
            Image(url="https://x.example/a.JPG?b=1"),
            Image(url="https://x.example/a", media_type="image/gif"),
            Image(url="https://x.example/a"),
        )
    )
    assert said[0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw=="}},
        {"inlineData": {"mimeType": "image/webp", "data": "AAAA"}},
        {"inlineData": {"mimeType": "image/svg+xml", "data": "PHN2Zy8+"}},
        {"fileData": {"fileUri": "https://x.example/a.JPG?b=1", "mimeType": "image/jpeg"}},
        {"fileData": {"fileUri": "https://x.example/a", "mimeType": "image/gif"}},
        {"fileData": {"fileUri": "https://x.example/a"}},
    ]
    vertex = contents(Message.user(Image(url="https://x.example/a")), quirks=GeminiQuirks(url_types=True))
    assert vertex[0]["parts"] == [{"fileData": {"fileUri": "https://x.example/a", "mimeType": "image/png"}}]


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        ("auto", None),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (ToolNamed("ping"), {"mode": "ANY", "allowedFunctionNames": ["ping"]}),
    ],
)
def test_tools_are_declared_and_chosen(choice: ToolChoice, calling: JSON) -> None:
    body = written(LLMRequest((Message.user("Hi"),), tools=(LOOK, PING), tool_choice=choice))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "look", "description": "Looks.", "parametersJsonSchema": SCHEMA},
                {"name": "ping"},
            ]
        }
    ]
    assert body.get("toolConfig") == (None if calling is None else {"functionCallingConfig": calling})


def test_tools_can_be_declared_in_the_older_way() -> None:
    body = written(LLMRequest.of("Hi", tools=(LOOK,)), quirks=GeminiQuirks(tool_schema="parameters"))
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {
                    "name": "look",
                    "description": "Looks.",
                    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
                }
            ]
        }
    ]


def test_parameters_have_their_own_names() -> None:
    assert settings(Parameters(0.5, 0.9, 100, ("END",), 7, 0.1, 0.2)) == {
        "temperature": 0.5,
        "topP": 0.9,
        "maxOutputTokens": 100,
        "stopSequences": ["END"],
        "seed": 7,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
    }


def test_more_than_five_stop_texts_are_refused() -> None:
    with pytest.raises(CapabilityError, match="5 stop"):
        settings(Parameters(stop=tuple("abcdef")))


@pytest.mark.parametrize(
    ("model", "effort", "thinking"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-pro", "high", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-pro-preview", "none", {"thinkingLevel": "minimal"}),
        ("gemini-3-pro-preview", "high", {"thinkingLevel": "high", "includeThoughts": True}),
        ("models/gemini-flash-latest", "medium", {"thinkingLevel": "medium", "includeThoughts": True}),
    ],
)
def test_an_effort_is_a_budget_or_a_level(model: str, effort: ReasoningEffort, thinking: JSON) -> None:
    assert settings(Parameters(reasoning_effort=effort), model) == {"thinkingConfig": thinking}


def test_quirks_decide_how_thinking_is_told() -> None:
    asked = Parameters(reasoning_effort="low")
    assert settings(asked, quirks=GeminiQuirks(thinking="no")) is None
    assert settings(asked, quirks=GeminiQuirks(thinking="level")) == {
        "thinkingConfig": {"thinkingLevel": "low", "includeThoughts": True}
    }
    assert settings(asked, quirks=GeminiQuirks(include_thoughts=False)) == {"thinkingConfig": {"thinkingBudget": 1024}}


def test_an_answer_can_be_held_to_json_and_to_a_schema() -> None:
    plain = written(LLMRequest.of("Hi", output=OutputSpec()))["generationConfig"]
    assert plain == {"responseMimeType": "application/json"}
    told = written(LLMRequest.of("Hi", output=OutputSpec(SCHEMA, description="A city.")))["generationConfig"]
    assert told == {"responseMimeType": "application/json", "responseJsonSchema": {**SCHEMA, "description": "A city."}}


def test_extra_is_merged_into_what_is_there() -> None:
    extra: dict[str, JSON] = {
        "generationConfig": {"topK": 3, "temperature": 0.1},
        "tools": [{"googleSearch": {}}],
        "toolConfig": {"includeServerSideToolInvocations": True},
        "cachedContent": "cachedContents/1",
    }
    asked = LLMRequest((Message.user("Hi"),), tools=(PING,), parameters=Parameters(0.5, seed=1), extra=extra)
    body = written(asked)
    assert body["generationConfig"] == {"temperature": 0.1, "seed": 1, "topK": 3}
    assert body["tools"] == [{"functionDeclarations": [{"name": "ping"}]}, {"googleSearch": {}}]
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert body["cachedContent"] == "cachedContents/1"
    assert extra["generationConfig"] == {"topK": 3, "temperature": 0.1}


@pytest.mark.parametrize(
    "extra",
    [{"contents": []}, {"systemInstruction": {}}, {"generationConfig": 7}, {"tools": "all"}, {"toolConfig": []}],
)
def test_extra_that_does_not_fit_is_refused(extra: dict[str, JSON]) -> None:
    with pytest.raises(LLMValidationError, match="extra"):
        written(LLMRequest((Message.user("Hi"),), extra=extra))


@pytest.mark.parametrize(
    ("model", "path"),
    [
        ("gemini-2.5-pro", "/models/gemini-2.5-pro:"),
        ("models/gemini-2.5-pro", "/models/gemini-2.5-pro:"),
        ("tunedModels/mine", "/tunedModels/mine:"),
        ("publishers/meta/models/llama@1", "/publishers/meta/models/llama@1:"),
        ("endpoints/123", "/endpoints/123:"),
        ("a b?c#d:e%2F", "/models/a%20b%3Fc%23d%3Ae%252F:"),
    ],
)
def test_the_path_names_the_model_and_nothing_else(model: str, path: str) -> None:
    config = LLMConfig.gemini(model, api_key="k")
    assert Gemini().path(config, stream=False) == f"{path}generateContent"
    assert Gemini().path(config, stream=True) == f"{path}streamGenerateContent?alt=sse"


def test_models_of_vertex_are_their_publishers() -> None:
    dialect = Gemini(GeminiQuirks(models="publishers/google/models"))
    for model in ("gemini-2.5-pro", "models/gemini-2.5-pro"):
        config = LLMConfig.vertex(model, base_url="https://x.example/v1/projects/p/locations/l", api_key="k")
        assert dialect.path(config, stream=False) == "/publishers/google/models/gemini-2.5-pro:generateContent"


@pytest.mark.parametrize("model", ["..", "a/../b", "models/", "a//b", "./a", "/a"])
def test_a_name_that_leads_elsewhere_is_refused(model: str) -> None:
    with pytest.raises(ConfigError, match="no name of a model"):
        Gemini().path(LLMConfig.gemini(model, api_key="k"), stream=False)
