"""What is answered in place of a model when none answered: a text, or what a function of the host says."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from loomwire.domain.errors import AllTargetsFailedError, LLMError, UnknownNameError
from loomwire.domain.policies import ExhaustedPolicy
from loomwire.domain.pricing import FREE, Usage
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse

LAYER: Final = "degraded"
PROVIDER: Final = "stand-in"

StandIn: TypeAlias = Callable[[LLMRequest, LLMError], Awaitable[str]]
"""Makes the text that is answered in place of a model; it may fail as the host's function does."""

# They may be asked elsewhere, and yet it is nothing the targets did.
_REFUSALS: Final = frozenset({"capability", "budget_exceeded"})
_HINT = "Name it as `package.module:function`; the module is imported from where the program finds its own."


def stand_in_of(client: str, policy: ExhaustedPolicy) -> StandIn:
    """Return what a policy of mode `static` or `callable` answers. A function's module is imported here, once.

    Args:
        client: The client's name, for the error.
        policy: What was configured.

    Raises:
        UnknownNameError: There is no such function.
    """
    if policy.mode == "callable":
        return _asking(_found(client, policy.function))

    async def said(_: LLMRequest, __: LLMError) -> str:
        return policy.text

    return said


def is_exhausted(error: LLMError) -> bool:
    """Tell whether an error says that no target answered, and not that the call itself may not be made.

    What is wrong with the request, its size, a capability it needs, a content filter and a budget are for the caller
    to know. A deadline that passed is not: no target answered in time.
    """
    if isinstance(error, AllTargetsFailedError):
        return any(map(is_exhausted, error.errors))
    may = error.fault.disposition.fallback in ("any", "other_key")
    return error.reason == "deadline" or (may and error.reason not in _REFUSALS)


def stand_in(text: str, mode: str, error: LLMError) -> LLMResponse[str]:
    """Return a text as an answer that says it is none of a model. It cost nothing, whatever was spent before it."""
    return LLMResponse(
        output=text,
        text=text,
        provider=PROVIDER,
        model=mode,
        finish="stop",
        usage=Usage(),
        cost=FREE,
        steps=(*error.steps, Step(LAYER, "", "stood_in", error.reason)),
        degraded=True,
    )


def _asking(function: Callable[[LLMRequest, LLMError], object]) -> StandIn:
    async def asked(request: LLMRequest, error: LLMError) -> str:
        said = function(request, error)
        if isinstance(said, Awaitable):
            said = await said
        text = said.text if isinstance(said, LLMResponse) else said
        if not isinstance(text, str):
            raise TypeError(f"the function of on_exhausted must return a text, not {type(text).__name__}")
        return text

    return asked


def _found(client: str, named: str) -> Callable[[LLMRequest, LLMError], object]:
    module, _, name = named.partition(":")
    try:
        found: object = importlib.import_module(module) if name else None
    except Exception as error:  # noqa: BLE001  # the host's module may raise anything
        found = None
        wrong = f"its module cannot be imported ({type(error).__name__})"
    else:
        wrong = "there is no such function"
    for part in name.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise UnknownNameError(f"on_exhausted of client {client!r} names a function, but {wrong}", hint=_HINT)
    return found
