"""Puts the items of an answer together from their pieces, or takes them whole, whatever ids and places say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.events import StreamEvent, ToolCallStart
from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.openai_responses.kept import Item, kept_items, read_message, text_in
from loomwire.infrastructure.providers.wire.answer import Answer
from loomwire.infrastructure.providers.wire.calls.ids import fresh_id
from loomwire.infrastructure.providers.wire.calls.inputs import said_arguments
from loomwire.infrastructure.providers.wire.json_bytes import parse_arguments
from loomwire.infrastructure.providers.wire.said import Said

MOST_ITEMS = 2048
"""Items of one answer; one with hundreds of calls has not half as many."""

_CALL_PIECES: Mapping[str, str] = {
    "response.function_call_arguments.delta": "function_call",
    "response.custom_tool_call_input.delta": "custom_tool_call",
}
_REFUSAL = "response.refusal.delta"


class ItemTracker:
    """Knows which item of an answer a piece belongs to, and what of each has been said.

    An item is known by its id, else by its place: gateways give one item several ids, and some servers count no
    places. What comes whole at the end of an item, or of the answer, adds only what was not said in pieces.

    Args:
        answer: Where text, thinking and calls go.
    """

    __slots__ = ("_answer", "_at", "_by_id", "_call_ids", "_items", "_refusal", "_unread")

    def __init__(self, answer: Answer) -> None:
        """Know no item yet."""
        self._answer = answer
        self._items: list[Item] = []
        self._by_id: dict[str, Item] = {}
        self._at: dict[int, Item] = {}
        self._call_ids: set[str] = set()
        self._refusal = Said()
        self._unread = False

    @property
    def is_empty(self) -> bool:
        """Whether no item ever came."""
        return not self._items

    def add_text(self, id: object, place: object, delta: object) -> Sequence[StreamEvent]:
        """Note a piece of visible text."""
        if not isinstance(delta, str) or not delta:
            return ()
        self._item(id, place, "message").characters += len(delta)
        return (self._answer.add_text(delta),)

    def add_delta(self, event: str, id: object, place: object, delta: object) -> Sequence[StreamEvent]:
        """Note a piece of anything else; pieces of what the server's own tools do are passed over."""
        if not isinstance(delta, str) or not delta:
            return ()
        kind = _CALL_PIECES.get(event)
        if kind is not None:
            call = self._item(id, place, kind).call
            # Without a name nobody can use arguments; they come once more with it.
            return () if call is None else (self._answer.add_arguments(call.index, delta),)
        if event.startswith("response.reasoning"):
            return self._add_thought(self._item(id, place, "reasoning"), event, delta)
        if event == _REFUSAL:
            self._item(id, place, "message").refused = True
            self._refusal.add(delta)
        return ()

    def begin(self, wire: object, place: object) -> Sequence[StreamEvent]:
        """Note that an item begins."""
        if not isinstance(wire, dict) or not _text(wire, "type"):
            return ()
        item = self._item(wire.get("id"), place, _text(wire, "type"), is_new=True)
        return self._named(item, wire) if item.call is None else ()

    def finish(self, wire: object, place: object, *, is_last: bool = False) -> Sequence[StreamEvent]:
        """Note an item as a whole.

        Args:
            wire: The item.
            place: Its place in the output.
            is_last: It stands in the whole answer, at whose end items that are known have been told.

        Raises:
            LLMProtocolError: It says something else than its pieces did.
        """
        if not isinstance(wire, dict):
            return ()
        kind = _text(wire, "type")
        if not kind:
            raise llm_error("protocol", "the answer has an item without a type")
        item = self._item(wire.get("id"), place, kind)
        if item.ended and is_last:
            return ()
        item.ended = True
        if item.kind == "message":
            return self._end_message(item, wire)
        if item.kind in ("function_call", "custom_tool_call"):
            return self._end_call(item, wire)
        item.tied, item.wire = True, wire
        return self._end_thought(item, wire) if item.kind == "reasoning" else ()

    def close(self) -> None:
        """Hand out what goes back.

        Raises:
            LLMProtocolError: A call never got a name, or nothing that came can be read.
        """
        answer = self._answer
        if any(item.call is None for item in self._items if item.kind in ("function_call", "custom_tool_call")):
            raise llm_error("protocol", "the answer has a tool call without a name")
        if self._unread and not (answer.delivered or self._refusal):
            raise llm_error("protocol", "the answer's content is of a kind that nobody knows")
        if not answer.finished:
            answer.refusal = self._refusal.text() or None
            for kept in kept_items(self._items):
                answer.keep_item(kept)

    def _item(self, id: object, place: object, kind: str, *, is_new: bool = False) -> Item:
        known = self._by_id.get(id) if isinstance(id, str) and id else None
        if known is None and not is_new:
            known = self._at.get(place) if isinstance(place, int) else self._last_open(id)
        return known if known is not None and known.kind == kind else self._opened(id, place, kind)

    def _last_open(self, id: object) -> Item | None:
        # Neither id nor place: it can only be what was said last.
        return self._items[-1] if self._items and not id and not self._items[-1].ended else None

    def _opened(self, id: object, place: object, kind: str) -> Item:
        if len(self._items) == MOST_ITEMS:
            raise llm_error("too_large", f"the answer has more than {MOST_ITEMS} items")
        # llama.cpp counts no places until the answer as a whole.
        at = place if isinstance(place, int) else len(self._items)
        item = self._at[at] = Item(kind)
        self._items.append(item)
        if isinstance(id, str) and id:
            self._by_id[id] = item
        return item

    def _named(self, item: Item, wire: JSONObject) -> Sequence[StreamEvent]:
        name = _text(wire, "name")
        if item.kind not in ("function_call", "custom_tool_call") or not name:
            return ()
        id_ = fresh_id(_text(wire, "call_id") or _text(wire, "id"), self._call_ids)
        started: ToolCallStart = self._answer.start_call(id_, name)
        item.call = self._answer.calls[-1]
        return (started,)

    def _end_call(self, item: Item, wire: dict[str, JSON]) -> Sequence[StreamEvent]:
        events = list(self._named(item, wire)) if item.call is None else []
        call = item.call
        if call is None:
            return events
        if item.kind == "custom_tool_call":
            item.tied, item.wire = True, {**wire, "call_id": call.id}
        whole = said_arguments(wire.get("input" if item.kind == "custom_tool_call" else "arguments"))
        said = call.arguments.text()
        if whole and not said:
            events.append(self._answer.add_arguments(call.index, whole))
        elif whole and whole != said and not _is_same(whole, said):
            raise _contradiction()
        return events

    def _end_message(self, item: Item, wire: dict[str, JSON]) -> Sequence[StreamEvent]:
        said = read_message(wire)
        item.wire, item.tied = wire, said.is_tied
        self._unread = self._unread or said.is_unread
        if said.refusal and not item.refused:
            self._refusal.add(said.refusal)
        text, known = said.text, item.characters
        if not text or len(text) < known:
            return ()  # some gateways repeat nothing, others without the blanks around it
        if known == 0:
            return (self._answer.add_text(text),)
        if len(text) > known:
            raise _contradiction()
        return ()

    def _end_thought(self, item: Item, wire: JSONObject) -> Sequence[StreamEvent]:
        texts = list(text_in(wire.get("content"), "reasoning_text", "text"))
        texts = texts or list(text_in(wire.get("summary"), "summary_text", "text"))
        thought = "".join(texts)
        if item.thought or not thought:
            return ()
        item.thought.add(thought)
        return (self._answer.add_reasoning(thought),)

    def _add_thought(self, item: Item, event: str, delta: str) -> Sequence[StreamEvent]:
        channel = "summary" if "summary" in event else "text"
        item.channel = item.channel or channel
        if channel != item.channel:
            return ()
        item.thought.add(delta)
        return (self._answer.add_reasoning(delta),)


def _contradiction() -> LLMError:
    return llm_error("protocol", "the answer's end says something else than its pieces did")


def _is_same(one: str, other: str) -> bool:
    # Some servers write the arguments once more, with other blanks.
    arguments = parse_arguments(one)
    return arguments is not None and arguments == parse_arguments(other)


def _text(wire: JSONObject, key: str) -> str:
    value = wire.get(key)
    return value if isinstance(value, str) else ""
