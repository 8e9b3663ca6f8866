"""Everything loomwire raises.

::

    LoomError
    |- ConfigError
    |  '- ConfigRejectedError, WiringError, UnknownNameError
    |- LLMError
    |  |- LLMNetworkError, LLMTimeoutError, LLMRateLimitError, LLMTemporaryError, LLMAuthenticationError
    |  |- LLMPermissionError
    |  |  '- BudgetExceededError
    |  |- LLMValidationError
    |  |  '- ContextLengthError, ContentFilterError, CapabilityError, OutputInvalidError
    |  |- LLMNotFoundError, LLMProtocolError, StreamInterruptedError, CircuitOpenError
    |  '- AllTargetsFailedError, ClientRemovedError
    '- ToolExecutionError, AgentStoppedError, RetrieverError, PluginError

Behaviour is data: `error.disposition` says what a layer may do, so no layer lists types. No error ever holds a key,
a header, a URL query or a prompt. Errors pickle and deep-copy; a copy loses only its cause and its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self, Unpack

from typing_extensions import override

from loomwire.domain.faults import FAULTS, Disposition, ErrorCategory, Fault
from loomwire.domain.pricing import Usage
from loomwire.domain.reports.context import ErrorContext, Phase
from loomwire.domain.reports.problems import Problem
from loomwire.domain.reports.steps import Step
from loomwire.domain.values import JSON, NO_JSON, FrozenDict, JSONObject, ToolCall

MAX_PROVIDER_MESSAGE = 500
_SHOWN = (
    *("code", "reason", "message", "hint", "retryable", "retry_after", "provider", "model", "endpoint", "status"),
    *("request_id", "attempt", "phase", "provider_code", "provider_message"),
)


def _revive(kind: type[LoomError], message: str, state: dict[str, object]) -> LoomError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


def _visible(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


def _quoted(words: str | None) -> str | None:
    return None if words is None else _visible(words[:MAX_PROVIDER_MESSAGE])[:MAX_PROVIDER_MESSAGE]


def _allowed(fault: Fault, status: int | None, phase: Phase | None) -> Disposition:
    may = fault.disposition
    if fault.reason == "unknown" and status is not None and status >= 500:
        may = replace(may, trips_breaker=True)
    return may.after_delivery() if phase == "stream_after_token" else may


class LoomError(Exception):
    """Base of all errors of loomwire.

    Args:
        message: One line: what failed.
        category: Overrides the table's category.
        retryable: Whether asking anew may help; the table's `retry_same` unless given. For hosts: layers go by
            `disposition`, which also knows that nobody may send again once a token was handed out.
        metadata: Further facts as JSON; no secrets, no prompts.
        original_error: The cause, when it is host code's own; transport causes are never kept.
        **context: Where it happened, see `ErrorContext`.
    """

    default_reason: ClassVar[str] = "internal"

    @override
    def __init_subclass__(cls, *, default_reason: str | None = None) -> None:
        """Let a subclass say which row of the fault table it stands for; KeyError when the table has none."""
        super().__init_subclass__()
        if default_reason is not None:
            cls.default_reason = FAULTS[default_reason].reason

    def __init__(
        self,
        message: str,
        *,
        category: ErrorCategory | None = None,
        retryable: bool | None = None,
        metadata: JSONObject = NO_JSON,
        original_error: BaseException | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        """Create the error; an unknown `reason` raises KeyError, because the table must name it first."""
        super().__init__(message)
        fault = FAULTS[context.get("reason") or self.default_reason]
        self.message = message
        self.reason = fault.reason
        self.code = fault.code
        self.category = category or fault.category
        self.retryable = fault.disposition.retry_same if retryable is None else retryable
        # A copy of our own: errors travel far, and a host's mapping may change or refuse to pickle.
        self.metadata: Mapping[str, JSON] = FrozenDict(metadata)
        self.original_error = original_error
        self.provider = context.get("provider")
        self.model = context.get("model")
        self.endpoint = context.get("endpoint")
        self.status = context.get("status")
        self.request_id = _quoted(context.get("request_id"))
        self.attempt = context.get("attempt")
        self.phase: Phase | None = context.get("phase")
        self.disposition = _allowed(fault, self.status, self.phase)
        self.retry_after = context.get("retry_after")
        self.provider_code = _quoted(context.get("provider_code"))
        self.provider_message = _quoted(context.get("provider_message"))
        self.hint = context.get("hint") or fault.remedy
        self.steps: tuple[Step, ...] = ()

    @property
    def fault(self) -> Fault:
        """The row of the fault table this error stands for."""
        return FAULTS[self.reason]

    @override
    def __str__(self) -> str:
        """One line: code, where, what failed, and what to do."""
        return _visible(f"{self.code} {self._what()} ({self.hint})")

    def _what(self) -> str:
        where = "/".join(part for part in (self.provider, self.model) if part)
        said = f": {self.provider_message}" if self.provider_message else ""
        return " ".join(f"{f'[{where}] ' if where else ''}{self.message}{said}".split())

    @override
    def __reduce__(self) -> tuple[object, ...]:
        return _revive, (type(self), self.message, {**self.__dict__, "original_error": None})

    def located(self, provider: str, model: str) -> Self:
        """Fill in the target's names where they are unknown, and return the same error."""
        self.provider = self.provider or provider
        self.model = self.model or model
        return self

    def with_step(self, step: Step) -> Self:
        """Put a layer's step in front of the steps below it, and return the same error."""
        self.steps = (step, *self.steps)
        return self

    def to_dict(self) -> dict[str, JSON]:
        """Return the error as JSON, for logs and APIs: no secrets, no prompts, no partial output."""
        return {
            "schema": "loomwire/error/1",
            "type": type(self).__name__,
            "category": self.category.value,
            **{name: getattr(self, name) for name in _SHOWN},
            "metadata": dict(self.metadata),
            "steps": [step.to_dict() for step in self.steps],
        }

    def explain(self) -> str:
        """Return a block of lines for a person: the error, its meaning, the remedy and the steps."""
        lines = [f"error[{self.code}]: {self._what()}", f"meaning: {self.fault.meaning}", f"what to do: {self.hint}"]
        return "\n  ".join(_visible(line) for line in (*lines, *(f"step: {step}" for step in self.steps)))


class ConfigError(LoomError, default_reason="rejected"):
    """The configuration, or the way the container is used, is wrong."""


class ConfigRejectedError(ConfigError):
    """A configuration is not in force because of its problems; whatever was in force before stays.

    Attributes:
        problems: Every problem found, errors and warnings, in the order of the files.
    """

    def __init__(self, message: str, *, problems: Sequence[Problem], **context: Unpack[ErrorContext]) -> None:
        super().__init__(message, **context)
        self.problems = tuple(problems)

    @override
    def explain(self) -> str:
        return "\n\n".join(problem.render() for problem in self.problems)


class WiringError(ConfigError, default_reason="wiring"):
    """The container cannot be built; every problem is listed with the path that leads to it.

    Attributes:
        problems: Every problem, one line each: `WIR001 registry -> factory -> pool: ...`.
    """

    def __init__(self, message: str, *, problems: Sequence[str], **context: Unpack[ErrorContext]) -> None:
        super().__init__(message, **context)
        self.problems = tuple(problems)


class UnknownNameError(ConfigError, default_reason="unknown_name"):
    """A client, model or provider name that nobody defined. The message lists what exists."""


class LLMError(LoomError, default_reason="unknown"):
    """A call to a model failed."""


class LLMNetworkError(LLMError, default_reason="reset"):
    """The network failed: name, connection, TLS, or an end without an answer."""


class LLMTimeoutError(LLMError, default_reason="attempt"):
    """Something took too long; `reason` says what: connect, ttft, idle, attempt, gateway, queue or deadline."""


class LLMRateLimitError(LLMError, default_reason="throttled"):
    """The provider limits the pace; `retry_after` says for how many seconds, when it is known."""


class LLMTemporaryError(LLMError, default_reason="server"):
    """The provider failed in a way that may pass."""


class LLMAuthenticationError(LLMError, default_reason="credentials"):
    """The key is not accepted."""


class LLMPermissionError(LLMError, default_reason="denied"):
    """The key is known but may not, or has no money left."""


class BudgetExceededError(LLMPermissionError, default_reason="budget_exceeded"):
    """A budget of the configuration would be exceeded; nothing was sent."""


class LLMValidationError(LLMError, default_reason="invalid_request"):
    """The request itself is wrong; sending it again cannot help."""


class ContextLengthError(LLMValidationError, default_reason="context_length"):
    """The request does not fit the model's context window."""


class ContentFilterError(LLMValidationError, default_reason="content_filter"):
    """The provider's content filter refused the request."""


class CapabilityError(LLMValidationError, default_reason="capability"):
    """The model cannot do what the request needs; nothing was sent."""


class OutputInvalidError(LLMValidationError, default_reason="output_invalid"):
    """The answer does not fit the requested type, after the allowed number of re-asks.

    Attributes:
        problems: What does not fit, each as `path: what`, without the answer's values.
        text: The answer as it came; never part of `str(error)` or `to_dict()`.
    """

    def __init__(
        self, message: str, *, problems: Sequence[str] = (), text: str = "", **context: Unpack[ErrorContext]
    ) -> None:
        super().__init__(message, **context)
        self.problems = tuple(problems)
        self.text = text


class LLMNotFoundError(LLMError, default_reason="model"):
    """The provider does not know the model or the path."""


class LLMProtocolError(LLMError, default_reason="protocol"):
    """The answer is not what the protocol says, or larger than allowed."""


class StreamInterruptedError(LLMError, default_reason="stream_interrupted"):
    """A stream ended before its answer did. It is never taken for a finished answer.

    Attributes:
        partial_text: The text delivered so far.
        partial_tool_calls: The tool calls delivered so far; a cut one has `arguments=None`.
        usage_so_far: The usage seen so far, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        partial_text: str = "",
        partial_tool_calls: tuple[ToolCall, ...] = (),
        usage_so_far: Usage | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        super().__init__(message, **context)
        self.partial_text = partial_text
        self.partial_tool_calls = partial_tool_calls
        self.usage_so_far = usage_so_far


class CircuitOpenError(LLMError, default_reason="circuit_open"):
    """The target's circuit breaker is open; nothing was sent. `retry_after` is exact."""


class AllTargetsFailedError(LLMError, default_reason="all_targets_failed"):
    """Every target of a client failed.

    Attributes:
        errors: One error per target, in the order they were asked.
    """

    def __init__(self, message: str, *, errors: Sequence[LLMError], **context: Unpack[ErrorContext]) -> None:
        """Take category, `retryable` and wait of the last error, on which the caller can act; no layer asks again."""
        super().__init__(message, **context)
        self.errors = tuple(errors)
        if self.errors:
            last = self.errors[-1]
            self.category, self.retryable = last.category, last.retryable
            self.retry_after = last.retry_after if self.retry_after is None else self.retry_after

    @override
    def explain(self) -> str:
        return "\n".join([super().explain(), *(f"  failed: {error}" for error in self.errors)])


class ClientRemovedError(LLMError, default_reason="client_removed"):
    """The client was removed from the configuration after it was resolved, or its container is closed."""


class ToolExecutionError(LoomError, default_reason="tool_failed"):
    """A tool of the host failed; `original_error` is the cause. A tool that raises it speaks to the model."""


class AgentStoppedError(LoomError, default_reason="agent_stopped"):
    """A run of an agent ended without an answer, at a limit for instance; `AgentRun.ended` says why."""


class RetrieverError(LoomError, default_reason="retriever_failed"):
    """A retriever failed; `original_error` is the cause."""


class PluginError(LoomError, default_reason="plugin_failed"):
    """A plugin failed; `original_error` is the cause."""


_OF_CATEGORY: tuple[type[LLMError], ...] = (
    *(LLMNetworkError, LLMTimeoutError, LLMRateLimitError, LLMTemporaryError, LLMAuthenticationError),
    *(LLMPermissionError, LLMValidationError, LLMNotFoundError),
)
_OF_REASON: tuple[type[LLMError], ...] = (
    *(LLMProtocolError, StreamInterruptedError, CircuitOpenError, BudgetExceededError, ContextLengthError),
    *(ContentFilterError, CapabilityError, OutputInvalidError, ClientRemovedError),
)
_BY_CATEGORY = {FAULTS[kind.default_reason].category: kind for kind in _OF_CATEGORY}
_ALIASES = {"too_large": LLMProtocolError, "closed": ClientRemovedError}
_BY_REASON = {kind.default_reason: kind for kind in _OF_REASON} | _ALIASES


def llm_error(reason: str, message: str, /, **context: Unpack[ErrorContext]) -> LLMError:
    """Build the error class that belongs to a reason of the fault table.

    Args:
        reason: A reason of `FAULTS`.
        message: One line: what failed.
        **context: Where it happened.

    Returns:
        An instance of the most specific `LLMError` for that reason, not raised.
    """
    context["reason"] = reason
    kind = _BY_REASON.get(reason) or _BY_CATEGORY.get(FAULTS[reason].category, LLMError)
    return kind(message, **context)
