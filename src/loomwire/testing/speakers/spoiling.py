"""The ways to spoil a saying that dialects share; each says with its own patterns where they strike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from loomwire.testing.speakers.eventstream import is_framed, reframed
from loomwire.testing.speaking import Saying

Change: TypeAlias = Callable[[Saying], Saying]
"""Makes a wrong saying of a right one."""

TextChange: TypeAlias = Callable[[bytes], bytes]
"""Changes the text of a body or of an event."""

Where: TypeAlias = bytes | re.Pattern[bytes]
"""A regular expression for the text that a change strikes."""

New: TypeAlias = bytes | Callable[[re.Match[bytes]], bytes]
"""What takes a match's place, as `re.sub` reads it."""

_DIGITS: Final = 100_000


def within(event: bytes, change: TextChange) -> bytes:
    """Return an event changed; of one with lengths and checksums only what is between them, and those right again."""
    return reframed(event, change) if is_framed(event) else change(event)


def everywhere(where: Where, new: New) -> Change:
    """Return the change that puts something new for every match in a plain answer and in every event."""
    return in_turn(in_body(where, new), in_events(where, new))


def in_body(where: Where, new: New) -> Change:
    """Return the change that does so in a plain answer only."""
    pattern = re.compile(where)
    return lambda saying: replace(saying, body=pattern.sub(new, saying.body))


def in_events(where: Where, new: New) -> Change:
    """Return the change that does so in the events of a stream only."""
    pattern = re.compile(where)

    def change(saying: Saying) -> Saying:
        """Spoil every event."""
        events = tuple(within(event, lambda text: pattern.sub(new, text)) for event in saying.events)
        return replace(saying, events=events)

    return change


def from_the_middle(where: Where, new: New) -> Change:
    """Return the change that does so in a plain answer and in the second half of a stream."""
    everything = everywhere(where, new)

    def change(saying: Saying) -> Saying:
        """Spoil what comes after the middle."""
        half = len(saying.events) // 2
        spoiled = everything(replace(saying, events=saying.events[half:]))
        return replace(spoiled, events=(*saying.events[:half], *spoiled.events))

    return change


def without_events(where: Where) -> Change:
    """Return the change that leaves out the events in which something is found."""
    pattern = re.compile(where)
    return lambda saying: replace(saying, events=tuple(event for event in saying.events if not pattern.search(event)))


def in_turn(*changes: Change) -> Change:
    """Return one change that makes several, the first first."""

    def change(saying: Saying) -> Saying:
        """Spoil one way after the other."""
        for each in changes:
            saying = each(saying)
        return saying

    return change


def of_another_request(saying: Saying) -> Saying:
    """Return a saying whose header names another request."""
    return replace(saying, request_id="req-of-another-request")


def wrong_counts(where: Where) -> Mapping[str, Change]:
    """Return the faults of usage; the first group of what is found is what stands before a number."""
    return {
        "long_number": everywhere(where, rb"\g<1>" + b"9" * _DIGITS),
        "negative_usage": everywhere(where, rb"\g<1>-1"),
    }


def wrong_call_ids(where: Where, same: bytes) -> Mapping[str, Change]:
    """Return the faults of the ids of tool calls: none where one is found, or everywhere the same."""
    return {"no_call_id": everywhere(where, b""), "same_call_id": everywhere(where, same)}


def two_answers(answers: Where, words: Where, nobody: bytes) -> Change:
    """Return the change that puts a second answer beside the first, which says what nobody said.

    Args:
        answers: A list with one answer: its name and bracket the first group, what stands in it the second.
        words: The words in an answer.
        nobody: Stands for them in the second one.
    """

    def both(found: re.Match[bytes]) -> bytes:
        """Return the list with the second answer in it."""
        second = re.sub(words, nobody, found[2].replace(b'"index": 0', b'"index": 1', 1))
        return b"%b%b, %b]" % (found[1], found[2], second)

    return everywhere(answers, both)
