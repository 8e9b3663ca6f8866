"""Numbers of tokens as servers say them, in the inclusive convention and clamped to what can be (TRAPS 41 to 45)."""

from __future__ import annotations

from loomwire.domain.pricing import Usage

MOST_TOKENS = 100_000_000
"""No answer uses more; a server that says so is not believed."""


def number(value: object) -> int | None:
    """Return a number that came as JSON, or None when it is none."""
    if type(value) is int:
        return value
    return int(value) if isinstance(value, float) else None


def first_number(*values: object) -> int:
    """Return the first that is a number, else 0."""
    for value in values:
        found = number(value)
        if found is not None:
            return found
    return 0


def believable(sent: tuple[int, int, int, int, int], total: int | None, *, odd: bool = False) -> Usage:
    """Return usage whose numbers can be; if one had to be clamped, it is marked as estimated.

    Args:
        sent: Input with cache reads and writes, output with reasoning, cache reads, cache writes, reasoning.
        total: What the provider calls the total, or None.
        odd: Something of it was no number, so that what is taken for 0 is a guess.
    """
    input_tokens, output_tokens, read, written, thought = sent
    input_tokens = min(max(input_tokens, 0), MOST_TOKENS)
    output_tokens = min(max(output_tokens, 0), MOST_TOKENS)
    read = min(max(read, 0), input_tokens)
    written = min(max(written, 0), input_tokens - read)
    thought = min(max(thought, 0), output_tokens)
    believed = (input_tokens, output_tokens, read, written, thought)
    return Usage(*believed, estimated=odd or believed != sent, reported_total=total)
