"""Reads answers of a model that is held to JSON: one object with the calls and the answer's text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from typing_extensions import override

from loomwire.application.emulation.calls import UNREADABLE, BadCallError, Found, calls_in, cut_calls, known
from loomwire.application.emulation.prose import THOUGHT, ProseReader
from loomwire.application.emulation.reader import Read, Reader
from loomwire.application.emulation.scanning import JsonScan, read_value, unescaped
from loomwire.domain.values import JSON

CALLS: Final = "tool_calls"
ANSWER: Final = "answer"

_LEAD: Final = re.compile(r"\s*(?:```[a-z_]*\s*)?\{")
_LEAD_BEGUN: Final = re.compile(r"\s*(?:`(?:`(?:`[a-z_]*\s*)?)?)?")
_TEXT_AHEAD: Final = re.compile(
    rf'\s*(?:```[a-z_]*\s*)?\{{\s*(?:"{CALLS}"\s*:\s*\[\s*\]\s*,\s*)?"{ANSWER}"\s*:\s*"',
)
_CALLS_AHEAD: Final = re.compile(rf'"{CALLS}"\s*:\s*\[')
_MOST_HEAD: Final = 256
_MOST_ESCAPE: Final = 12
_HIGH: Final = r"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW: Final = r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ONE: Final = r"\\u(?![dD][89abAB])[0-9a-fA-F]{4}"
# Whole characters and escapes; half an escape waits for its rest, and the first half of a pair for its second.
_WHOLE: Final = re.compile(
    rf'(?:[^"\\]+|\\["\\/bfnrt]|{_ONE}|{_HIGH}(?:{_LOW}|(?=[^\\]|\\[^u]|\\u(?![dD][c-fC-F])[0-9a-fA-F]{{4}})))*'
)


class EnvelopeReader(Reader):
    """Reads `{"tool_calls": [...], "answer": "..."}`; the text of `answer` goes on while it comes.

    What stands in `answer` is never looked at for calls, so nothing that it quotes can be taken for one. Something that
    does not begin as an object is read as prose; another object is a call of the forms that models know, or text. What
    a model thinks aloud before its object (`<think>`) is held until the object begins, and then is no text.

    Args:
        names: The tools that may be called.
        quoted: As for `ProseReader`.
    """

    __slots__ = ("_aloud", "_names", "_prose", "_quoted", "_raw", "_rest", "_said", "_state", "_thought")

    def __init__(self, names: Collection[str], quoted: Callable[[str], bool]) -> None:
        """Begin before the first character, which decides."""
        self._names = names
        self._quoted = quoted
        self._raw: list[str] = []
        self._rest = ""
        self._said: list[str] = []
        self._prose: ProseReader | None = None
        self._aloud = ""
        self._thought = ""
        self._state: Callable[[str], str] = self._at_start

    @override
    def feed(self, text: str) -> str:
        if self._prose is not None:
            return self._prose.feed(text)
        self._raw.append(text)
        return self._state(text)

    @override
    def thought(self) -> str:
        thought, self._thought = self._thought, ""
        return thought

    @override
    def end(self, *, cut: bool) -> Read:
        if self._prose is not None:
            return self._prose.end(cut=cut)
        raw = "".join(self._raw)
        if not _LEAD.match(raw):
            return Read(self._aloud + raw)
        if self._state == self._in_answer:
            return Read() if cut else Read(problem=UNREADABLE)
        try:
            return self._read(raw)
        except BadCallError as error:
            return Read(problem=str(error))
        except ValueError:
            return self._read_cut(raw) if cut else Read(problem=UNREADABLE)

    def _at_start(self, _: str) -> str:
        begun = "".join(self._raw)
        head = begun.lstrip()
        if len(head) < len(THOUGHT[0]) and THOUGHT[0].startswith(head):
            return ""
        self._state = self._in_thought if head.startswith(THOUGHT[0]) else self._in_head
        return self._state(begun)

    def _in_thought(self, text: str) -> str:
        window = self._rest + text
        found = window.find(THOUGHT[1])
        if found < 0:
            self._rest = window[1 - len(THOUGHT[1]) :]
            return ""
        raw = "".join(self._raw)
        end = len(raw) - len(window) + found + len(THOUGHT[1])
        self._aloud, self._raw, self._rest = raw[:end], [raw[end:]], ""
        self._state = self._in_head
        return self._in_head("")

    def _in_head(self, _: str) -> str:
        head = "".join(self._raw)
        if self._aloud and _LEAD.match(head):
            self._thought = self._aloud.strip()[len(THOUGHT[0]) : -len(THOUGHT[1])].strip()
            self._aloud = ""
        found = _TEXT_AHEAD.match(head)
        if found is not None:
            self._state = self._in_answer
            return self._in_answer(head[found.end() :])
        if not _LEAD.match(head) and not _LEAD_BEGUN.fullmatch(head):
            self._prose = ProseReader(self._names, self._quoted)
            self._raw = []
            return self._prose.feed(self._aloud + head)
        if len(head) > _MOST_HEAD:
            self._state = _held
        return ""

    def _in_answer(self, text: str) -> str:
        rest = self._rest + text
        found = _WHOLE.match(rest)
        end = found.end() if found else 0
        self._rest = rest[end:]
        if self._rest.startswith('"') or len(self._rest) > _MOST_ESCAPE:
            # The end of the text, or an escape that is none; the end of the answer will say so.
            self._state = _held
        said = unescaped(rest[:end])
        self._said.append(said)
        return said

    def _read(self, raw: str) -> Read:
        text = _object_in(raw)
        value = read_value(text)
        shown = "".join(self._said)
        # Models that no grammar holds add fields of their own, such as a reason.
        if isinstance(value, Mapping) and (CALLS in value or set(value) == {ANSWER} or shown):
            calls = _listed(value.get(CALLS))
            said = _words(value.get(ANSWER))
            if shown and not said.startswith(shown):
                raise BadCallError(UNREADABLE)
            return Read(said[len(shown) :], known(calls, self._names))
        try:
            return Read("", known(calls_in(value), self._names))
        except BadCallError:
            # Some other object: the model's answer, in a form that nobody asked for.
            return Read(text)

    def _read_cut(self, raw: str) -> Read:
        calls = _CALLS_AHEAD.search(raw)
        try:
            found = known(tuple(cut_calls(raw[calls.end() :] if calls else raw)), self._names)
        except BadCallError as error:
            return Read(problem=str(error))
        return Read("", found)


def _held(_: str) -> str:
    return ""


def _object_in(raw: str) -> str:
    start = raw.index("{")
    end = JsonScan().take(raw, start)
    if end is None or raw[end:].strip().strip("`"):
        raise ValueError("no JSON")
    return raw[start:end]


def _listed(value: JSON) -> tuple[Found, ...]:
    if value is None or (isinstance(value, Sequence) and not value):
        return ()
    return calls_in(value)


def _words(value: JSON) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
