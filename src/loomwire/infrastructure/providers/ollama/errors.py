"""The words with which Ollama tells what is wrong: a status and a sentence, or in a stream the sentence alone."""

from __future__ import annotations

import re
from typing import Final

from loomwire.infrastructure.providers.wire.errors import ErrorTable

OLLAMA_ERRORS: Final = ErrorTable(
    codes={},
    endings={},
    types={},
    context_length=re.compile(
        # Ollama's cloud (ollama-chat-completions-error-context-length-c29180), then its runners.
        r"prompt too long; exceeded max context length|the input length exceeds the context length"
    ),
    too_large=re.compile(r"input is too large to process"),
    wait=re.compile(r"(?:^|[.!] )(?:please )?(?:try again|retry) (?:in|after) ", re.IGNORECASE),
)
"""Ollama's own servers and its cloud."""
