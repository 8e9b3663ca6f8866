"""What both framings share: the bytes around a piece, whether it is whole, and that it is too large."""

from __future__ import annotations

from collections.abc import Sized

import msgspec

from loomwire.domain.errors import LLMError, llm_error

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t\r\n"


def is_json(data: bytes) -> bool:
    """Tell whether bytes are one whole JSON value."""
    try:
        msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return False
    return True


def broken_off(error: LLMError, before: Sized) -> LLMError:
    """Return what is wrong behind pieces that are whole, without the frames that hold what came.

    What came before a fault is right however the network cut it, so it is delivered first.

    Raises:
        LLMError: `error` itself, when nothing came before it.
    """
    if not before:
        raise error
    return error.with_traceback(None)


def too_large(what: str, limit: int) -> LLMError:
    """Return the error for a piece above the limit; not raised."""
    return llm_error("too_large", f"the stream has a {what} larger than {limit} bytes (limits.event)", phase="body")
