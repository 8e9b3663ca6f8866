"""One call of one tool: its time, its further tries, its circuit, and what is said of a failure."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial

from loomwire.application.agents.binding.answers import as_json, check_size
from loomwire.application.agents.binding.bound import BoundTool
from loomwire.application.agents.outcomes import ToolOutcome, problems_told, told
from loomwire.application.agents.threads import on_thread
from loomwire.application.resilience.with_retry import with_retry
from loomwire.domain.errors import CircuitOpenError, LoomError, OutputInvalidError, ToolExecutionError
from loomwire.domain.faults import ErrorCategory
from loomwire.domain.messages import ToolResult
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import Bound
from loomwire.domain.values import ToolCall

_AT_ONCE_S = 1e-9


class _TookTooLongError(TimeoutError):
    """The tool's own time is over; told apart from a TimeoutError that the tool raises."""


async def called(tool: BoundTool, call: ToolCall, clock: IClock, bound: Bound | None) -> ToolOutcome:
    """Call a tool as the model asked and return what became of it.

    Cancellation ends it at once and counts for nobody.

    Args:
        tool: What is called.
        call: With which arguments; not run when they are cut or do not fit.
        clock: For the tool's time.
        bound: After which no further try is started; the caller ends the one that runs.
    """
    if call.arguments is None:
        return told(call, "cut", "The tool was not called: its arguments were cut off, or are no JSON object.")
    try:
        arguments = tool.read(call.arguments)
    except OutputInvalidError as error:
        return problems_told(call, error.problems)
    trying = _Trying(tool, arguments, clock)
    began = clock.now()
    try:
        content = as_json(await trying.all(bound))
        check_size(content, tool.policy.result_bytes)
    except Exception as error:  # noqa: BLE001  # the host's function may raise anything
        what = f"failed: {error.message}" if isinstance(error, ToolExecutionError) else _what(error, tool)
        failure = _failed(tool, error, what)
        result = ToolResult(call.id, f"The tool {what}", call.name, is_error=True)
        return ToolOutcome(call, result, "failed", failure, clock.now() - began, trying.made)
    result = ToolResult(call.id, content, call.name)
    return ToolOutcome(call, result, "answered", None, clock.now() - began, trying.made)


def stopped(name: str, call: ToolCall) -> ToolOutcome:
    """Return the outcome of a tool whose task was cancelled by something in the tool itself."""
    failure = ToolExecutionError(f"{name} was cancelled from inside", metadata={"tool": name})
    result = ToolResult(call.id, "The tool was cancelled from inside", call.name, is_error=True)
    return ToolOutcome(call, result, "failed", failure)


class _Trying:
    """The tries of one call."""

    __slots__ = ("_arguments", "_clock", "_tool", "made")

    def __init__(self, tool: BoundTool, arguments: Mapping[str, object], clock: IClock) -> None:
        self._tool = tool
        self._arguments = arguments
        self._clock = clock
        self.made = 0

    async def all(self, bound: Bound | None) -> object:
        retries, clock = self._tool.policy.retries, self._clock
        if retries is None:
            return await self._once()
        left_s = None if bound is None else max(bound.at - clock.now(), _AT_ONCE_S)
        return await with_retry(retries, deadline_s=left_s, clock=clock)(self._once)()

    async def _once(self) -> object:
        # The circuit inside the retry, as in the chain: it counts real calls, and open is no reason to try again.
        with self._tool.breaker.around():
            self.made += 1
            return await self._timed()

    async def _timed(self) -> object:
        foreign: TimeoutError | None = None
        try:
            async with self._clock.timeout_at(self._clock.now() + self._tool.policy.timeout_s):
                try:
                    return await self._run()
                except TimeoutError as error:
                    foreign = error
                    raise
        except TimeoutError as error:
            if error is foreign:
                raise
        raise _TookTooLongError

    async def _run(self) -> object:
        tool = self._tool
        if tool.is_async:
            result: object = tool.function(**self._arguments)
        else:
            result = await on_thread(partial(tool.function, **self._arguments), f"loomwire tool {tool.name}")
        # A lambda around an async function has done nothing yet.
        return await result if inspect.isawaitable(result) else result


def _failed(tool: BoundTool, error: Exception, what: str) -> ToolExecutionError:
    # Only the words of a ToolExecutionError are kept: those of others may hold secrets.
    if isinstance(error, ToolExecutionError):
        error.metadata = {**error.metadata, "tool": tool.name}
        return error
    own = error if isinstance(error, LoomError) else None
    failure = ToolExecutionError(
        f"{tool.name} {what}",
        category=_category(error) if own is None else own.category,
        retryable=isinstance(error, TimeoutError | ConnectionError) if own is None else own.retryable,
        retry_after=None if own is None else own.retry_after,
        metadata={"tool": tool.name},
        original_error=error,
    )
    failure.__cause__ = error
    return failure


def _what(error: Exception, tool: BoundTool) -> str:
    if isinstance(error, _TookTooLongError):
        return f"took longer than {tool.policy.timeout_s:g} s"
    if isinstance(error, CircuitOpenError):
        return "failed too often and is left alone for a while"
    kind = type(error).__name__
    return f"failed: {kind} ({error.reason})" if isinstance(error, LoomError) else f"failed: {kind}"


def _category(error: Exception) -> ErrorCategory | None:
    if isinstance(error, TimeoutError):
        return ErrorCategory.TIMEOUT
    return ErrorCategory.NETWORK if isinstance(error, ConnectionError) else None
