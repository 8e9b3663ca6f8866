"""FrozenDict against dict, the Secret that nobody can show, and tool calls."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Mapping
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.values import NO_JSON, FrozenDict, Secret, ToolCall, listed, masked, may_be_shown

Frozen: TypeAlias = FrozenDict[str, int]
DICTS = st.dictionaries(st.text(max_size=3), st.integers(), max_size=5)
CANARY = "sk-canary-Zx81"

WRITES: Mapping[str, Callable[[Frozen], object]] = {
    "__setitem__": lambda d: d.__setitem__("a", 1),
    "__delitem__": lambda d: d.__delitem__("a"),
    "__ior__": lambda d: d.__ior__({"a": 1}),
    "clear": lambda d: d.clear(),
    "pop": lambda d: d.pop("a", None),
    "popitem": lambda d: d.popitem(),
    "setdefault": lambda d: d.setdefault("a", 1),
    "update": lambda d: d.update(a=1),
}


@given(DICTS, st.text(max_size=3))
def test_a_frozen_dict_reads_like_the_dict_it_was_made_of(model: dict[str, int], key: str) -> None:
    frozen = FrozenDict(model)
    assert isinstance(frozen, dict)
    assert (frozen == model, model == frozen, frozen != model) == (True, True, False)
    assert (list(frozen.items()), list(reversed(frozen)), len(frozen)) == (
        list(model.items()),
        list(reversed(model)),
        len(model),
    )
    assert (frozen.get(key), key in frozen, bool(frozen)) == (model.get(key), key in model, bool(model))
    assert (repr(frozen), json.dumps(frozen)) == (repr(model), json.dumps(model))
    if key not in model:
        with pytest.raises(KeyError):
            frozen[key]


@given(DICTS, DICTS)
def test_a_union_is_that_of_dicts_and_leaves_both_as_they_were(left: dict[str, int], right: dict[str, int]) -> None:
    frozen = FrozenDict(left)
    assert frozen | right == left | right
    assert right | frozen == right | left
    assert frozen == left
    assert frozen.copy() == left


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("content", [{}, {"a": 0, "b": 2}])
def test_every_write_is_refused_and_changes_nothing(write: str, content: dict[str, int]) -> None:
    frozen = FrozenDict(content)
    with pytest.raises(TypeError, match="frozen"):
        WRITES[write](frozen)
    assert frozen == content


def test_no_writer_of_dict_is_forgotten() -> None:
    # What a mutable mapping has beyond a read-only one, in this and in later Pythons.
    reading = {
        *dir(Mapping),
        "__or__",
        "__ror__",
        "__reversed__",
        "copy",
        "fromkeys",
        "__class_getitem__",
        "__sizeof__",
    }
    assert set(vars(dict)) - reading - set(dir(object)) == set(WRITES)


@given(DICTS)
def test_equal_frozen_dicts_hash_equal_whatever_their_order(model: dict[str, int]) -> None:
    backwards = dict(reversed(model.items()))
    assert FrozenDict(model) == FrozenDict(backwards)
    assert hash(FrozenDict(model)) == hash(FrozenDict(backwards))
    assert len({FrozenDict(model), FrozenDict(backwards)}) == 1


def test_a_frozen_dict_hashes_only_if_its_values_do() -> None:
    with pytest.raises(TypeError):
        hash(FrozenDict(a=[1]))


@given(st.dictionaries(st.text(max_size=3), st.lists(st.integers()), max_size=4))
def test_a_frozen_dict_pickles_and_copies_as_itself(model: dict[str, list[int]]) -> None:
    frozen = FrozenDict(model)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(frozen, protocol))
        assert (type(again), again) == (FrozenDict, model)
    for copied in (copy.copy(frozen), copy.deepcopy(frozen)):
        assert (type(copied), copied) == (FrozenDict, model)
    deep = copy.deepcopy(frozen)
    assert all(deep[key] is not frozen[key] for key in model)


def test_the_shared_empty_object_is_empty() -> None:
    assert NO_JSON == {}


def test_a_secret_shows_stars_however_it_is_printed() -> None:
    secret = Secret(CANARY)
    shown = [str(secret), repr(secret), f"{secret}", f"{secret!s:>30}", "%s %r" % (secret, secret), repr([secret])]  # noqa: UP031
    assert all("***" in text and "canary" not in text for text in shown)
    assert secret.reveal() == CANARY


def test_a_secret_has_no_dict_for_a_debugger_to_show() -> None:
    with pytest.raises(TypeError):
        vars(Secret(CANARY))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_never_pickled_and_the_refusal_does_not_tell_it(protocol: int) -> None:
    with pytest.raises(TypeError, match="never pickled") as raised:
        pickle.dumps({"key": [Secret(CANARY)]}, protocol)
    assert CANARY not in str(raised.value)


def test_a_copy_of_a_secret_is_the_secret() -> None:
    secret = Secret(CANARY)
    assert copy.copy(secret) is secret
    assert copy.deepcopy({"keys": (secret,)})["keys"][0] is secret


@given(st.text(min_size=1), st.text(min_size=1))
def test_secrets_are_equal_exactly_when_their_texts_are(left: str, right: str) -> None:
    if left.isprintable() and right.isprintable():
        assert (Secret(left) == Secret(right)) is (left == right)
        assert (len({Secret(left), Secret(right)}) == 1) is (left == right)
    assert not left.isprintable() or Secret(left) != left


@pytest.mark.parametrize("text", ["", "a\nb", "a\r\nX-Evil: 1", "a\x00", "\t", "a\u2028b", "a\x7f", "a\x9b"])
def test_a_secret_that_could_end_a_header_is_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match="non-empty printable text") as raised:
        Secret(text)
    assert raised.value.args == ("a secret must be non-empty printable text",)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("planner", "planner"), ("sk-live-1", "***"), ("x" * 200, "x" * 200), ("x" * 201, "***"), ("AIzaSy", "***")],
)
def test_a_name_that_looks_like_a_key_or_is_endless_is_masked(name: str, shown: str) -> None:
    assert masked(name) == shown
    assert may_be_shown(name) == (shown == name)


def test_a_list_of_names_says_once_that_some_are_masked() -> None:
    assert listed(["sk-live-1", "planner", "sk-live-2"]) == "***, planner"
    assert listed([]) == ""


def test_a_tool_call_is_json_and_a_cut_one_keeps_the_wires_text() -> None:
    whole = ToolCall("c1", "weather", {"city": "Paris"}, signature="opaque")
    cut = ToolCall("c2", "weather", None, '{"city": "Pa')
    assert (whole.signature, cut.signature) == ("opaque", None)
    assert whole.to_dict() == {"id": "c1", "name": "weather", "arguments": {"city": "Paris"}, "raw_arguments": ""}
    assert cut.to_dict() == {"id": "c2", "name": "weather", "arguments": None, "raw_arguments": '{"city": "Pa'}
