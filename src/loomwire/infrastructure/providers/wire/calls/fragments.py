"""Puts streamed fragments of tool calls together, whatever the server does with ids and indexes (TRAPS 26 to 32)."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from loomwire.domain.errors import llm_error
from loomwire.domain.events import StreamEvent, ToolCallDelta, ToolCallStart
from loomwire.infrastructure.providers.wire.answer import Answer, PendingCall, made_up_id
from loomwire.infrastructure.providers.wire.calls.inputs import said_arguments
from loomwire.infrastructure.providers.wire.json_bytes import Outside
from loomwire.infrastructure.providers.wire.said import Said


class WireFunction(Struct, gc=False):
    """The function of a call, or the custom tool, whose `input` is plain text."""

    name: object = None
    arguments: object = None
    input: object = None


class WireCall(Struct):
    """A call, or a fragment of one."""

    index: object = None
    id: object = None
    function: WireFunction | None = None
    custom: WireFunction | None = None
    extra_content: object = None


_NO_FUNCTION = WireFunction()


class _Progress:
    """Tells whether arguments that come in pieces are whole, looking at each character once."""

    __slots__ = ("_depth", "_opens", "_outside", "_seen")

    def __init__(self) -> None:
        self._outside = Outside()
        self._depth = 0
        self._seen = 0
        self._opens = False

    def is_whole(self, said: Said) -> bool:
        """Tell whether there is an object whose every bracket is closed."""
        new = said.since(self._seen)
        self._opens = self._opens if self._seen else new.lstrip().startswith("{")
        self._seen += len(new)
        outside = self._outside.feed(new.encode("utf-8", "replace"))
        self._depth += outside.count(b"{") + outside.count(b"[") - outside.count(b"}") - outside.count(b"]")
        return self._depth == 0 and self._opens


class CallTracker:
    """Knows which call of an answer a fragment belongs to.

    A new id is a new call, also at an index that is in use; a fragment without id continues the call at its index, or
    the last one when it has no index either. Where a server repeats the name instead of an id, whole arguments tell
    that a new object begins a new call; only an empty object before arguments of the same name stood for nothing.

    Args:
        answer: Where the calls go.
    """

    __slots__ = ("_answer", "_at", "_by_id", "_last", "_progress")

    def __init__(self, answer: Answer) -> None:
        """Know no call yet."""
        self._answer = answer
        self._at: dict[int, PendingCall] = {}
        self._by_id: dict[str, PendingCall] = {}
        self._last: PendingCall | None = None
        self._progress: dict[int, _Progress] = {}

    def read(self, wire: WireCall, events: list[StreamEvent]) -> None:
        """Note a fragment; adds the events it makes."""
        function = wire.function or wire.custom or _NO_FUNCTION
        name, id_ = _text(function.name), _text(wire.id)
        index = wire.index if isinstance(wire.index, int) else None
        arguments = _arguments(function)
        call = self._continued(index, id_, name, arguments) or self._opened(index, id_)
        self._last = call
        if name and not call.name:
            _announce(call, name, events)
        if isinstance(wire.extra_content, Mapping):
            call.signature = msgspec.json.encode(wire.extra_content).decode()
        if arguments:
            event = self._answer.add_arguments(call.index, arguments)
            # Nobody can make use of arguments before the name is known.
            events += [event] if call.name else []

    def check(self) -> None:
        """Raise LLMProtocolError when a call never got a name."""
        if not all(call.name for call in self._answer.calls):
            raise llm_error("protocol", "the answer has a tool call without a name")

    def _continued(self, index: int | None, id: str, name: str, arguments: str) -> PendingCall | None:
        known = self._by_id.get(id)
        if index is None:
            # Mistral and Google send no index (28); Google no id either, so only the name tells calls apart.
            return self._same(known, name, arguments) if id else self._last_unless(name)
        there = self._at.get(index)
        if not name:
            return there or known or self._last_unless(id)
        if there is None or known is there:
            return self._same(there, name, arguments)
        return None if id or self._begins_anew(there, name, arguments) else there

    def _same(self, call: PendingCall | None, name: str, arguments: str) -> PendingCall | None:
        # Some server gives all its calls one id.
        return None if call is None or (name and self._begins_anew(call, name, arguments)) else call

    def _begins_anew(self, call: PendingCall, name: str, arguments: str) -> bool:
        said = call.arguments
        if not said or not (arguments.startswith("{") or name != call.name):
            return False
        if name == call.name and said.count == 1 and said.text().strip() == "{}":
            call.arguments = Said()
            return False
        return self._progress.setdefault(call.index, _Progress()).is_whole(said)

    def _last_unless(self, word: str) -> PendingCall | None:
        return None if word else self._last

    def _opened(self, index: int | None, id: str) -> PendingCall:
        own = id if id and id not in self._by_id else made_up_id()
        self._answer.start_call(own, "")  # announced with its name
        call = self._answer.calls[-1]
        self._by_id[own] = call
        if index is not None:
            self._at[index] = call
        return call


def _announce(call: PendingCall, name: str, events: list[StreamEvent]) -> None:
    call.name = name
    events.append(ToolCallStart(call.index, call.id, name))
    if call.arguments:
        events.append(ToolCallDelta(call.index, call.arguments.text()))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _arguments(function: WireFunction) -> str:
    return said_arguments(function.input if function.arguments is None else function.arguments)
