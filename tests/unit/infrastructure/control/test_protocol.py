from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.errors import ConfigError, LLMValidationError, LoomError, UnknownNameError
from loomwire.domain.values import JSON
from loomwire.infrastructure.control.protocol import Answer, Question, own_answer, read_answer, read_question

VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.text(), st.dictionaries(st.text().filter(lambda name: name != "do"), VALUES))
def test_a_question_comes_out_as_it_went_in_and_is_one_line(do: str, values: dict[str, JSON]) -> None:
    question = Question(do, values)
    assert question.line().count(b"\n") == 1
    assert read_question(question.line()) == question


@given(st.binary())
def test_garbage_is_no_question_and_no_answer(garbage: bytes) -> None:
    with pytest.raises(LLMValidationError) as refused:
        read_question(b"sk-" + garbage)
    assert "sk-" not in str(refused.value)
    assert read_answer(garbage) is None


@pytest.mark.parametrize("line", [b"[1]\n", b'{"do": 1}\n', b"{}\n", b"[" * 100_000, b'"do"\n'])
def test_what_is_json_and_no_question_is_refused(line: bytes) -> None:
    with pytest.raises(LLMValidationError):
        read_question(line)


def test_an_answer_comes_out_as_it_went_in() -> None:
    answer = own_answer(said={"circuits": [1, "ä"]})
    assert (read_answer(answer.line()), answer.line().count(b"\n")) == (answer, 1)
    assert read_answer(Answer(7, "x").line()) == Answer(7, "x", {})


def test_an_error_keeps_its_reason_and_its_hint_and_the_exit_code_that_goes_with_it() -> None:
    said = read_answer(own_answer(error=UnknownNameError("no such", hint="There are: a.")).line())
    assert said is not None
    assert isinstance(said.error, ConfigError)
    assert (said.said, said.error.reason, said.error.hint) == (None, "unknown_name", "There are: a.")
    assert str(said.error) == "CFG030 no such (There are: a.)"


def test_the_error_of_another_release_is_told_all_the_same() -> None:
    told = {"schema": "loomwire/control/1", "pid": 1, "error": {"reason": "of_tomorrow", "message": "It rains."}}
    said = read_answer(json.dumps(told).encode())
    assert said is not None
    assert isinstance(said.error, LoomError)
    assert (said.error.reason, said.error.message, said.program) == ("internal", "It rains.", "")


@pytest.mark.parametrize(
    "told",
    [
        {"schema": "loomwire/control/2", "pid": 1, "answer": {}},
        {"schema": "loomwire/control/1", "pid": "1", "answer": {}},
        {"schema": "loomwire/control/1", "pid": 1, "answer": []},
        {"schema": "loomwire/control/1", "pid": 1, "error": 5},
        {"schema": "loomwire/control/1", "pid": 1},
    ],
)
def test_what_is_none_of_our_answers_is_none(told: dict[str, JSON]) -> None:
    assert read_answer(json.dumps(told).encode()) is None
