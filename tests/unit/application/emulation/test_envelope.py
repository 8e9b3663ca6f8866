from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.emulation.calls import UNKNOWN, UNREADABLE, Found
from loomwire.application.emulation.envelope import EnvelopeReader
from loomwire.application.emulation.reader import Read
from support.emulating import NAMES, call, enveloped, marked, nobody, read

ROME = Found("weather", {"city": "Rome"})
CALL = json.loads(call())


def said(*pieces: str, cut: bool = False) -> tuple[str, tuple[Found, ...], str | None]:
    text, ended = read(EnvelopeReader(NAMES, nobody), pieces, cut=cut)
    return text, ended.calls, ended.problem


def test_the_text_of_an_answer_goes_on_while_it_comes() -> None:
    reader = EnvelopeReader(NAMES, nobody)
    assert reader.feed('{"tool_calls": [], "answ') == ""
    assert reader.feed('er": "Good') == "Good"
    assert reader.feed(" morning\\") == " morning"
    assert reader.feed("n\\ud83d") == "\n"
    assert reader.feed("\\ude00 {") == "\U0001f600 {"
    assert reader.feed("}\n```\\u12") == "}\n```"
    assert reader.end(cut=False).problem == UNREADABLE
    assert reader.end(cut=True) == Read()


@pytest.mark.parametrize(
    ("text", "shown", "calls"),
    [
        (enveloped(answer="Hi."), "Hi.", ()),
        (enveloped(), "", ()),
        (f"\n```json\n{enveloped(answer='Hi.')}\n```\n", "Hi.", ()),
        (json.dumps({"answer": "Hi."}), "Hi.", ()),
        (json.dumps({"answer": "Hi.", "tool_calls": [CALL]}), "Hi.", (ROME,)),
        (enveloped(CALL, answer="I look."), "I look.", (ROME,)),
        (json.dumps({"tool_calls": [CALL]}), "", (ROME,)),
        (json.dumps({"tool_calls": CALL}), "", (ROME,)),
        (enveloped(answer={"a": 1.0, "b": "é"}), '{"a":1.0,"b":"é"}', ()),
        (enveloped(answer=None), "", ()),
        (json.dumps({"reason": "Why.", "tool_calls": [CALL], "answer": ""}), "", (ROME,)),
        (json.dumps({"tool_calls": [CALL], "reason": "Why."}), "", (ROME,)),
        (json.dumps({"tool_calls": [], "answer": "Hi.", "reason": "Why."}), "Hi.", ()),
        (json.dumps({"answer": "Hi.", "reason": "Why."}), "Hi.", ()),
        (call(), "", (ROME,)),
        ('{"age": 7}', '{"age": 7}', ()),
        ("{}", "{}", ()),
        ("", "", ()),
        ("  ", "  ", ()),
        ("```", "```", ()),
        ("Plain prose.", "Plain prose.", ()),
        (f"Prose. {marked(call())}", "Prose. ", (ROME,)),
        (enveloped(answer='a\\u0041 \\ " / \b\f\n\r\t \u2028'), 'a\\u0041 \\ " / \b\f\n\r\t \u2028', ()),
        ('{"answer": "\\ud800\\ud83d\\ude00\\udc00 \\ud800"}', "\ufffd\U0001f600\ufffd \ufffd", ()),
        (enveloped(answer=marked(call())), marked(call()), ()),
    ],
)
def test_calls_and_text_are_told_apart(text: str, shown: str, calls: tuple[Found, ...]) -> None:
    assert said(text) == (shown, calls, None)
    assert said(*text) == (shown, calls, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (enveloped({"name": "rm", "arguments": {}}), UNKNOWN),
        (enveloped(1), UNREADABLE),
        ('{"tool_calls": "x"}', UNREADABLE),
        ('{"answer": "a\\x", "tool_calls": []}', UNREADABLE),
        ('{"answer": "a", "answer": "b"}', UNREADABLE),
        ('{"answer": "a"} and more', UNREADABLE),
        ('{"answer": "a', UNREADABLE),
        ('{"answer": ', UNREADABLE),
        ('{"answer": tru}', UNREADABLE),
    ],
)
def test_what_is_no_answer_of_this_form_is_a_problem(text: str, problem: str) -> None:
    assert said(text)[1:] == ((), problem)
    assert said(*text)[1:] == ((), problem)


def test_a_cut_answer_is_what_came() -> None:
    assert said('{"tool_calls": [], "answer": "Once upon a', cut=True) == ("Once upon a", (), None)
    assert said('{"tool_calls": [], "answer": "Once \\u00', cut=True) == ("Once ", (), None)
    assert said('{"tool_ca', cut=True) == ("", (), None)
    cut = Found("weather", None, '{"city": "Ro')
    assert said(enveloped(CALL, CALL)[: -(len('"me"}}], "answer": ""}') + 0)], cut=True)[1][0] == ROME
    assert said('{"tool_calls": [' + call()[:-5], cut=True) == ("", (cut,), None)
    assert said('{"tool_calls": [{"name": "rm", "ar', cut=True)[2] == UNKNOWN
    assert said('{"tool_calls": [{"name": 1}, {', cut=True)[2] == UNREADABLE


def test_many_calls_are_held_however_they_come() -> None:
    text = enveloped(*[CALL] * 20, answer="I look.")
    assert said(*text) == said(text) == ("I look.", (ROME,) * 20, None)


@given(st.text(), st.lists(st.just(CALL), max_size=2), st.booleans(), st.data())
def test_any_cut_of_an_envelope_reads_the_same(
    answer: str, calls: list[dict[str, object]], first: bool, data: st.DataObject
) -> None:
    fields = {"answer": answer, "tool_calls": calls} if first else {"tool_calls": calls, "answer": answer}
    text = json.dumps(fields, ensure_ascii=data.draw(st.booleans()))
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, len(text)], strict=True)]
    assert said(*pieces) == said(*text) == (answer, (ROME,) * len(calls), None)
    cut = text[: data.draw(st.integers(0, len(text)))]
    assert said(cut, cut=True) == said(*cut, cut=True)
    assert answer.startswith(said(cut, cut=True)[0]) or not cut.startswith("{")


@given(st.lists(st.integers(1, 7), max_size=60))
def test_what_is_thought_aloud_before_an_envelope_is_no_text_however_it_comes(sizes: list[int]) -> None:
    text = f"\n<think>\nI weigh {call()} < 2 </thin\n</think>\n\n{enveloped(answer='Hi.')}"
    reader = EnvelopeReader(NAMES, nobody)
    shown, at = [], 0
    for size in [*sizes, len(text)]:
        shown.append(reader.feed(text[at : at + size]))
        at += size
    assert "".join(shown) + reader.end(cut=False).text == "Hi."
    assert reader.thought() == f"I weigh {call()} < 2 </thin"
    assert reader.thought() == ""


@pytest.mark.parametrize(
    "text",
    ["<think>Hm.</think>Plain prose.", "<think>Hm.", "<think>Hm.</think>", "<think>Hm.</think> `", "<thi", "<b>"],
)
def test_thinking_without_an_envelope_stays_the_text_that_it_was(text: str) -> None:
    reader = EnvelopeReader(NAMES, nobody)
    shown, ended = read(reader, text)
    assert (shown, ended.calls, ended.problem, reader.thought()) == (text, (), None, "")


def test_a_call_after_thinking_aloud_is_called() -> None:
    assert said("<think>Rome?</think>", enveloped(CALL)) == ("", (ROME,), None)
    assert said("<think>Rome?</think>", marked(call())) == ("<think>Rome?</think>", (ROME,), None)
