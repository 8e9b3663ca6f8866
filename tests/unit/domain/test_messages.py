"""Messages: which role may say what, and what a picture may be."""

from __future__ import annotations

import copy
import json
import pickle
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import LLMValidationError
from loomwire.domain.messages import IMAGE_TYPES, Image, Message, Part, Reasoning, Role, Text, ToolResult
from loomwire.domain.values import ToolCall

CALL = ToolCall("c1", "weather", {"city": "Paris"})
ONE_OF_EACH: tuple[Part, ...] = (Text("t"), Image(b"png"), CALL, ToolResult("c1", "sunny"), Reasoning("hm"))

# promises.md: "roles: system, user, assistant, tool; parts: text, image, tool call, tool result, reasoning".
MAY_SAY: dict[Role, set[str]] = {
    "system": {"Text"},
    "user": {"Text", "Image"},
    "assistant": {"Text", "ToolCall", "Reasoning"},
    "tool": {"ToolResult"},
}


def test_there_are_four_roles_and_five_kinds_of_parts() -> None:
    assert set(get_args(Role)) == set(MAY_SAY)
    assert {kind.__name__ for kind in get_args(Part)} == {type(part).__name__ for part in ONE_OF_EACH}


@pytest.mark.parametrize("role", MAY_SAY)
@pytest.mark.parametrize("part", ONE_OF_EACH, ids=lambda part: type(part).__name__)
def test_a_role_can_hold_its_parts_and_no_others(role: Role, part: Part) -> None:
    if type(part).__name__ in MAY_SAY[role]:
        assert Message(role, (part,)).parts == (part,)
    else:
        with pytest.raises(
            LLMValidationError, match=f"a {role} message cannot hold a part of type {type(part).__name__}"
        ):
            Message(role, (part,))


@pytest.mark.parametrize("role", MAY_SAY)
def test_a_message_without_parts_is_refused(role: Role) -> None:
    with pytest.raises(LLMValidationError, match=f"a {role} message needs at least one part"):
        Message(role, ())


def test_a_role_that_does_not_exist_is_refused_with_those_that_do() -> None:
    from_a_host_without_types = json.loads('"boss"')
    with pytest.raises(LLMValidationError, match="must be one of system, user, assistant, tool, not 'boss'"):
        Message(from_a_host_without_types, (Text("t"),))


def test_the_constructors_say_who_speaks() -> None:
    assert Message.system("Be brief.") == Message("system", (Text("Be brief."),))
    assert Message.user("Hello") == Message("user", (Text("Hello"),))
    assert Message.assistant("Hi") == Message("assistant", (Text("Hi"),))
    result = ToolResult("c1", {"sky": "blue"}, name="weather", is_error=True)
    assert Message.tool(result, result) == Message("tool", (result, result))


def test_a_user_says_texts_and_pictures_in_their_order() -> None:
    picture = Image(url="https://example.com/a.png")
    assert Message.user("Look:", picture, Text("Well?")).parts == (Text("Look:"), picture, Text("Well?"))


def test_an_assistants_thinking_comes_before_the_text_and_the_calls_after_it() -> None:
    thought = Reasoning("hm", signature="s")
    assert Message.assistant("Hi", tool_calls=[CALL], reasoning=[thought]).parts == (thought, Text("Hi"), CALL)


def test_an_assistant_that_said_nothing_still_has_a_part() -> None:
    assert Message.assistant() == Message("assistant", (Text(""),))
    assert Message.assistant(tool_calls=[CALL]).parts == (CALL,)


@given(st.lists(st.text()))
def test_the_text_of_a_message_is_its_text_parts_joined(texts: list[str]) -> None:
    parts = [part for text in texts for part in (Text(text), CALL, Reasoning("unseen"))]
    assert Message("assistant", (*parts, Text("!"))).text == "".join(texts) + "!"


@pytest.mark.parametrize("media_type", sorted(IMAGE_TYPES))
def test_a_picture_may_come_as_bytes_of_the_usual_types(media_type: str) -> None:
    assert Image(b"...", media_type=media_type).data == b"..."


@pytest.mark.parametrize("url", ["https://example.com/a.png", "http://127.0.0.1/a.png", "data:image/png;base64,AA=="])
def test_a_picture_may_come_as_an_address_which_nobody_here_fetches(url: str) -> None:
    assert Image(url=url).url == url


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://example.com/a", "data:text/html,x", "//example.com", "", "javascript:alert(1)"]
)
def test_an_address_of_another_scheme_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(LLMValidationError, match="must start with https://") as raised:
        Image(url=url)
    assert not url or url not in str(raised.value)


def test_a_picture_is_either_bytes_or_an_address() -> None:
    with pytest.raises(LLMValidationError, match="exactly one"):
        Image()
    with pytest.raises(LLMValidationError, match="exactly one"):
        Image(b"png", "https://example.com/a.png")


def test_a_picture_of_an_unknown_type_is_refused_with_the_known_ones() -> None:
    with pytest.raises(LLMValidationError, match="image/gif, image/jpeg, image/png, image/webp"):
        Image(b"...", media_type="image/svg+xml")


def test_the_bytes_of_a_picture_stay_out_of_its_repr() -> None:
    assert repr(Image(b"\x89PNG" * 1000)) == "Image(url=None, media_type='image/png', detail='auto')"


def test_a_part_says_no_more_than_it_was_told() -> None:
    assert Reasoning() == Reasoning("", signature=None, redacted=None, id=None, wire=None)
    assert ToolResult("c1", "sunny") == ToolResult("c1", "sunny", name="", is_error=False)
    assert Message.user("Hello") == Message("user", (Text("Hello"),), name=None)


def test_messages_are_values_that_pickle_and_copy() -> None:
    message = Message.user("Look:", Image(b"png"))
    for again in (pickle.loads(pickle.dumps(message)), copy.deepcopy(message)):
        assert again == message
    assert len({message, Message.user("Look:", Image(b"png"))}) == 1


def test_a_message_shows_its_shape_and_never_its_words() -> None:
    said = Message("user", (Text("the canary sings"),))
    told = Message.tool(ToolResult("call-1", {"canary": "sings"}, name="birds"))
    assert repr(said.parts[0]) == "Text(16 characters)"
    assert "canary" not in repr((said, told))
