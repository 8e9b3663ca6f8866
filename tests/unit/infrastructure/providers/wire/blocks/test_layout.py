"""Blocks that were read in any order go back in that order, unless somebody changed what was said."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.messages import Message, Part, Reasoning, Text
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.wire.blocks.layout import Layout
from loomwire.infrastructure.providers.wire.request_body import Body


def write_text(text: str, citations: JSON) -> Body | None:
    """Write a text as a vendor would that takes no blank ones."""
    return {"said": text, "from": citations} if text.strip() or citations else None


ORDER = Layout("here", write_text)

KINDS = st.lists(st.sampled_from(("thinking", "text", "cited", "call", "block")), max_size=8)


def blocks_of(kinds: list[str]) -> tuple[list[Body], list[JSONObject], Message]:
    """Return blocks in an order, their entries, and a message of what they say."""
    blocks: list[Body] = []
    entries: list[JSONObject] = []
    thoughts, calls, text = 0, 0, ""
    for at, kind in enumerate(kinds):
        words = f"word {at}."
        if kind == "thinking":
            blocks.append({"thought": thoughts})
            entries.append({"thinking": thoughts})
            thoughts += 1
        elif kind == "call":
            blocks.append({"call": calls})
            entries.append({"call": calls})
            calls += 1
        elif kind == "block":
            blocks.append({"further": at})
            entries.append({"block": {"further": at}})
        else:
            text += words
            cited: JSON = [at] if kind == "cited" else None
            blocks.append({"said": words, "from": cited})
            entries.append({"text": len(words), **({} if cited is None else {"citations": cited})})
    parts: tuple[Part, ...] = (
        *(Reasoning(f"{number}", origin="here") for number in range(thoughts)),
        Text(text),
        *(ToolCall(f"c{number}", "look", {}) for number in range(calls)),
    )
    order = ORDER.kept(entries)
    return blocks, entries, Message("assistant", parts if order is None else (*parts, order))


def sent(message: Message) -> list[Body]:
    """Return the blocks of a message on its way back."""
    thoughts = [part for part in message.parts if isinstance(part, Reasoning) and ORDER.is_thought(part)]
    calls = [part for part in message.parts if isinstance(part, ToolCall)]
    return ORDER.arranged(
        message, [{"thought": at} for at in range(len(thoughts))], [{"call": at} for at in range(len(calls))]
    )


@given(KINDS)
def test_blocks_go_back_in_the_order_in_which_they_came(kinds: list[str]) -> None:
    blocks, entries, message = blocks_of(kinds)
    if ORDER.kept(entries) is None:
        # Texts that follow each other are one when nothing else needs to be told.
        said = "".join(str(block["said"]) for block in blocks if "said" in block)
        thoughts = [block for block in blocks if "thought" in block]
        calls = [block for block in blocks if "call" in block]
        text: list[Body] = [{"said": said, "from": None}] if said else []
        blocks = [*thoughts, *text, *calls]
    assert sent(message) == blocks


@given(KINDS)
def test_what_was_changed_loses_its_order_and_no_block(kinds: list[str]) -> None:
    blocks, _, message = blocks_of(kinds)
    parts = tuple(Text("Something else.") if isinstance(part, Text) else part for part in message.parts)
    left = [block for block in blocks if "said" not in block]
    got = sent(replace(message, parts=parts))
    assert sorted(map(str, got)) == sorted(map(str, [*left, {"said": "Something else.", "from": None}]))


def test_an_order_of_thinking_text_and_calls_needs_no_part_of_its_own() -> None:
    assert ORDER.kept([{"thinking": 0}, {"text": 3}, {"call": 0}, {"call": 1}]) is None
    assert ORDER.kept([{"text": 3}, {"thinking": 0}]) is not None
    assert ORDER.kept([{"block": {}}]) is not None
    assert ORDER.kept([{"text": 3, "citations": []}]) is not None


def test_the_order_and_the_thinking_of_another_dialect_are_not_read() -> None:
    order = ORDER.kept([{"text": 1}, {"thinking": 0}, {"text": 1}])
    assert order is not None
    assert not ORDER.is_thought(order)
    assert not ORDER.is_thought(Reasoning("Hm.", origin="there"))
    assert ORDER.is_thought(Reasoning("Hm.", origin="here", wire={"type": "their_own"}))
    foreign = Message("assistant", (Text("Hi"), replace(order, origin="there")))
    assert ORDER.arranged(foreign, [{"thought": 0}], []) == [{"thought": 0}, {"said": "Hi", "from": None}]


def test_what_a_vendor_does_not_take_is_left_out_of_the_order() -> None:
    message = Message("assistant", (Text("  a"), Reasoning(wire={"type": "loomwire_layout", "entries": "none"})))
    order = ORDER.kept([{"text": 2}, {"thinking": 0}, {"text": 1}])
    assert order is not None
    message = replace(message, parts=(*message.parts, order))
    assert ORDER.arranged(message, [{"thought": 0}], []) == [{"thought": 0}, {"said": "a", "from": None}]
    assert ORDER.arranged(Message("assistant", (Text(" "),)), [], []) == []
