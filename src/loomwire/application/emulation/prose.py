"""Reads free text in which a model may call tools."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from typing_extensions import override

from loomwire.application.emulation.calls import (
    ARGUMENT_KEYS,
    EXTRA_KEYS,
    NAME_KEYS,
    UNREADABLE,
    BadCallError,
    Found,
    calls_in,
    cut_calls,
    known,
)
from loomwire.application.emulation.reader import Read, Reader
from loomwire.application.emulation.scanning import JsonScan, read_value

MARKS: Final = ("<tool_call>", "<function_call>", "[TOOL_CALLS]")
"""What models write before a call when they mean one; the first is what the prompt asks for."""

_SPACE: Final = r"\s{0,32}"
_FENCE: Final = ("`", "`", "`", "[a-z_]{0,12}", _SPACE)
_CANDIDATE: Final = re.compile(r"[<\[{`]")
_BACKTICKS: Final = "```"
_CLOSINGS: Final = ("</tool_call>", "</function_call>", _BACKTICKS)
THOUGHT: Final = ("<think>", "</think>")
"""What stands around thinking aloud (TRAPS 43)."""

_SURE_MARK: Final = 6
_SLICE: Final = 4096


def _elements(text: str) -> tuple[str, ...]:
    return tuple(map(re.escape, text))


def _key_forms() -> Iterable[tuple[str, ...]]:
    for key in (*NAME_KEYS, *ARGUMENT_KEYS, *EXTRA_KEYS):
        rest = (r"\{", _SPACE, *_elements(f'"{key}"'), _SPACE, ":")
        for opened in ((), (r"\[", _SPACE)):
            yield (*opened, *rest)


def _loose_forms() -> Iterable[tuple[str, ...]]:
    for form in _key_forms():
        yield form
        yield (*_FENCE, *form)


def _marked_forms() -> Iterable[tuple[str, ...]]:
    for mark in MARKS:
        yield (*_elements(mark), _SPACE, r"\{")
        yield (*_elements(mark), _SPACE, r"\[", _SPACE, r"\{")
        yield (*_elements(mark), _SPACE, *_FENCE, r"\{")


def _any_of(forms: Iterable[Sequence[str]], written: Callable[[Sequence[str]], str]) -> re.Pattern[str]:
    return re.compile("|".join(map(written, forms)))


def _beginning(form: Sequence[str]) -> str:
    """Return a pattern that matches whatever a text of this form can begin with."""
    pattern = ""
    for element in reversed(form):
        pattern = f"(?:{element}{pattern})?"
    return pattern


_LOOSE: Final = _any_of(_loose_forms(), "".join)
_MARKED: Final = _any_of(_marked_forms(), "".join)
_BEGUN: Final = _any_of((*_loose_forms(), *_marked_forms()), _beginning)
_BEGUN_MARK: Final = _any_of(_marked_forms(), _beginning)
# What may stand behind a call that ends the answer: blanks, the ends of a fence, a mark that nobody opened.
_TAIL: Final = re.compile(
    r"[\s,;]{0,512}(?:`{1,3}[a-z_]{0,12}[\s,;]{0,512}){0,2}"
    "(?:" + "|".join(_beginning((*_elements(closing), r"\s{0,512}")) for closing in _CLOSINGS[:2]) + ")"
)
_VALUE: Final = re.compile(r"(?:\[\s{0,32})?\{")


class ProseReader(Reader):
    """Tells calls from text in free prose, where nothing forces a model to keep to a form.

    Text goes on at once until something begins that may be a call. With a mark in front (`<tool_call>`) JSON is a
    call, and one that cannot be read, or of an unknown tool, is a problem. Without one (bare JSON, or in a fence) it is
    a call only if it ends the answer and all in it have the form of a call of a known tool; everything else that looks
    like it is text. What stands in the user's words or in a tool's result is a quotation, never a call; nor is what a
    model thinks aloud before its answer (`<think>`, TRAPS 43), where it weighs calls that it may not make.

    Args:
        names: The tools that may be called.
        quoted: Tells whether the conversation holds a text that somebody else said.
    """

    __slots__ = (
        "_calls",
        "_held",
        "_loose",
        "_marked",
        "_names",
        "_problem",
        "_quoted",
        "_said",
        "_scan",
        "_state",
        "_value",
    )

    def __init__(self, names: Collection[str], quoted: Callable[[str], bool]) -> None:
        """Begin with text."""
        self._names = names
        self._quoted = quoted
        self._calls: list[Found] = []
        self._loose: list[Found] = []
        self._said: list[str] = []
        self._held: list[str] = []
        self._value: list[str] = []
        self._scan = JsonScan()
        self._marked = False
        self._problem: str | None = None
        self._state: Callable[[str], str] = self._at_start

    @override
    def feed(self, text: str) -> str:
        # In slices, because each candidate copies what is behind it.
        for start in range(0, len(text), _SLICE):
            rest = text[start : start + _SLICE]
            while rest and self._problem is None:
                rest = self._state(rest)
        said = "".join(self._said)
        self._said.clear()
        return said

    @override
    def end(self, *, cut: bool) -> Read:
        if self._problem is not None:
            return Read(problem=self._problem)
        if self._state == self._in_value:
            return self._ended_in_value(cut=cut)
        held = "".join(self._held)
        if self._state == self._after_loose:
            return Read("", (*self._calls, *self._loose))
        if self._state == self._after_marked:
            return Read("", tuple(self._calls))
        if cut and len(held) >= _SURE_MARK and _BEGUN_MARK.fullmatch(held):
            held = ""
        return Read(held, tuple(self._calls))

    def _at_start(self, text: str) -> str:
        """See whether the answer begins with thoughts."""
        begun = "".join(self._held) + text
        head = begun.lstrip()
        self._said.append(begun[: len(begun) - len(head)])
        if len(head) < len(THOUGHT[0]) and THOUGHT[0].startswith(head):
            self._held = [head] if head else []
            return ""
        self._held = []
        self._state = self._in_thought if head.startswith(THOUGHT[0]) else self._in_text
        return head

    def _in_thought(self, text: str) -> str:
        """Pass thoughts on, up to their end."""
        text = "".join(self._held) + text
        end = text.find(THOUGHT[1])
        if end >= 0:
            end += len(THOUGHT[1])
            self._held = []
            self._said.append(text[:end])
            self._state = self._in_text
            return text[end:]
        begun = next(size for size in reversed(range(len(THOUGHT[1]))) if text.endswith(THOUGHT[1][:size]))
        self._said.append(text[: len(text) - begun])
        self._held = [text[len(text) - begun :]]
        return ""

    def _in_text(self, text: str) -> str:
        """Pass text on, up to what may begin a call."""
        if not self._held:
            found = _CANDIDATE.search(text)
            if found is None:
                self._said.append(text)
                return ""
            self._said.append(text[: found.start()])
            text = text[found.start() :]
        held = "".join(self._held)
        for at, character in enumerate(text, 1):
            held += character
            if _LOOSE.fullmatch(held) or _MARKED.fullmatch(held):
                self._held = [held]
                return self._begin_value(held) + text[at:]
            if not _BEGUN.fullmatch(held):
                self._held = []
                self._said.append(held[0])
                return held[1:] + text[at:]
        self._held = [held]
        return ""

    def _begin_value(self, held: str) -> str:
        """Start reading the value; returns its beginning, which is read once more."""
        self._marked = _MARKED.fullmatch(held) is not None
        mark = next((mark for mark in MARKS if self._marked and held.startswith(mark)), "")
        found = _VALUE.search(held, len(mark))
        start = found.start() if found else len(held)
        self._held = [held[:start]]
        self._value = []
        self._scan = JsonScan()
        self._state = self._in_value
        return held[start:]

    def _in_value(self, text: str) -> str:
        end = self._scan.take(text)
        self._value.append(text[:end])
        if end is None:
            return ""
        value = "".join(self._value)
        try:
            found = self._read(value)
        except BadCallError as error:
            if self._marked and not self._quoted(value):
                self._problem = str(error)
            else:
                self._give_up(value)
            return text[end:]
        self._held.append(value)
        if self._marked:
            self._calls += found
            self._held = []
            self._state = self._after_marked
        else:
            self._loose += found
            self._held.append("")
            self._state = self._after_loose
        return text[end:]

    def _read(self, value: str) -> tuple[Found, ...]:
        try:
            found = known(calls_in(read_value(value)), self._names)
        except BadCallError:
            raise
        except ValueError:
            raise BadCallError(UNREADABLE) from None
        if self._quoted(value):
            raise BadCallError(UNREADABLE)
        return found

    def _give_up(self, value: str) -> None:
        """Hand out as text what only looked like a call."""
        self._said += [*self._held, value]
        self._begin_text()

    def _begin_text(self) -> None:
        self._held, self._loose = [], []
        self._state = self._in_text

    def _after_loose(self, text: str) -> str:
        """See whether the answer ends here, or a further call follows; else it was no call but an example."""
        tail = self._held.pop()
        for at, character in enumerate(text):
            if character in "{[":
                self._held.append(tail)
                self._value, self._scan, self._state = [], JsonScan(), self._in_value
                return text[at:]
            if not _TAIL.fullmatch(tail + character):
                self._give_up(tail)
                return text[at:]
            tail += character
        self._held.append(tail)
        return ""

    def _after_marked(self, text: str) -> str:
        """Skip the closing mark."""
        held = "".join(self._held) + text if self._held else text.lstrip()
        if not held:
            return ""
        closing = next((each for each in _CLOSINGS if held.startswith(each)), "")
        if not closing and any(each.startswith(held) for each in _CLOSINGS):
            self._held = [held]
            return ""
        self._held = []
        if closing != _BACKTICKS:
            self._state = self._after_closed
        return held[len(closing) :]

    def _after_closed(self, text: str) -> str:
        """Skip the blanks between calls; what else follows is text again."""
        text = text.lstrip()
        if text:
            self._begin_text()
        return text

    def _ended_in_value(self, *, cut: bool) -> Read:
        text = "".join(self._value)
        if self._quoted(text):
            return Read("".join((*self._held, text)), tuple(self._calls))
        try:
            found = known(tuple(cut_calls(text)), self._names)
        except BadCallError as error:
            return Read(problem=str(error)) if self._marked else self._as_text(text)
        if found:
            return Read("", (*self._calls, *self._loose, *found))
        if not self._marked:
            return self._as_text(text)
        return Read("", tuple(self._calls)) if cut else Read(problem=UNREADABLE)

    def _as_text(self, text: str) -> Read:
        return Read("".join((*self._held, text)), tuple(self._calls))
