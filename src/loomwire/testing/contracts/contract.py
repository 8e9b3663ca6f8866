"""What every contract suite is made of: claims that say which promise was broken, and how they are run.

A contract is a class whose test methods are the promises of one port. Who implements the port subclasses it in a test
module of their own, fills in the abstract methods, and pytest collects the rest:

    class TestMyClock(ClockContract):
        def clock(self) -> IClock:
            return MyClock()

It needs no plugin and no setting: every claim is a plain function that runs an event loop of its own, fails with a
message that needs no assertion rewriting, and skips what the subclass says it cannot do. Nothing but the standard
library is imported here.

How to write the next one (a cache, a selector, a vector store): one module `<port>.py` with one class below
`Contract`; `port` names the Protocol; one abstract method makes a fresh implementation; class attributes declare
optional abilities (`@needs`); every promise in the port's docstrings becomes one `@claim`, an async method whose
docstring is the promise in a sentence and which says by `expect`, `same` and `raised` what it saw. Then run it over
our own table in `tests/contracts`, and over implementations that break each promise in
`tests/unit/testing/contracts`.
"""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import ClassVar, TypeAlias, TypeVar
from unittest import SkipTest

E = TypeVar("E", bound=BaseException)
S = TypeVar("S", bound="Contract")
T = TypeVar("T")

Promise: TypeAlias = Callable[[S], Coroutine[object, object, None]]
"""A method of a suite that looks whether a promise holds."""

_ABILITIES = "loomwire_contract_needs"
_GRACE_S = 0.5
_THREAD_S = 30.0


class ContractBrokenError(AssertionError):
    """An implementation breaks a promise of its port; the message says which, what was seen and where it is written."""


class SeenError(AssertionError):
    """What a claim saw in place of what was promised; `claim` makes a `ContractBrokenError` of it."""


class Contract:
    """The base of every suite. No ABC: pytest passes over abstract classes, so what is unwritten would go unnoticed.

    Attributes:
        port: Where the contract is written: the full name of the Protocol.
        patience_s: Seconds after which a claim has failed; raise it for slow implementations.
    """

    port: ClassVar[str] = ""
    patience_s: ClassVar[float] = 15.0

    def unwritten(self, name: str) -> NotImplementedError:
        """Return the error for a method that the subclass must write; not raised."""
        return NotImplementedError(f"{type(self).__name__} must write the method `{name}`")


def claim(promise: Promise[S]) -> Callable[[S], None]:
    """Turn an async method into a test that needs no plugin; its docstring is the promise.

    The test runs on a loop of its own, within the suite's patience, and also fails when a task is left behind.

    Raises:
        ContractBrokenError: The promise does not hold, whatever the implementation raised instead.
    """
    said = " ".join((promise.__doc__ or "").partition("\n\n")[0].split())

    @functools.wraps(promise)
    def test(suite: S) -> None:
        """Run the promise with the suite's patience, or skip what it says it cannot do."""
        __tracebackhide__ = True
        for ability in abilities_of(test):
            if not getattr(suite, ability):
                raise SkipTest(f"{type(suite).__name__} says {ability} = False")
        try:
            _run(lambda: promise(suite), suite.patience_s)
        except SeenError as seen:
            raise ContractBrokenError(_message(suite, said, str(seen))) from seen.__cause__
        except (Exception, asyncio.CancelledError) as error:
            raise ContractBrokenError(_message(suite, said, f"{type(error).__name__}: {error}")) from error

    return test


def needs(*abilities: str) -> Callable[[Promise[S]], Promise[S]]:
    """Say which class attributes must be true for a claim to be made; it is skipped otherwise. Goes below `claim`."""

    def marked(promise: Promise[S]) -> Promise[S]:
        """Note the abilities on the promise."""
        promise.__dict__[_ABILITIES] = abilities
        return promise

    return marked


def abilities_of(test: object) -> tuple[str, ...]:
    """Return what `needs` said of a claim, for those who would rather not collect it than see it skipped."""
    abilities: tuple[str, ...] = getattr(test, _ABILITIES, ())
    return abilities


def _message(suite: Contract, said: str, seen: str) -> str:
    return f"{type(suite).__name__} breaks a promise of {suite.port}\n  promise: {said}\n  seen: {seen}"


def expect(holds: object, seen: str) -> None:
    """Fail the claim with what was seen, unless something is true.

    Raises:
        SeenError: It is not.
    """
    if not holds:
        raise SeenError(seen)


def same(found: object, wanted: object, what: str) -> None:
    """Fail the claim unless two things are equal.

    Raises:
        SeenError: They are not; it shows both.
    """
    if found != wanted:
        raise SeenError(f"{what} is {found!r} and not {wanted!r}")


async def raised(kind: type[E], work: Awaitable[object]) -> E:
    """Return the error of this kind that awaiting raises.

    Raises:
        SeenError: It raises another one, or nothing.
    """
    try:
        got = await work
    except kind as error:
        return error
    except Exception as error:
        raise SeenError(f"{type(error).__name__} in place of {kind.__name__}: {error}") from error
    raise SeenError(f"it returned {got!r} in place of raising {kind.__name__}")


async def turns(count: int) -> None:
    """Let other tasks run for so many turns of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object], what: str, within_s: float = 5.0) -> None:
    """Wait until a condition holds.

    Raises:
        SeenError: It did not within so many seconds; it says `what`.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within_s
    while not condition():
        if loop.time() >= end:
            raise SeenError(f"after {within_s:g} s {what}")
        await asyncio.sleep(0.001)


async def cancelled_after(count: int, work: Coroutine[object, object, object]) -> bool:
    """Cancel work after so many turns of the loop; tell whether it was still going on.

    Raises:
        SeenError: It was, and it ended otherwise than by CancelledError.
    """
    task = asyncio.ensure_future(work)
    await turns(count)
    if task.done():
        task.result()
        return False
    task.cancel()
    await asyncio.wait({task})
    if task.cancelled():
        return True
    error = task.exception()
    ended = f"returned {task.result()!r}" if error is None else f"raised {type(error).__name__}: {error}"
    raise SeenError(f"cancelled after {count} turns of the loop, it {ended}")


async def in_threads(count: int, work: Callable[[], Coroutine[object, object, T]]) -> list[T]:
    """Run work on so many threads at the same time, each with an event loop of its own; return what they returned.

    It raises the first error only when all have ended: whoever goes on would meet what the claim is tearing down.
    """
    together = threading.Barrier(count)

    def run(end: Future[T]) -> None:
        """Do the work on a loop of its own, at the same time as the others."""
        end.set_running_or_notify_cancel()
        try:
            together.wait(_THREAD_S)
            end.set_result(asyncio.run(asyncio.wait_for(work(), _THREAD_S)))
        except BaseException as error:  # noqa: BLE001  # whatever it is, the claim judges it
            end.set_exception(error)

    ends: list[Future[T]] = [Future() for _ in range(count)]
    for end in ends:
        # A daemon: one that an implementation blocks for ever must not keep the interpreter from exiting.
        threading.Thread(target=run, args=(end,), daemon=True).start()
    waiting = [asyncio.wrap_future(end) for end in ends]
    await asyncio.wait(waiting)
    return await asyncio.gather(*waiting)


def _run(work: Callable[[], Coroutine[object, object, None]], patience_s: float) -> None:
    # Not asyncio.run: it would wait for ever for work that swallows every cancellation.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_bounded(work(), patience_s))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


async def _bounded(work: Coroutine[object, object, None], patience_s: float) -> None:
    task = asyncio.ensure_future(work)
    await asyncio.wait({task}, timeout=patience_s)
    ended = task.done()
    left = await _ended_tasks(task)
    if not ended:
        if task.done() and not task.cancelled():
            task.exception()  # what it said when it was stopped is of no interest: it came too late
        raise SeenError(f"it had not ended after {patience_s:g} s")
    task.result()
    expect(not left, f"tasks were left behind: {', '.join(left)}")


async def _ended_tasks(judged: asyncio.Task[None]) -> list[str]:
    """End every other task; return the names of those that did not end by themselves."""
    own = asyncio.current_task()
    rest = {task for task in asyncio.all_tasks() if task is not own}
    if rest - {judged}:
        _, rest = await asyncio.wait(rest, timeout=_GRACE_S)
    names = [f"{task.get_name()} ({task.get_coro()})" for task in rest if task is not judged]
    for _ in range(3):
        # Some swallow the first cancellation; what swallows three is abandoned with the loop.
        for task in rest:
            task.cancel()
        if rest:
            _, rest = await asyncio.wait(rest, timeout=_GRACE_S)
    return names
