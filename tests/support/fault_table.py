"""Runs the cases of the fault table through the real chain and judges how each ends."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import ssl
import sys
import time
import traceback
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Final

from loomwire import ILLMClient, LLMConfig, LLMContainer, LLMRequest
from loomwire.domain.config import ClientConfig
from loomwire.domain.errors import LLMError, LoomError, StreamInterruptedError
from loomwire.domain.events import TextDelta
from loomwire.domain.policies import MIB, RetryPolicy, WireLimits
from loomwire.domain.ports.pool import IConnectionPool
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import JSON, Secret
from loomwire.infrastructure.transport.pool import ConnectionPool
from loomwire.testing import FAULTS, FakeResolver
from support.dialects import target_of
from support.fault_cases import AGAIN, Case

KEY: Final = "sk-canary-9c41e7"
CANARY: Final = "canary-prompt"
PROMPT: Final = f"{CANARY}: when does the harbour open?"
DEADLINE_S: Final = 1.0
LARGE_S: Final = 15.0
LATE_S: Final = 0.2
CHAINED: Final = 100
"""What is added to the number of a case's path for the second target."""
MOST_MB: Final = 32.0
WAITING: Final = frozenset({"hang", "hang_after_headers", "stall", "slow_loris", "slow_ok", "dns_slow", "byte_split"})
"""Faults that mostly wait, so that they are played side by side; what memory they take, they take together."""

LARGE: Final = frozenset(
    {"endless_body", "endless_line", "endless_header", "gzip_bomb", "deep_json", "long_number", "byte_split", "slow_ok"}
)
"""Faults that a limit or the answer ends and no deadline, on a slow machine too, so they get a longer one."""

_STATUS: Final = Path("/proc/self/status")
_RESET: Final = Path("/proc/self/clear_refs")

QUICK: Final = 4 * MIB
"""What a stream may have where the table is only looked at: 64 MiB of small events keep a processor busy."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one case ended.

    Attributes:
        case: What was played.
        outcome: `right answer`, or the class of the error.
        reason: Code and reason of the error, or "".
        seconds: How long it took.
        extra_mb: The process's peak of memory over what it had before; None where the system does not tell.
        wrong: What must not be, one sentence each.
    """

    case: Case
    outcome: str
    reason: str
    seconds: float
    extra_mb: float | None
    wrong: tuple[str, ...] = ()

    @property
    def row(self) -> tuple[str, str, str, str, str, str]:
        """The table's row; seconds and memory rounded to what a reader needs."""
        memory = "-" if self.extra_mb is None else "< 1" if self.extra_mb < 1 else f"{self.extra_mb:.0f}"
        return (self.case.label, self.case.mode, self.outcome, self.reason, f"{self.seconds:.1f}", memory)


@dataclass(frozen=True, slots=True)
class World:
    """Where the cases are served, as the serving process says.

    Attributes:
        urls: Base URLs by fault, `plain` for all that are played on answers.
        trusted: A TLS context that knows the servers' throw-away authorities.
    """

    urls: dict[str, str]
    trusted: ssl.SSLContext

    @classmethod
    def of(cls, line: bytes) -> World:
        """Read what the process printed."""
        said: dict[str, JSON] = json.loads(line)
        urls, authorities = said["urls"], said["authorities"]
        assert isinstance(urls, dict)
        assert isinstance(authorities, list)
        trusted = ssl.create_default_context(cadata=b"".join(b64decode(str(each)) for each in authorities))
        return cls({name: str(url) for name, url in urls.items()}, trusted)


@asynccontextmanager
async def world() -> AsyncGenerator[World]:
    """Serve the cases in another process, so that the memory here is the client's alone."""
    server = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.fault_cases",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        yield World.of(await server.stdout.readline())
    finally:
        server.stdin.close()
        await server.wait()


class Player:
    """Plays cases through containers of its own.

    Args:
        world: Where they are served.
        attempt: Which time they are played; a server plays a fault once per attempt.
        most: Bytes that a stream may have (`limits.stream`).
        chained: Ask again, and then a second target, as a client does by default; else a fault ends the call. Every
            target plays its fault once.
    """

    def __init__(self, world: World, attempt: int, most: int, *, chained: bool = False) -> None:
        """Build nothing yet."""
        self._chained = chained
        self._world = world
        self._attempt = attempt
        self._most = most

    async def play(self, cases: Sequence[Case]) -> list[Outcome]:
        """Play cases, those that mostly wait side by side, the others one after the other."""
        clients = {str(case.number): self._config(case) for case in cases}
        slow = FakeResolver(delay_s=30)
        async with (
            await _container(clients) as played,
            await _container(clients, ConnectionPool(resolver=slow)) as slowly,
            await _container(clients, ConnectionPool(resolver=FakeResolver())) as nameless,
            await _container(clients, ConnectionPool(tls=self._world.trusted)) as secure,
        ):
            special = {"dns_slow": slowly, "dns_unknown": nameless}
            homes = [(case, special.get(case.fault, secure if "tls" in case.fault else played)) for case in cases]
            before = peak_mb(fresh=True)
            waiting = (self._ended(case, home) for case, home in homes if case.fault in WAITING)
            outcomes = await asyncio.gather(*waiting)
            together = over(before)
            outcomes = [_with_memory(each, together) for each in outcomes]
            for case, home in homes:
                if case.fault not in WAITING:
                    before = peak_mb(fresh=True)
                    outcomes.append(_with_memory(await self._ended(case, home), over(before)))
            for home in (played, slowly, nameless, secure):
                assert home.resolve(IConnectionPool).get_stats().active == 0
        return outcomes

    def _config(self, case: Case) -> LLMConfig | ClientConfig:
        # With one attempt, because the table says how a fault ends and not what comes after it.
        first = self._target(case, self._attempt, RetryPolicy(base_s=0.0) if self._chained else RetryPolicy(attempts=1))
        if not self._chained:
            return first
        second = self._target(case, self._attempt + CHAINED, first.retry)
        return ClientConfig(name=str(case.number), targets=(first, second))

    def _target(self, case: Case, attempt: int, retry: RetryPolicy) -> LLMConfig:
        place = f"{self._world.urls['plain'].removesuffix('/v1')}/{case.number}/{attempt}/v1"
        made = target_of(case.dialect, self._world.urls.get(case.fault) or place)
        limits = replace(made.limits, stream=self._most)
        # Each with a name, and so with a circuit, of its own.
        return replace(made, name=f"case-{case.number}-{attempt}", keys=(Secret(KEY),), limits=limits, retry=retry)

    async def _ended(self, case: Case, container: LLMContainer) -> Outcome:
        client = container.resolve(ILLMClient, str(case.number))
        deadline_s = LARGE_S if case.fault in LARGE else DEADLINE_S
        started = time.monotonic()
        response: LLMResponse[str] | None = None
        error: BaseException | None = None
        try:
            response = await asked(client, deadline_s, stream=case.stream)
        except Exception as caught:  # noqa: BLE001 - an error of any other kind is what the table is there to find
            error = caught
        seconds = time.monotonic() - started
        if response is None:
            wrong = list(_misreported(case, error))
        elif self._chained and response.text == AGAIN:
            wrong = []
        else:
            wrong = list(_misanswered(case, response))
        if seconds > deadline_s + LATE_S:
            wrong.append(f"it took {seconds:.2f} s of {deadline_s:g}")
        if FAULTS[case.fault].play is not None:
            # The second target may have its fault still to play.
            met = self._chained and bool(await _afterwards(client))
            wrong += await _afterwards(client) if met or not self._chained else []
        return Outcome(
            case,
            "right answer" if error is None else type(error).__name__,
            f"{error.code} {error.reason}" if isinstance(error, LoomError) else "",
            seconds,
            None,
            tuple(wrong),
        )


async def _container(
    clients: Mapping[str, LLMConfig | ClientConfig], pool: ConnectionPool | None = None
) -> LLMContainer:
    overrides = {} if pool is None else {"connection_pool": pool}
    # On a thread, because the first client imports the network's libraries.
    return await asyncio.to_thread(LLMContainer.of, clients, overrides=overrides)


async def asked(client: ILLMClient, deadline_s: float, *, stream: bool) -> LLMResponse[str]:
    """Ask once; a stream is read to its end, and its pieces must be its answer."""
    request = LLMRequest.of(PROMPT, deadline_s=deadline_s)
    if not stream:
        return await client.generate(request)
    # No list of pieces, which would take more memory than the answer.
    said = StringIO()
    async with client.stream(request) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                said.write(event.text)
        assert said.getvalue() == events.response.text
        return events.response


def _misanswered(case: Case, response: LLMResponse[str]) -> Iterable[str]:
    said = case.reply()
    if response.text != case.made().said:
        yield f"SILENTLY WRONG text {response.text[:80]!r}"
    calls = [(call.name, call.arguments) for call in response.tool_calls]
    if calls != [(call.name, call.arguments) for call in said.tool_calls]:
        yield f"SILENTLY WRONG tool calls {calls}"
    usage = response.usage
    if usage.known and not usage.estimated and usage != said.usage:
        told = (usage.input_tokens, usage.output_tokens)
        if said.usage is None or told != (said.usage.input_tokens, said.usage.output_tokens):
            yield f"SILENTLY WRONG usage {told} as a fact"


def _misreported(case: Case, error: BaseException | None) -> Iterable[str]:
    if not isinstance(error, LoomError):
        yield f"UNTYPED {error!r}"[:200]
        return
    if not isinstance(error, LLMError):
        yield f"no error of a call: {error!r}"
    if (error.__cause__, error.__context__, error.original_error) != (None, None, None):
        yield "the error carries the transport's exception"
    shown = [str(error), repr(error), error.explain(), repr(vars(error)), *traceback.format_exception(error)]
    shown.append(pickle.dumps(error).decode("latin-1"))
    yield from (
        f"the error shows the {what}" for what, word in (("key", KEY), ("prompt", CANARY)) if word in "".join(shown)
    )
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if any(KEY in repr(frame.f_locals) for frame in frames if frame.f_globals["__name__"].startswith("loomwire.")):
        yield "the frames of the traceback hold the key"
    goes_on = case.fault == "endless_body"
    if isinstance(error, StreamInterruptedError) and not (goes_on or case.made().said.startswith(error.partial_text)):
        yield f"the partial text was never said: {error.partial_text[:80]!r}"


async def _afterwards(client: ILLMClient) -> list[str]:
    try:
        answer = await asked(client, LARGE_S, stream=False)
    except LoomError as error:
        return [f"the next call failed: {error!r}"]
    if answer.text != AGAIN or not (answer.request_id or "").startswith("req-0"):
        return [f"the next call got another's answer: {answer.text[:60]!r}, {answer.request_id}"]
    return []


def peak_mb(*, fresh: bool = False) -> float | None:
    """Return the process's memory: the peak since the last fresh start, or what it is now, which starts afresh."""
    if not _RESET.exists():
        return None
    if fresh:
        _RESET.write_text("5")
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return int(lines["VmRSS" if fresh else "VmHWM"].split()[0]) / 1024


def over(before: float | None) -> float | None:
    """Return how much the peak is above `before`."""
    now = peak_mb()
    return None if before is None or now is None else max(now - before, 0.0)


def _with_memory(outcome: Outcome, extra_mb: float | None) -> Outcome:
    wrong = outcome.wrong
    if extra_mb is not None and extra_mb >= MOST_MB:
        wrong = (*wrong, f"it took {extra_mb:.0f} MB of memory")
    return Outcome(outcome.case, outcome.outcome, outcome.reason, outcome.seconds, extra_mb, wrong)


async def played(
    at: World, cases: Sequence[Case], most: int = WireLimits().stream, attempts: int = 3, *, chained: bool = False
) -> list[Outcome]:
    """Play cases, each by itself or through everything that a chain does about a fault.

    What was wrong is played again: a machine may be slow once, a client that is wrong stays so.
    Silently wrong answers are never forgiven.
    """
    start = 2 * CHAINED if chained else 0
    best = {outcome.case: outcome for outcome in await Player(at, start, most, chained=chained).play(cases)}
    for attempt in range(start + 1, start + attempts):
        again = [case for case, outcome in best.items() if outcome.wrong and not _unforgivable(outcome)]
        if again:
            best |= {outcome.case: outcome for outcome in await Player(at, attempt, most, chained=chained).play(again)}
    return [best[case] for case in cases]


def _unforgivable(outcome: Outcome) -> bool:
    return any(word.startswith(("SILENTLY", "UNTYPED")) for word in outcome.wrong)
