"""TypedLLMClient: answers that are validated objects of a type."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from loomwire.application.typed.forms import Asked, Forms, TypedMode, check_request
from loomwire.application.typed.misfits import Misfit, answer_text, dead_end
from loomwire.application.typed.source import TypedSource, TypedTarget
from loomwire.application.typed.spending import Spending
from loomwire.domain.errors import LLMError, OutputInvalidError
from loomwire.domain.ports.clock import IClock
from loomwire.domain.ports.output import IOutputSchema
from loomwire.domain.reports.steps import Step
from loomwire.domain.requests import Bound, LLMRequest
from loomwire.domain.responses import LLMResponse

T = TypeVar("T")

MIN_ATTEMPT_S = 0.25
_STOOD_IN = "No model answered, see the steps; what on_exhausted gives in its place is no object of the type."


@dataclass(frozen=True)  # generic: CPython 3.11 cannot slot a frozen generic class
class TypedLLMClient(Generic[T]):
    """Asks a model for an object of one type. Safe to share by tasks, threads and event loops.

    How the model is held to the schema:

    - `native`: the provider enforces it (`LLMRequest.output`), strictly when the schema fits the strict subset.
    - `tool`: the model must call one tool whose parameters are the schema.
    - `prompted`: the schema stands in the prompt, and the provider is asked for JSON where it is known to do that.
    - `auto` takes `native` when the model is known to do it, and when nobody knows; the schema then stands in the
      prompt too, since some servers pass over what they do not know, and a server that refuses the request is asked
      once more in `prompted`. Where the vendor's own way cannot express a keyword of the schema, it is asked without
      being strict about it, then in `prompted`: the answer is checked here all the same. A model known not to do it
      gets `tool` if it is known to call tools and the request has none of its own, else `prompted`.

    The prompt's words go to the request's system message if it has one, else to its last user message: a system message
    made here would displace the client's own.

    An answer that does not fit is asked for again, `reasks` times at most and within the one deadline and the
    `total_attempts` of the call, with what was wrong. Usage, cost and steps of all answers are summed. Not asked again
    are an answer cut by the token limit, a refusal, one stopped by a content filter, a stand-in (`degraded`), and a
    call of the request's own tools: nobody here may run them. A host that wants tools and then an object runs the tools
    with `ILLMClient` first. No call fails by an answer that came from a cache: the last one is asked for anew, once.

    Args:
        source: Where each call leases its client.
        schema: The type, as schema and decoder.
        clock: The time, for the deadline.
        reasks: How often an answer that does not fit is asked for again.
        mode: How the model is held to the schema.
        min_attempt_s: Nothing is asked again with fewer seconds left.
    """

    source: TypedSource
    schema: IOutputSchema[T]
    clock: IClock
    reasks: int = 1
    mode: TypedMode = "auto"
    min_attempt_s: float = MIN_ATTEMPT_S
    _forms: Forms = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the schema's forms once; a schema that no provider takes is refused here, before money is spent."""
        object.__setattr__(self, "_forms", Forms.of(self.schema.name, self.schema.schema))

    async def generate(self, request: LLMRequest) -> LLMResponse[T]:
        """Return the answer with `output` as an object of the type.

        Cancellation ends the call at once; nothing is asked again after it.

        Args:
            request: What to ask, without `output`. It is never changed.

        Raises:
            LLMValidationError: The request sets `output`, forces a tool call, or has tools in mode `tool`.
            OutputInvalidError: The answer does not fit, re-asks included; `problems` say where, and
                `metadata["spent"]` says what the answers used and cost.
            LLMError: Anything that kept an answer from coming; if an earlier answer was paid for,
                `metadata["spent"]` is there too.
        """
        check_request(request, self.mode)
        with self.source.lease() as target:
            bound = request.bound_for(self.clock.now(), target.total_s)
            return await self._converse(target, request.with_bound(bound), bound)

    async def _converse(self, target: TypedTarget, request: LLMRequest, bound: Bound) -> LLMResponse[T]:
        asked = self._forms.asked(request, self.mode, target.capabilities)
        spending = Spending()
        reasks = self.reasks
        while True:
            started = self.clock.now()
            try:
                response = await target.client.generate(spending.sent_before(asked.request, bound))
            except LLMError as error:
                weaker = self._forms.demoted(asked, error, request, target.capabilities)
                if weaker is None:
                    spending.charge(error)
                    raise
                spending.note(*error.steps, self._step("demoted", error.reason, started))
                asked = weaker
                continue
            spending.add(response)
            read = self._read(asked, response)
            if not isinstance(read, Misfit):
                return spending.total(read)
            again = self._again(asked, response, read, reasks)
            if again is None or not self._may_send(target, bound, spending):
                failure = read.error(self.schema.name, response)
                spending.charge(failure)
                raise failure
            reasks -= 1
            spending.note(self._step("reasked", "output_invalid", started, f"{response.provider}/{response.model}"))
            asked = again

    @staticmethod
    def _again(asked: Asked, response: LLMResponse[str], misfit: Misfit, reasks: int) -> Asked | None:
        if not misfit.again:
            return None
        if reasks > 0:
            return asked.corrected(response, misfit.problems)
        # Nothing was sent for it, and it would fail every such call for as long as it is kept.
        return asked.anew() if response.cached else None

    def _read(self, asked: Asked, response: LLMResponse[str]) -> LLMResponse[T] | Misfit:
        ended = dead_end(asked, response)
        if ended is not None:
            return ended
        if len(response.tool_calls) > 1:
            return Misfit((f"$: the tool was called {len(response.tool_calls)} times instead of once",))
        try:
            return response.with_output(self.schema.decode(answer_text(response)))
        except OutputInvalidError as error:
            problems = error.problems or ("$: the answer does not fit",)
            hint = _STOOD_IN if response.degraded else None
            return Misfit(problems, again=not response.degraded, hint=hint, cause=error.original_error)

    def _may_send(self, target: TypedTarget, bound: Bound, spending: Spending) -> bool:
        in_time = bound.at - self.clock.now() >= self.min_attempt_s
        return in_time and bound.sent + spending.sends < target.total_attempts

    def _step(self, outcome: str, reason: str, started: float, target: str = "") -> Step:
        return Step("typed", target, outcome, reason, latency_s=self.clock.now() - started)
