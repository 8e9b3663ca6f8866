"""Canary keys through every fault and every layer: nothing that a program can show or keep holds one of them."""

from __future__ import annotations

import asyncio
import logging
import pickle
import random
import traceback
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from io import StringIO
from itertools import product
from typing import Final
from urllib.parse import urlsplit

from benchmarks.soak.chain import answer, opened
from benchmarks.soak.figures import Measured
from loomwire import ILLMClient, LLMContainer, LLMRequest
from loomwire.application.state.targets import TargetStates
from loomwire.domain.errors import AllTargetsFailedError, LoomError
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.testing import FAULTS, FakeProvider, Fault

CANARY: Final = "c4n4ry"
WORDS: Final = "canary-of-the-prompt"
_ASKED: Final = f"{WORDS}: when does the harbour open, and who has the key to it?"
_KEYS: Final = 4
_CLIENTS: Final = ("open", "guarded")
_NEVER: Final[Mapping[str, JSON]] = {"consecutive": 1_000_000, "min_calls": 1_000_000}
_FAULTS: Final = tuple(name for name, kind in FAULTS.items() if kind.play is not None)
_DEFAULTS: Final[Mapping[str, JSON]] = {
    "timeouts": {"ttft": 0.15, "idle": 0.15, "attempt": 0.15, "total": 1, "min_attempt": 0.01},
    "retry_budget": {"floor_per_s": 1_000_000},
    "retry": {"attempts": 2, "base": 0, "throttle_base": 0},
    "limits": {"body": "1MiB", "stream": "1MiB"},
}


async def secrets(calls: int) -> Sequence[Measured]:
    """Make so many calls, each with a fault in a dialect and a mode, and look for the keys in all that comes of it."""
    cases = list(product(_FAULTS, (False, True)))
    hits: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    with _logs() as logs:
        each = -(-calls // len(DIALECTS))
        async with asyncio.TaskGroup() as group:
            for place, dialect in enumerate(DIALECTS):
                order = random.Random(place).sample(cases, len(cases))
                group.create_task(_one_dialect(dialect, [order[at % len(cases)] for at in range(each)], hits, ends))
    said = logs.getvalue()
    hits["the log"] += said.count(CANARY) + said.count(WORDS)
    for where, count in hits.items():
        if count:
            print(f"  {count} in {where}")
    return (
        Measured(title="calls that failed", value=ends["failed"]),
        Measured(title="calls that were answered all the same", value=ends["answered"]),
        Measured(title="requests per call", value=ends["requests"] / calls, unit="x"),
        # Every call leaves a record of its own and one of each attempt.
        Measured(title="lines of the log at DEBUG", value=said.count("\n"), bar=calls, more_is_better=True),
        Measured(title="places that show a key or a prompt", value=hits.total(), bar=0),
    )


async def _one_dialect(dialect: str, cases: Sequence[tuple[str, bool]], hits: Counter[str], ends: Counter[str]) -> None:
    playing = [cases[0][0]]
    async with (
        FakeProvider(then=lambda _: Fault(playing[0]), keep=1) as provider,
        opened(_configuration(dialect, provider.base_url)) as container,
    ):
        clients = [container.resolve(ILLMClient, name) for name in _CLIENTS]
        for number, (playing[0], streamed) in enumerate(cases):
            # Every fourth call meets open circuits; the others meet the fault itself.
            client = clients[number % 4 == 0]
            error = await _failure(client, streamed=streamed)
            ends["answered" if error is None else "failed"] += 1
            if error is not None:
                hits.update(_hits_of(error))
            hits.update(_hits_around(container, client))
        ends["requests"] += provider.stats.requests


def _configuration(dialect: str, url: str) -> Mapping[str, JSON]:
    row = next((row for row in PROVIDERS.values() if row.dialect == dialect and row.base_url), None)
    place = url.removesuffix("/v1") + urlsplit((row and row.base_url) or "/v1").path
    names = [f"{client}_{number}" for client in _CLIENTS for number in range(3)]
    return {
        "version": 1,
        "defaults": _DEFAULTS,
        "providers": {
            name: {
                "type": "custom",
                "dialect": dialect,
                "base_url": place,
                "allow_private": True,
                # Half of them look like a key, which is hidden whoever it belongs to.
                "keys": [f"{'sk-' * (number % 2)}{CANARY}-{name}-{number}" for number in range(_KEYS)],
                "breaker": {} if name.startswith(_CLIENTS[1]) else _NEVER,
            }
            for name in names
        },
        "models": {f"at_{name}": {"provider": name, "model": "m"} for name in names},
        "clients": {
            client: {"models": [f"at_{name}" for name in names if name.startswith(client)]} for client in _CLIENTS
        },
    }


async def _failure(client: ILLMClient, *, streamed: bool) -> LoomError | None:
    try:
        await answer(client, LLMRequest.of(_ASKED), streamed=streamed)
    except LoomError as error:
        return error
    return None


def _hits_of(error: LoomError) -> Iterator[str]:
    every = [error, *(error.errors if isinstance(error, AllTargetsFailedError) else ())]
    for one in every:
        shown = {
            "str": str(one),
            "repr": repr(one),
            "explain": one.explain(),
            "vars": repr(vars(one)),
            "steps": repr(one.steps),
            "traceback": "".join(traceback.format_exception(one)),
            "pickle": pickle.dumps(one).decode("latin-1"),
            "copy": repr(vars(deepcopy(one))),
        }
        for what, text in shown.items():
            if CANARY in text or WORDS in text:
                yield f"{what} of {type(one).__name__} ({one.reason})"
        if one.__cause__ is not None or one.__context__ is not None:
            yield f"the context of {type(one).__name__} ({one.reason})"
        # The frames that a traceback holds know the prompt, as the caller's own do; a key none of them may know.
        with_locals = traceback.TracebackException.from_exception(one, capture_locals=True)
        if CANARY in "".join(with_locals.format()):
            yield f"the locals in the traceback of {type(one).__name__} ({one.reason})"


def _hits_around(container: LLMContainer, client: ILLMClient) -> Iterable[str]:
    shown = {"health": repr(container.health()), "client": repr(client), "container": repr(container)}
    shown["client_config"] = repr([container.client_config(name) for name in _CLIENTS])
    states: TargetStates = container.wiring.target_states()
    now = states.now()
    # Keys are told apart in here, and must not be named by what they are.
    shown["states"] = repr((states.loads.readings(now), states.cooldowns.statuses(now), states.circuits.statuses()))
    return [what for what, text in shown.items() if CANARY in text or WORDS in text]


@contextmanager
def _logs() -> Generator[StringIO]:
    """Take down everything that any logger says, at every level."""
    said, root = StringIO(), logging.getLogger()
    handler = logging.StreamHandler(said)
    # Whoever runs soaks by hand has turned ours down: what is not written cannot show a key.
    levels = [(logger, logger.level) for logger in (root, logging.getLogger("loomwire"))]
    root.addHandler(handler)
    for logger, _ in levels:
        logger.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(handler)
        for logger, level in levels:
            logger.setLevel(level)
