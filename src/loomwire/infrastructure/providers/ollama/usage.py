"""Reads Ollama's counts into the inclusive convention (TRAPS 44)."""

from __future__ import annotations

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.wire.usage import believable, number


def read_usage(prompt: object, said: object) -> Usage | None:
    """Return the usage that a server reports, or None when it says nothing.

    A server that took the prompt from its cache may leave out its count; it is unknown then and not 0, so the usage is
    marked as estimated.

    Args:
        prompt: `prompt_eval_count`.
        said: `eval_count`, thinking included.
    """
    sent, output = number(prompt), number(said)
    if sent is None and output is None:
        return None
    return believable((sent or 0, output or 0, 0, 0, 0), None, odd=sent is None or output is None)
