"""Functions of a host that answer when no model did."""

from __future__ import annotations

from collections.abc import Awaitable

from loomwire.domain.errors import LLMError
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse


def plain(request: LLMRequest, error: LLMError) -> str:
    """Answer with what is given."""
    return f"{request.messages[0].text}: {error.code}"


async def waiting(request: LLMRequest, error: LLMError) -> str:
    """Answer later."""
    return plain(request, error)


def whole(request: LLMRequest, error: LLMError) -> LLMResponse[str]:
    """Answer with another client's answer."""
    return LLMResponse("x", plain(request, error), "other", "m")


def later(request: LLMRequest, error: LLMError) -> Awaitable[str]:
    """Return something to wait for."""
    return waiting(request, error)


def nothing(_: LLMRequest, __: LLMError) -> None:
    """Forget the answer."""


class Kept:
    """Holds a function."""

    plain = staticmethod(plain)


def raising(_: LLMRequest, __: LLMError) -> str:
    """Fail, with the prompt's words."""
    raise KeyError("a word of the prompt")
