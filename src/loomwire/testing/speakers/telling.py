"""What every dialect makes of a reply and of a failure, before it words them in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, ToolCall
from loomwire.infrastructure.providers.offline.reply import Failure, Reply, arguments_text, first_characters

NUMBER: Final = "\0" * 12
"""Stands for the request's number. JSON text and headers can never hold these bytes, so it cannot hit what is said."""

HTTP_STATUS: Final[Mapping[str, int]] = {
    "credentials": 401,
    "quota_exhausted": 402,
    "denied": 403,
    "model": 404,
    "gateway": 504,
    "conflict": 409,
    "request_too_large": 413,
    "throttled": 429,
    "unsupported": 501,
    "overloaded": 503,
    "invalid_request": 400,
    "context_length": 400,
    "content_filter": 400,
}
"""The status that HTTP itself has for a reason; every other reason is a 500."""


def before_cut(reply: Reply) -> Reply:
    """Return what is said of a reply before the connection breaks; all of it where none does."""
    return reply if reply.cut_after is None else first_characters(reply, reply.cut_after)


def finish_of(reply: Reply) -> str:
    """Return why a reply ended."""
    return reply.finish or ("tool_calls" if reply.tool_calls else "stop")


def given(call: ToolCall) -> JSON:
    """Return a call's arguments for a dialect that sends them as JSON and not as text; broken ones are a text."""
    return call.raw_arguments if call.arguments is None else call.arguments


def told_usage(reply: Reply, size: int) -> Usage:
    """Return the reply's usage, or four bytes for a token of a request of `size` bytes and of what is said."""
    if reply.usage is not None:
        return reply.usage
    said = reply.text + reply.reasoning + "".join(map(arguments_text, reply.tool_calls))
    return Usage(-(-size // 4), -(-len(said.encode(errors="surrogatepass")) // 4))


def sentence(failure: Failure) -> str:
    """Return what an error says: its message, or that a script wanted it."""
    return failure.message or f"scripted failure: {failure.reason}"


def retry_header(retry_after: float | None) -> Mapping[str, str]:
    """Return the header that asks to wait so many seconds, or none."""
    return {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
