"""What a call costs in each wire dialect, beside OpenAI chat completions in the same run.

    python -m benchmarks dialects [--quick] [--only NAME]

Every dialect asks the fake provider, a process of its own, over real sockets. CPU times of the client, medians of
rounds in which the dialects take turns, each right beside a turn of the yardstick. Exit code 1 when one is dearer than
`BAR` times chat completions, per plain call, per call with a history and tools, or per streamed chunk: whoever
is dearer is measured in nine further rounds first, and judged by the median of all.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from benchmarks.clients.ours import message_of, tool_of
from benchmarks.machine import pin, server_and_client_core
from benchmarks.payloads import ANSWER, PROMPT, WORDS, long_body
from benchmarks.runs import ROOT
from benchmarks.worker import must_be, settled
from loomwire import ILLMClient, LLMConfig, LLMRequest, TextDelta
from loomwire.domain.values import Secret
from loomwire.infrastructure.providers.factory import ClientFactory
from loomwire.infrastructure.providers.table import DIALECTS, PROVIDERS
from loomwire.infrastructure.telemetry.clock import SystemClock
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FakeProvider, ReceivedRequest, Reply

BAR: Final = 1.3
"""How much dearer than chat completions a dialect may be."""

YARDSTICK: Final = "openai_chat"
_ROUNDS: Final = 9
_SHORT, _LONG = 20, 220
_SAID: Final[Mapping[str, Reply]] = {
    "answer": Reply(ANSWER),
    "short": Reply("".join(WORDS[number % 2] for number in range(_SHORT)).strip()),
    "long": Reply("".join(WORDS[number % 2] for number in range(_LONG)).strip()),
}
_Clients: TypeAlias = Mapping[str, ILLMClient]
_Pairs: TypeAlias = list[tuple[float, float]]
"""Seconds of a dialect, and of the yardstick right beside it: what slows the machine down slows both."""

_Measure: TypeAlias = Callable[[_Clients, int], Awaitable[float]]


def main(arguments: Sequence[str]) -> int:
    """Measure and print; with `serve CORE` be the server."""
    if arguments[:1] == ["serve"]:
        asyncio.run(_serve(int(arguments[1])))
        return 0
    parser = argparse.ArgumentParser(prog="python -m benchmarks dialects", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", choices=sorted(DIALECTS), default=None, help="beside the yardstick")
    words = parser.parse_args(arguments)
    only: str | None = words.only
    names = [name for name in DIALECTS if only in (None, name) or name == YARDSTICK]
    server_core, core = server_and_client_core()
    pin(core)
    with _serving(server_core or 0) as url:
        spent = asyncio.run(_measured(names, url, rounds=3 if words.quick else _ROUNDS))
        dearer = [name for name in names if any(_ratio(by[name]) > BAR for by in spent.values())]
        if dearer:
            print(f"in further rounds: {', '.join(dearer)}", file=sys.stderr, flush=True)
            further = asyncio.run(_measured([YARDSTICK, *dearer], url, _ROUNDS))
            for measure, name in product(further, (YARDSTICK, *dearer)):
                spent[measure][name].extend(further[measure][name])
    return _told(spent)


def _told(spent: Mapping[str, Mapping[str, _Pairs]]) -> int:
    missed = False
    print(f"{'dialect':18} {'measure':10} {'CPU':>9} {'x':>6}")
    for measure, by_dialect in spent.items():
        for name, pairs in by_dialect.items():
            ratio = _ratio(pairs)
            missed = missed or ratio > BAR
            word = "  MISSED" if ratio > BAR else ""
            seconds = statistics.median(mine for mine, _ in pairs)
            print(f"{name:18} {measure:10} {seconds * 1e6:6.1f} us {ratio:6.2f}{word}")
    print(f"the bar is {BAR} times {YARDSTICK}")
    return int(missed)


def _ratio(pairs: _Pairs) -> float:
    return statistics.median(mine / theirs for mine, theirs in pairs)


async def _measured(names: Sequence[str], url: str, rounds: int) -> Mapping[str, Mapping[str, _Pairs]]:
    spent: dict[str, dict[str, _Pairs]] = {name: {each: [] for each in names} for name in _MEASURES}
    pool = ConnectionPool()
    factory = ClientFactory(pool, SystemClock())
    clients = {name: {said: factory.create(_target(name, said, url)) for said in _SAID} for name in names}
    others = [name for name in names if name != YARDSTICK]
    for number in range(rounds + 1):
        shift = number % max(len(others), 1)
        for measure, measured in _MEASURES.items():
            found = await _turns(measured, clients, [*others[shift:], *others[:shift]], 40 if number else 20)
            for name, pairs in found.items():
                spent[measure][name] += pairs if number else []  # the first round warms up
    await pool.aclose()
    return spent


async def _turns(
    measured: _Measure, clients: Mapping[str, _Clients], others: Sequence[str], count: int
) -> Mapping[str, _Pairs]:
    """Measure each dialect once, two at a time with the yardstick between them."""
    found: dict[str, _Pairs] = {YARDSTICK: []}
    for at in range(0, max(len(others), 1), 2):
        before, after = others[at : at + 1], others[at + 1 : at + 2]
        seconds = {name: await measured(clients[name], count) for name in (*before, YARDSTICK, *after)}
        found |= {name: [(seconds[name], seconds[YARDSTICK])] for name in (*before, *after)}
        found[YARDSTICK].append((seconds[YARDSTICK], seconds[YARDSTICK]))
    return found


def _target(dialect: str, said: str, url: str) -> LLMConfig:
    row = next((row for row in PROVIDERS.values() if row.dialect == dialect and row.base_url), None)
    return LLMConfig(
        type="custom",
        model=said,
        dialect=dialect,
        base_url=url + urlsplit((row and row.base_url) or "/v1").path,
        keys=(Secret("bench-key"),),
        allow_private=True,
    )


async def _plain(clients: _Clients, count: int) -> float:
    client = clients["answer"]
    clock = settled()
    for _ in range(count):
        must_be((await client.generate(LLMRequest.of(PROMPT))).text, ANSWER)
    return clock.per(count)["cpu"]


async def _history(clients: _Clients, count: int) -> float:
    client, asked = clients["answer"], long_body()
    messages, tools = asked["messages"], asked["tools"]
    assert isinstance(messages, Sequence)
    assert isinstance(tools, Sequence)
    request = LLMRequest(tuple(map(message_of, messages)), tools=tuple(map(tool_of, tools)))
    clock = settled()
    for _ in range(count // 2):
        must_be((await client.generate(request)).text, ANSWER)
    return clock.per(count // 2)["cpu"]


async def _chunk(clients: _Clients, count: int) -> float:
    """A long stream minus a short one, so that what a call costs cancels out."""
    spent = dict.fromkeys(("short", "long"), 0.0)
    for _ in range(count // 4):
        for said, length in (("short", _SHORT), ("long", _LONG)):
            clock = settled()
            async with clients[said].stream(LLMRequest.of(PROMPT)) as stream:
                texts = [event async for event in stream if isinstance(event, TextDelta)]
            spent[said] += clock.per(1)["cpu"]
            must_be(len(texts), length)
    return (spent["long"] - spent["short"]) / (count // 4) / (_LONG - _SHORT)


_MEASURES: Final[Mapping[str, _Measure]] = {"call": _plain, "history": _history, "chunk": _chunk}


@contextmanager
def _serving(core: int) -> Iterator[str]:
    argv = [sys.executable, "-m", "benchmarks.dialects", "serve", str(core)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield (server.stdout.readline() if server.stdout else "").strip()
        finally:
            server.kill()


async def _serve(core: int) -> None:
    pin(core)

    def says(request: ReceivedRequest) -> Reply:
        return _SAID.get(request.model, _SAID["answer"])

    async with FakeProvider(then=says, keep=10) as provider:
        print(provider.base_url.removesuffix("/v1"), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
