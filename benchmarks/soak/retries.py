"""One owner of retries: a failing provider is asked exactly as often as the YAML says, in every dialect."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Final

from benchmarks.soak.chain import answer, opened
from benchmarks.soak.figures import Measured
from loomwire import ILLMClient, LLMRequest
from loomwire.application.resilience.delays import sends_of
from loomwire.domain.errors import LLMError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import FakeProvider, Fault

_ATTEMPTS: Final = (1, 3, 5)
_STATUSES: Final = (400, 401, 404, 408, 409, 413, 429, 500, 501, 502, 503, 529)
_BROKEN: Final = ("reset", "close_early", "half_body", "cut_reset", "bad_json", "empty_choices", "html", "error_in_200")
_FAULTS: Final = (*(Fault("status", status=status) for status in _STATUSES), *map(Fault, _BROKEN))
_DEFAULTS: Final[Mapping[str, JSON]] = {
    "timeouts": {"total": 10},
    "retry": {"base": 0, "throttle_base": 0},
    # So that nothing but the number of attempts ends a call.
    "retry_budget": {"floor_per_s": 1_000_000},
    "breaker": {"consecutive": 1_000_000, "min_calls": 1_000_000},
}


async def retries(calls: int) -> Sequence[Measured]:
    """Make so many calls, each in a dialect, a mode and with a number of attempts, and with a fault that stays."""
    cases = list(product(DIALECTS, _ATTEMPTS, (False, True), _FAULTS))
    random.Random(calls).shuffle(cases)
    ends: Counter[str] = Counter()
    playing = [_FAULTS[0]]
    most = 0
    async with (
        FakeProvider(then=lambda _: playing[0], keep=1) as provider,
        opened(_configuration(provider.base_url)) as container,
    ):
        for number in range(calls):
            dialect, attempts, streamed, playing[0] = cases[number % len(cases)]
            before = provider.stats.requests
            error = await _failure(container.resolve(ILLMClient, f"{dialect}_{attempts}"), streamed=streamed)
            if error is None:
                ends["answered"] += 1
                continue
            may = error.disposition
            limit = attempts if may.retry_limit is None else min(attempts, 1 + may.retry_limit)
            counted, wanted = provider.stats.requests - before, limit if may.retry_same else 1
            ends["right" if counted == wanted else "wrong"] += 1
            ends["untold"] += sends_of(error.steps) != counted
            most = max(most, counted)
    return (
        Measured(title="calls that sent as often as configured", value=ends["right"], bar=calls, more_is_better=True),
        Measured(title="calls that sent more or less often", value=ends["wrong"], bar=0),
        Measured(title="calls whose steps tell another number", value=ends["untold"], bar=0),
        Measured(title="answers", value=ends["answered"], bar=0),
        Measured(title="most requests of a call", value=most, bar=max(_ATTEMPTS)),
    )


def _configuration(url: str) -> Mapping[str, JSON]:
    place: Mapping[str, JSON] = {"type": "custom", "base_url": url, "allow_private": True, "free": True}
    names = {f"{dialect}_{attempts}": (dialect, attempts) for dialect, attempts in product(DIALECTS, _ATTEMPTS)}
    return {
        "version": 1,
        "defaults": _DEFAULTS,
        "providers": {dialect: {**place, "dialect": dialect} for dialect in DIALECTS},
        "models": {
            name: {"provider": dialect, "model": "m", "retry": {"attempts": attempts}}
            for name, (dialect, attempts) in names.items()
        },
        "clients": {name: {"models": [name]} for name in names},
    }


async def _failure(client: ILLMClient, *, streamed: bool) -> LLMError | None:
    try:
        await answer(client, LLMRequest.of("Hello?"), streamed=streamed)
    except LLMError as error:
        return error
    return None
