"""JSON is found in whatever a model wrote, strictly, and in time that grows with the text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.outputs.json_values import MAX_STARTS, json_values, wrapped_value
from loomwire.infrastructure.outputs.strict_json import NotJSONError

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
STRUCTURES = st.lists(VALUES) | st.dictionaries(st.text(), VALUES)
# Words of a sentence that hold nothing a JSON value could begin with.
PROSE = st.text(alphabet="abc .,:;!?'\n(){}", max_size=40).map(lambda text: text.replace("{}", "").replace("{", "{a"))


@given(STRUCTURES, PROSE, PROSE)
def test_a_value_between_sentences_is_found_whole(value: object, before: str, after: str) -> None:
    written = json.dumps(value)
    assert json_values(f"{before} {written} {after}") == [written]


@given(VALUES, st.sampled_from(["```json\n{}\n```", "```\n{}```", "  {}  ", "{}", "\n```JSON\n\n{}\n\n```\n"]))
def test_any_value_that_is_the_whole_text_or_a_fence_is_found(value: object, frame: str) -> None:
    written = json.dumps(value)
    assert json_values(frame.replace("{}", written)) == [written]


@given(st.text() | st.text(alphabet='{}[]":,1ae\\ \n`-.'))
def test_any_text_gives_json_or_the_one_error(text: str) -> None:
    try:
        values = json_values(text)
    except NotJSONError:
        return
    assert values
    for value in values:
        json.loads(value)
        assert value in text


@given(STRUCTURES.map(json.dumps).filter(lambda text: len(text) > 2), st.data())
def test_a_list_that_was_cut_gives_none_of_its_elements(written: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(written) - 1))
    with pytest.raises(NotJSONError):
        json_values(f"[0, {written[:cut]}")


def test_several_values_come_in_their_order() -> None:
    assert json_values('As [1] says: {"a": {"b": 1}}, not {"a": 2}.') == ["[1]", '{"a": {"b": 1}}', '{"a": 2}']


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the answer is empty"),
        ("  \n ", "the answer is empty"),
        ("```json\n```", "the answer is empty"),
        ("No.", "the answer holds no JSON"),
        ("yes {no}", "the answer holds no JSON"),
        ("```", "the answer holds no JSON"),
        ("12 apples", "the answer holds no JSON"),
        ('{"a": 1', "the answer is no complete JSON: Expecting ',' delimiter at line 1 column 8"),
        ('{"a": 1,}', "Expecting property name enclosed in double quotes at line 1 column 9"),
        ('{"a": "b', "Unterminated string starting at at line 1 column 7"),
        ("{'a': 1}", "the answer holds no JSON"),
        ('{"a": 1, "a": 2}', "an object has the same key twice"),
        ('[{"b": {"a": 1, "a": 1}}]', "an object has the same key twice"),
        ("[NaN]", "NaN is no JSON"),
        ("-Infinity", "-Infinity is no JSON"),
        ("[1e999]", "a number is too large"),
        ("[" + "9" * 5000 + "]", "a number has more than 4300 digits"),
        ("[0." + "9" * 5000 + "]", "a number has more than 4300 digits"),
        ("[" * 100_000, "the JSON is nested too deeply"),
    ],
)
def test_what_is_no_usable_json_is_refused_with_a_reason(text: str, problem: str) -> None:
    with pytest.raises(NotJSONError) as caught:
        json_values(text)
    assert problem in str(caught.value)


def test_a_reason_never_quotes_the_text() -> None:
    for text in ('{"secret": sesame}', '{"sesame": 1, "sesame": 2}', '{"a": "sesame', "sesame"):
        with pytest.raises(NotJSONError) as caught:
            json_values(text)
        assert "sesame" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000,
        '{"' * 500_000,
        '{"a":' * 200_000,
        "[see " * 200_000,
        "{ " * 500_000,
        ("{" + " " * 1000) * 1000,
        '{"' + '\\"{' * 300_000,
        '{"a": [' + '{"n": 1}, ' * 100_000,
        "[1] " * 250_000,
        '["a" ' * 200_000,
    ],
    ids=lambda text: text[:10],
)
def test_hostile_megabytes_end_at_once(text: str) -> None:
    with pytest.raises(NotJSONError):
        json_values(text)


def test_a_huge_answer_is_taken() -> None:
    written = json.dumps({"text": "x" * 4_000_000, "rows": [[1, 2.5, "y"]] * 50_000})
    assert json_values(f"Here it is:\n```json\n{written}\n```\nDone.") == [written]


def test_as_many_values_as_allowed_are_taken() -> None:
    assert len(json_values("[1] " * MAX_STARTS)) == MAX_STARTS


@given(VALUES)
def test_the_wrapped_value_is_cut_out_as_it_was_written(value: object) -> None:
    written = json.dumps(value)
    assert wrapped_value(f'{{ "value" : {written} }}', "value") == written


@pytest.mark.parametrize("text", ['{"value": 1, "b": 2}', '{"b": 1}', "[1]", "1", '{"b": 2, "value": 1}', "{}"])
def test_anything_else_is_not_wrapped(text: str) -> None:
    assert wrapped_value(text, "value") is None
