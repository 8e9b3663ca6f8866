"""What the endpoints of a soak do to their callers, as values that can be sent to another process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from loomwire.domain.pricing import Usage
from loomwire.testing import Fault, ReceivedRequest, Reply

_STATUSES: Final = tuple(f"status {said}" for said in ("408", "429 0.05", "500", "502", "503", "504", "529"))
_BEFORE_WORDS: Final = (
    "reset", "close_early", "hang", "hang_after_headers", "empty", "null_data", "html", "error_in_200", *_STATUSES,
)  # fmt: skip

PLAIN: Final = (
    *_BEFORE_WORDS, "half_body", "cut_clean", "cut_close", "cut_reset", "stall", "bad_json", "empty_choices",
    "gzip_cut", "bad_chunk", "short_length",
)  # fmt: skip
"""Faults of plain answers."""

STREAMED: Final = (*_BEFORE_WORDS, "error_first")
"""Faults that end a stream before its first words."""

BROKEN: Final = ("cut_clean", "cut_close", "cut_reset", "stall", "error_midway", "bad_sse")
"""Faults that end a stream after its first words."""


class Weather(msgspec.Struct, frozen=True, kw_only=True):
    """What an endpoint does.

    Attributes:
        share: How many of its answers are spoiled, 0 to 1.
        plain: By which faults plain ones are, one of them by chance; `status 429 0.5` is a status with a Retry-After.
        streamed: By which faults streams are.
        delay_s: How long everything takes, faults that are no silence included.
    """

    share: float = 0.0
    plain: Sequence[str] = PLAIN
    streamed: Sequence[str] = STREAMED
    delay_s: float = 0.0


FINE: Final = Weather()
MIXED: Final = Weather(share=0.3)


def fault_of(said: str, reply: Reply) -> Fault:
    """Return the fault that a line of a weather names."""
    name, *rest = said.split()
    status = int(rest[0]) if rest else None
    return Fault(name, reply, status=status, retry_after=float(rest[1]) if len(rest) > 1 else None)


def words_of(number: int) -> str:
    """Return what is asked in a call; every call asks for something else."""
    return f"What is item {number} of the list?"


def reply_to(asked: str) -> Reply:
    """Return the one right answer to a question, with a usage that belongs to it alone."""
    number = int("".join(filter(str.isdigit, asked)) or 0)
    text = f"Item {number} stands in row {number % 97}, behind the {number % 13} others, as the list has it."
    return Reply(text, usage=Usage(20 + number % 1009, 10 + number % 211))


def asked_in(request: ReceivedRequest) -> str:
    """Return the last words of a request in the wording of chat completions."""
    body = request.json
    messages = body.get("messages") if isinstance(body, Mapping) else None
    last = messages[-1] if isinstance(messages, list) and messages else None
    said = last.get("content") if isinstance(last, Mapping) else None
    return said if isinstance(said, str) else ""
