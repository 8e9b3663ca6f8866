from __future__ import annotations

import pickle

import pytest

from loomwire.domain.errors import LLMValidationError
from loomwire.hosts.node import LLMNode


def test_a_prompt_is_filled_in_from_the_state() -> None:
    node = LLMNode("story", client="teller", prompt="Tell of {plan}", system="Be brief.")
    request = node.request({"plan": "Lisbon", "other": "unused"})
    assert [message.text for message in request.messages] == ["Be brief.", "Tell of Lisbon"]


@pytest.mark.parametrize(
    ("prompt", "state", "said"),
    [
        ("Tell of {plan}", {}, "the prompt names 'plan', the state holds nothing"),
        ("Tell of {plan}", {"b": "", "a": ""}, "the prompt names 'plan', the state holds a, b"),
        ("{", {}, "node 'story'"),
        ("{0}", {}, "node 'story'"),
        ("{plan.foo}", {"plan": "x"}, "no template of plain names"),
        ("{plan[x]}", {"plan": "x"}, "no template of plain names"),
    ],
)
def test_a_prompt_that_cannot_be_filled_in_says_what_is_missing(prompt: str, state: dict[str, str], said: str) -> None:
    with pytest.raises(LLMValidationError, match=said) as caught:
        LLMNode("story", client="teller", prompt=prompt).request(state)
    assert "rite literal braces as {{ and }}" in caught.value.hint


def test_a_node_travels_to_other_processes() -> None:
    node = LLMNode("story", client="teller", prompt="Tell")
    assert pickle.loads(pickle.dumps(node)) == node
