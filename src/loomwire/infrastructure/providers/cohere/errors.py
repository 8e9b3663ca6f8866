"""The words with which Cohere tells what is wrong."""

from __future__ import annotations

import re
from typing import Final

from loomwire.infrastructure.providers.wire.errors import ErrorTable

_NEVER = re.compile(r"(?!)")

COHERE_ERRORS: Final = ErrorTable(
    codes={
        # cohere-...-error-context-length-6f17ed: beside it stands nothing but a sentence.
        "TOO_MANY_TOKENS": "context_length",
        # The end of a stream whose tool calls came out wrong (cohere-...-error-in-stream-58ff29).
        "INVALID_TOOL_GENERATION": "unknown",
    },
    endings={},
    types={},
    context_length=re.compile(r"too many tokens: "),
    too_large=_NEVER,
    wait=re.compile(r"(?:^|[.!] )(?:please )?(?:try again|retry|wait) (?:in |after |for )?", re.IGNORECASE),
)
"""Each word from a recording; most of Cohere's errors have a status and a sentence only (TRAPS 46)."""
