from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.emulation.calls import UNKNOWN, UNREADABLE, Found
from loomwire.application.emulation.prose import ProseReader
from loomwire.application.emulation.scanning import MOST_CHARACTERS
from support.emulating import NAMES, call, marked, nobody, read

ROME = Found("weather", {"city": "Rome"})
OSLO = Found("weather", {"city": "Oslo"})


def said(*pieces: str, cut: bool = False, quoted: str = "") -> tuple[str, tuple[Found, ...], str | None]:
    text, ended = read(ProseReader(NAMES, lambda each: each in quoted if quoted else False), pieces, cut=cut)
    return text, ended.calls, ended.problem


@pytest.mark.parametrize(
    "text",
    [
        marked(call()),
        "<tool_call>" + call(),
        "<function_call>" + call() + "</function_call>",
        "[TOOL_CALLS] [" + call() + "]",
        "[TOOL_CALLS]" + call(),
        f"<tool_call>\n```json\n{call()}\n```\n</tool_call>\n",
        call() + "\n</tool_call>\n",
        f"```json\n{call()}\n```\n</tool_call>",
        '{"name": "weather", "input": {"city": "Rome"}}',
        "<tool_call>[" + call() + "]</tool_call>",
        call(),
        " \n" + call() + "\n",
        f"```json\n{call()}\n```",
        f"```\n{call()}\n```\n",
        f"```tool_call\n{call()}```",
        f"[{call()}]",
        '{"tool": "weather", "arguments": {"city": "Rome"}}',
        '{"tool_name": "weather", "args": {"city": "Rome"}}',
        '{"name": "weather", "parameters": {"city": "Rome"}}',
        '{"arguments": {"city": "Rome"}, "name": "weather"}',
        '{"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}',
        '{"tool_calls": [' + call() + "]}",
        '{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{\\"city\\": \\"Rome\\"}"}}',
    ],
)
def test_every_form_that_models_write_is_the_same_call(text: str) -> None:
    shown, calls, problem = said(text)
    assert (calls, problem) == ((ROME,), None)
    assert not shown.strip()


def test_prose_before_a_call_is_text_at_once_and_the_call_never() -> None:
    reader = ProseReader(NAMES, nobody)
    assert reader.feed("I look.\n\n") == "I look.\n\n"
    assert reader.feed("<tool_") == ""
    assert reader.feed('call>{"name": "clock", "arguments": {}') == ""
    assert reader.feed("}</tool_call>") == ""
    assert reader.end(cut=False).calls == (Found("clock", {}),)


def test_text_that_could_have_been_a_call_goes_on_with_the_character_that_decides() -> None:
    reader = ProseReader(NAMES, nobody)
    assert reader.feed("a <") == "a "
    assert reader.feed("b> [1] {x} `c`") == "<b> [1] {x} `c"
    assert reader.end(cut=False).text == "`"


@pytest.mark.parametrize(
    "text",
    [
        marked(call(), call("Oslo")),
        call() + "\n" + call("Oslo"),
        f"```json\n{call()}\n```\n\n```json\n{call('Oslo')}\n```",
        f"[{call()}, {call('Oslo')}]",
        f"{call()}, {call('Oslo')}",
    ],
)
def test_several_calls_come_in_order(text: str) -> None:
    assert said(text)[1:] == ((ROME, OSLO), None)


def test_text_after_a_marked_call_is_text() -> None:
    assert said(marked(call()), "\n\nI wait.") == ("I wait.", (ROME,), None)


@pytest.mark.parametrize(
    "text",
    [
        f"This is a call: {call()} and it tells the weather.",
        f"```json\n{call()}\n```\nThat is how.",
        '{"name": "Bob", "age": 7}',
        '{"name": "Bob", "arguments": {}}',
        f"[{call()}, 1]",
        f'{call()}\n{{"name": "Bob", "arguments": {{}}}}',
        '{"name": "weather", "arguments": {"city": "Rome"}, "note": "no call"}',
        '{"name": 7, "arguments": {}}',
        '{"name": {"a": 1}, "arguments": {}}',
        '{"name": "weather", "arguments": {"city": NaN}}',
        "{}",
        "[]",
        '{"tool_calls": []}',
        '{"name": ' + "[" * 100 + "]" * 100 + ', "arguments": {}}',
        '{"name": "wea',
        "<tool_call> is a mark. <tool_call",
        "```json\n[1, 2]\n```",
        "a < b, [TOOL_CALLS is nothing",
    ],
)
def test_what_only_looks_like_a_call_is_text_and_whole(text: str) -> None:
    assert said(text) == (text, (), None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (marked(call(name="rm")), UNKNOWN),
        ("<tool_call>{}</tool_call>", UNREADABLE),
        ("<tool_call>{'name': 1}</tool_call>", UNREADABLE),
        ('<tool_call>{"age": 7}</tool_call> and more', UNREADABLE),
        ('<tool_call>{"age": ', UNREADABLE),
        ('<tool_call>{"name": "rm", "argum', UNKNOWN),
        ('<tool_call>[{"name": 1}, {"na', UNREADABLE),
    ],
)
def test_a_marked_call_that_must_not_be_run_is_a_problem(text: str, problem: str) -> None:
    assert said(text)[1:] == ((), problem)


def test_a_cut_call_has_its_name_and_no_arguments() -> None:
    cut = Found("weather", None, '{"city": "Ro')
    for mark in ("<tool_call>\n", "```json\n", ""):
        assert said(mark + call()[:-5], cut=True) == ("", (cut,), None)
    assert said(marked(call()) + "\n<tool_call>" + call("Oslo")[:-5], cut=True)[1] == (
        ROME,
        Found("weather", None, '{"city": "Os'),
    )
    assert said(f"[{call()}, {call('Oslo')[:-5]}", cut=True)[1][0] == ROME
    assert said('{"name": "weather"', cut=True) == ("", (Found("weather", None),), None)
    listed = '{"tool_calls": [' + call() + ', {"name": "weather", "arguments": {"ci'
    assert said(listed, cut=True) == ("", (ROME, Found("weather", None, '{"ci')), None)


def test_a_call_that_is_too_long_to_be_believed_is_a_problem() -> None:
    long = call("a" * MOST_CHARACTERS)
    assert said(marked(long))[1:] == ((), UNREADABLE)
    assert said(long)[:2] == (long, ())


def test_a_call_that_is_cut_before_its_name_is_nothing() -> None:
    assert said('Hm. <tool_call>{"na', cut=True) == ("Hm. ", (), None)
    assert said("Hm. <tool_ca", cut=True) == ("Hm. ", (), None)
    assert said("Hm. <to", cut=True) == ("Hm. <to", (), None)


def test_arguments_that_are_no_object_are_kept_as_text() -> None:
    assert said('{"name": "clock", "arguments": [1]}')[1] == (Found("clock", None, "[1]"),)
    assert said('{"name": "clock", "arguments": "no JSON"}')[1] == (Found("clock", None, "no JSON"),)
    assert said('{"name": "clock", "arguments": ""}')[1] == (Found("clock", {}),)
    assert said('{"name": "clock", "arguments": null}')[1] == (Found("clock", {}),)


@pytest.mark.parametrize("text", [call(), marked(call()), f"```json\n{call()}\n```", marked(call())[:-20]])
def test_a_quotation_is_no_call(text: str) -> None:
    shown, calls, problem = said(text, quoted=f"Say after me: {call()}")
    assert (calls, problem) == ((), None)
    assert '"name": "weather"' in shown


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        (f"<think>Should I? {marked(call())}</think>No.", f"<think>Should I? {marked(call())}</think>No.", ()),
        (
            f"\n<think>Hm. {call('Oslo')}\n</think>\n{marked(call())}",
            f"\n<think>Hm. {call('Oslo')}\n</think>\n",
            (ROME,),
        ),
        (f"<think>{marked(call())}", f"<think>{marked(call())}", ()),
        (f"<think></think>{call()}", "<think></think>", (ROME,)),
        ("<think>a < b </thin", "<think>a < b </thin", ()),
        (f"Not at the start: <think>{marked(call())}", "Not at the start: <think>", (ROME,)),
        ("<thinking", "<thinking", ()),
        (" <thi", " <thi", ()),
    ],
)
def test_what_a_model_thinks_aloud_before_its_answer_is_no_call(
    text: str, shown: str, calls: tuple[Found, ...]
) -> None:
    assert said(text) == (shown, calls, None)
    assert said(*text) == (shown, calls, None)


def test_half_a_surrogate_pair_becomes_a_character_that_can_be_sent_on() -> None:
    text = '{"name": "weather", "arguments": {"city": "a\\ud800", "\\ud83d\\ude00": ["\\udc00"]}}'
    assert said(text)[1] == (Found("weather", {"city": "a\ufffd", "\U0001f600": ["\ufffd"]}),)


FRAGMENTS = (
    *("<tool_call>", "</tool_call>", "[TOOL_CALLS]", "```json\n", "```", "\n", " ", "{", "}", "[", "]", '"', ",", "\\"),
    *('"name": ', '"weather"', '"arguments": ', call(), call("Oslo"), call(name="rm"), "text", "<b>", '{"name"', "é🗼"),
    *("<think>", "</think>"),
)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.data(), st.booleans())
def test_any_cut_of_an_answer_reads_the_same(fragments: list[str], data: st.DataObject, cut: bool) -> None:
    text = "".join(fragments)
    whole = read(ProseReader(NAMES, nobody), [text], cut=cut)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    for split in (pieces, list(text)):
        shown, ended = read(ProseReader(NAMES, nobody), split, cut=cut)
        assert (shown, ended.calls, ended.problem) == (whole[0], whole[1].calls, whole[1].problem)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=14), st.booleans())
def test_without_calls_and_problems_no_character_is_lost(fragments: list[str], cut: bool) -> None:
    text = "".join(fragments)
    shown, ended = read(ProseReader(NAMES, nobody), list(text), cut=cut)
    if not ended.calls and ended.problem is None and not cut:
        assert shown == text


def test_reading_is_linear() -> None:
    texts = ["{x [1] <b> `c` " * 4_000, '{"name": ' * 4_000, "<tool_call>" * 4_000, call()[:-2] + "a" * 50_000]
    started = time.process_time()
    for text in texts:
        read(ProseReader(NAMES, nobody), [text])
        read(ProseReader(NAMES, nobody), [text[at : at + 7] for at in range(0, len(text), 7)])
    assert time.process_time() - started < 5
