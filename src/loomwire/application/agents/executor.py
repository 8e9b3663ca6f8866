"""AgentExecutor: a model and its tools in a bounded loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final, TypeVar

from typing_extensions import override

from loomwire.application.agents.journey import Journey
from loomwire.application.agents.limits import AgentLimits
from loomwire.application.agents.runs import AgentRun, RunEnd
from loomwire.application.agents.source import AgentSource, AgentTarget, source_of
from loomwire.application.agents.tool_pipeline import ToolPipeline
from loomwire.application.clients.typed import TypedLLMClient
from loomwire.application.scopes import within
from loomwire.application.typed.forms import check_request
from loomwire.domain.errors import LLMValidationError, LoomError
from loomwire.domain.messages import Message
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest, refuse_no_request
from loomwire.domain.responses import LLMResponse
from loomwire.domain.values import listed

T = TypeVar("T")
U = TypeVar("U")

_USUAL: Final = AgentLimits()
_FORM: Final = "Now give this answer in the form that is asked for."


class AgentExecutor:
    """Asks a model, runs the tools it calls, and asks again with their results, until it answers or a limit is reached.

    One deadline holds for the whole run: `deadline_s` of the request, else the client's total time; what runs then is
    cancelled. Retries of all answers count together. The model's reasoning goes back as it came, signatures included,
    and the run stays on the configuration that was in force when it began.

    A run that ends at a limit raises nothing: it returns what it has, `AgentRun.ended` says which limit it was, and
    `AgentRun.output` raises, so that nobody takes it for an answer. Calls that the model asked for then are not run,
    because nobody would read what they say.

    Holds no state, so one may be shared by tasks, threads and event loops.

    Args:
        client: Whom to ask: a client of a container, any other `ILLMClient`, or `OneClient(client, priced=True)` where
            a cost limit is to hold for a client outside of containers.
        tools: What the model may call.
        limits: When a run ends.
        on_turn: Is told the run so far after every answer and after every round of tools, for saving it: an error ends
            a run with nothing in hand but its `metadata["spent"]`. It must be quick, and what it raises ends the run.

    Example:
        >>> from loomwire import LLMConfig, LLMContainer, LLMRequest
        >>> def weather(city: str) -> str:
        ...     return f"It rains in {city}."
        >>> look = {"when": "Rome", "tool_call": {"name": "weather", "arguments": {"city": "Rome"}}}
        >>> rules = {"rules": [{"after_tool": True, "answer": "Take a coat."}, look]}
        >>> with LLMContainer.of({"guide": LLMConfig(type="rule", model="any", options=rules)}) as container:
        ...     container.sync_agent("guide", weather).run(LLMRequest.of("What should I take to Rome?")).output
        'Take a coat.'
    """

    def __init__(
        self,
        client: ILLMClient | AgentSource,
        tools: ToolPipeline,
        limits: AgentLimits = _USUAL,
        *,
        on_turn: Callable[[AgentRun[str]], None] | None = None,
    ) -> None:
        """Ask nobody yet."""
        self._source = source_of(client)
        self._tools = tools
        self._limits = limits
        self._on_turn = on_turn

    @override
    def __repr__(self) -> str:
        return f"AgentExecutor({self._tools!r}, {self._limits!r})"

    async def run(self, request: LLMRequest) -> AgentRun[str]:
        """Work until the model answers or a limit is reached.

        Cancellation ends it at once, running tools included.

        Args:
            request: What to ask. It needs no tools; those it has are the ones to offer, all of the pipeline. When its
                last message is an assistant's with tool calls, as in the messages of a run that ended at a limit, these
                are run first.

        Raises:
            LLMValidationError: The request has tools that the pipeline has not; or there is a cost limit and nobody
                knows what a model of the client costs, and then nothing was sent.
            LLMTimeoutError: The deadline passed.
            LLMError: The model could not be asked.
            ToolExecutionError: A tool failed and the pipeline raises such errors.
        """
        tools = self._offered(request)
        with self._source.lease() as target:
            journey = self._begun(request, target, tools)
            ended, last = await self._bounded(journey, lambda: self._walk(target.client, journey, tools))
            return journey.run(ended, last)

    async def run_typed(self, request: LLMRequest, typed: TypedLLMClient[T]) -> AgentRun[T]:
        """Work as `run` does, then ask once more for the answer as an object; that is one more step.

        Args:
            request: As in `run`, without `output`.
            typed: Who is asked for the object, usually of the same client; not in mode `tool`.

        Raises:
            OutputInvalidError: The object does not fit; else as `run`.
        """
        tools = self._offered(request)
        check_request(replace(request, tools=tools.tools, tool_choice="none"), typed.mode)
        with self._source.lease() as target:
            journey = self._begun(request, target, tools)
            return await self._bounded(journey, lambda: self._walk_typed(target.client, journey, tools, typed))

    def _offered(self, request: LLMRequest) -> ToolPipeline:
        refuse_no_request(request, "run")
        strange = [tool.name for tool in request.tools if tool not in self._tools.tools]
        if strange:
            raise LLMValidationError(
                f"nobody here can run the request's tools: {listed(strange)}",
                hint="Bind them in the ToolPipeline; the request needs to name tools only to offer fewer.",
            )
        return self._tools.only(tool.name for tool in request.tools) if request.tools else self._tools

    def _begun(self, request: LLMRequest, target: AgentTarget, tools: ToolPipeline) -> Journey:
        if self._limits.cost_usd is not None and not target.priced:
            raise LLMValidationError(
                "there is a cost limit, but nobody knows what a model of this client costs",
                hint="Set `prices` or `free: true` for every model of the client, or leave cost_usd out.",
            )
        bound = request.bound_for(tools.clock.now(), target.total_s)
        return Journey(replace(request, tools=tools.tools), bound, self._limits)

    async def _bounded(self, journey: Journey, work: Callable[[], Awaitable[U]]) -> U:
        bound = journey.bound
        try:
            # Here too, because a client outside a container may have no deadline of its own, and tools have none.
            return await within(self._tools.clock, bound.at, bound.reason, work)
        except LoomError as error:
            journey.charge(error)
            raise

    async def _walk(
        self, client: ILLMClient, journey: Journey, tools: ToolPipeline
    ) -> tuple[RunEnd, LLMResponse[str] | None]:
        if journey.pending:
            await self._use(journey, tools)
        while (stop := journey.stopped()) is None:
            response = await client.generate(journey.request)
            journey.add(response)
            self._tell(journey)
            if response.tool_calls:
                # Looked at before the tools run: nobody would read what they say.
                stop = journey.stopped() or journey.stopped_by(response.tool_calls)
                if stop is not None:
                    break
                await self._use(journey, tools)
            elif response.finish != "pause":
                ended = journey.ended_by(response)
                return ended, response if ended == "answered" else None
        return stop, None

    async def _walk_typed(
        self, client: ILLMClient, journey: Journey, tools: ToolPipeline, typed: TypedLLMClient[T]
    ) -> AgentRun[T]:
        ended, last = await self._walk(client, journey, tools)
        if last is None:
            return journey.run(ended)
        stop = journey.stopped()
        if stop is not None:
            return journey.run(stop)
        asked = replace(journey.request.extended(Message.user(_FORM)), tool_choice="none")
        return journey.concluded(asked, await typed.generate(asked))

    async def _use(self, journey: Journey, tools: ToolPipeline) -> None:
        calls = journey.pending
        refused = {at: told for at, call in enumerate(calls) if (told := journey.refused(call)) is not None}
        allowed = [call for at, call in enumerate(calls) if at not in refused]
        ran = iter((await tools.call(allowed, bound=journey.bound)).outcomes)
        journey.used([refused[at] if at in refused else next(ran) for at in range(len(calls))])
        self._tell(journey)

    def _tell(self, journey: Journey) -> None:
        if self._on_turn is not None:
            self._on_turn(journey.run("running"))
