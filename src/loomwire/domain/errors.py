"""Everything loomwire raises.

::

    LoomError
    |- ConfigError
    |  |- ConfigRejectedError      a configuration with all its problems
    |  |- WiringError              a container that cannot be built
    |  '- UnknownNameError         a name nobody defined
    |- LLMError
    |  |- LLMNetworkError
    |  |- LLMTimeoutError
    |  |- LLMRateLimitError
    |  |- LLMTemporaryError
    |  |- LLMAuthenticationError
    |  |- LLMPermissionError
    |  |  '- BudgetExceededError
    |  |- LLMValidationError
    |  |  |- ContextLengthError
    |  |  |- ContentFilterError
    |  |  |- CapabilityError
    |  |  '- OutputInvalidError
    |  |- LLMNotFoundError
    |  |- LLMProtocolError
    |  |- StreamInterruptedError
    |  |- CircuitOpenError
    |  |- AllTargetsFailedError
    |  '- ClientRemovedError
    |- ToolExecutionError
    |- RetrieverError
    '- PluginError

Behaviour is data: `error.disposition` says what a layer may do, so no layer lists types. No error ever holds a key,
a header, a URL query or a prompt. Errors pickle and deep-copy; a pickled error loses only its `original_error`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, TypeAlias, TypedDict

from typing_extensions import Self, Unpack, override

from loomwire.domain.faults import FAULTS, Disposition, ErrorCategory, Fault, Problem, Step
from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON, NO_JSON, JSONObject, ToolCall

Phase: TypeAlias = Literal["connect", "headers", "body", "stream_before_token", "stream_after_token"]

MAX_PROVIDER_MESSAGE = 500


class ErrorContext(TypedDict, total=False):
    """What an error can say about where it happened.

    Attributes:
        reason: A stable word of the fault table; it decides code, category and disposition.
        provider: The provider's name in the configuration.
        model: The model's name at the provider.
        endpoint: Scheme, host and port; never a path's query.
        status: The HTTP status, or the one a body spoke of.
        request_id: The provider's id of the request.
        attempt: Which attempt of the call this was, from 1.
        phase: How far the attempt came.
        retry_after: Seconds the provider asks to wait.
        provider_code: The provider's own code.
        provider_message: The provider's own words; shortened to 500 characters, control characters escaped.
        hint: What to do, in a sentence; the fault table's remedy unless given.
    """

    reason: str | None
    provider: str | None
    model: str | None
    endpoint: str | None
    status: int | None
    request_id: str | None
    attempt: int | None
    phase: Phase | None
    retry_after: float | None
    provider_code: str | None
    provider_message: str | None
    hint: str | None


def _revive(kind: type[LoomError], message: str, state: dict[str, object]) -> LoomError:
    error = kind.__new__(kind, message)
    error.args = (message,)
    error.__dict__.update(state)
    return error


def _visible(text: str) -> str:
    shown = text[:MAX_PROVIDER_MESSAGE]
    return shown if shown.isprintable() else "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in shown)


class LoomError(Exception):
    """Base of all errors of loomwire.

    Args:
        message: One line: what failed.
        category: Overrides the table's category.
        retryable: Overrides the table's `retry_same`.
        metadata: Further facts as JSON; no secrets, no prompts.
        original_error: The cause, when it is host code's own; transport causes are never kept.
        **context: Where it happened, see `ErrorContext`.
    """

    default_reason: ClassVar[str] = "internal"

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
        self.disposition: Disposition = fault.disposition
        self.retryable = fault.disposition.retry_same if retryable is None else retryable
        self.metadata: Mapping[str, JSON] = metadata
        self.original_error = original_error
        self.provider = context.get("provider")
        self.model = context.get("model")
        self.endpoint = context.get("endpoint")
        self.status = context.get("status")
        self.request_id = context.get("request_id")
        self.attempt = context.get("attempt")
        self.phase: Phase | None = context.get("phase")
        self.retry_after = context.get("retry_after")
        self.provider_code = context.get("provider_code")
        words = context.get("provider_message")
        self.provider_message = None if words is None else _visible(words)
        self.hint = context.get("hint") or fault.remedy
        self.steps: tuple[Step, ...] = ()

    @property
    def fault(self) -> Fault:
        """The row of the fault table this error stands for."""
        return FAULTS[self.reason]

    @override
    def __str__(self) -> str:
        """One line: code, what failed, where, and what to do."""
        where = "/".join(part for part in (self.provider, self.model) if part)
        said = f": {self.provider_message}" if self.provider_message else ""
        return f"{self.code} {f'[{where}] ' if where else ''}{_one_line(self.message + said)} ({self.hint})"

    @override
    def __reduce__(self) -> tuple[object, ...]:
        state = {**self.__dict__, "original_error": None}
        return _revive, (type(self), self.message, state)

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
            "code": self.code,
            "reason": self.reason,
            "category": self.category.value,
            "message": self.message,
            "hint": self.hint,
            "retryable": self.retryable,
            "retry_after": self.retry_after,
            "provider": self.provider,
            "model": self.model,
            "endpoint": self.endpoint,
            "status": self.status,
            "request_id": self.request_id,
            "attempt": self.attempt,
            "phase": self.phase,
            "provider_code": self.provider_code,
            "provider_message": self.provider_message,
            "metadata": dict(self.metadata),
            "steps": [step.to_dict() for step in self.steps],
        }

    def explain(self) -> str:
        """Return a block of lines for a person: the error, its meaning, the remedy and the steps."""
        lines = [f"error[{self.code}]: {self.message}", f"  meaning: {self.fault.meaning}", f"  what to do: {self.hint}"]
        lines += [f"  step: {step}" for step in self.steps]
        return "\n".join(lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


class ConfigError(LoomError):
    """The configuration, or the way the container is used, is wrong."""

    default_reason = "rejected"


class ConfigRejectedError(ConfigError):
    """A configuration is not in force because of its problems; whatever was in force before stays.

    Attributes:
        problems: Every problem found, errors and warnings, in the order of the files.
    """

    default_reason = "rejected"

    def __init__(self, message: str, *, problems: Sequence[Problem], **context: Unpack[ErrorContext]) -> None:
        """Keep the problems beside the common fields."""
        super().__init__(message, **context)
        self.problems = tuple(problems)

    @override
    def explain(self) -> str:
        return "\n\n".join(problem.render() for problem in self.problems)


class WiringError(ConfigError):
    """The container cannot be built; every problem is listed with the path that leads to it.

    Attributes:
        problems: Every problem, one line each: `WIR001 registry -> factory -> pool: ...`.
    """

    default_reason = "wiring"

    def __init__(self, message: str, *, problems: Sequence[str], **context: Unpack[ErrorContext]) -> None:
        """Keep the problems beside the common fields."""
        super().__init__(message, **context)
        self.problems = tuple(problems)


class UnknownNameError(ConfigError):
    """A client, model or provider name that nobody defined. The message lists what exists."""

    default_reason = "unknown_name"


class LLMError(LoomError):
    """A call to a model failed."""

    default_reason = "unknown"


class LLMNetworkError(LLMError):
    """The network failed: name, connection, TLS, or an end without an answer."""

    default_reason = "reset"


class LLMTimeoutError(LLMError):
    """Something took too long; `reason` says what: connect, ttft, idle, attempt, gateway, queue or deadline."""

    default_reason = "attempt"


class LLMRateLimitError(LLMError):
    """The provider limits the pace; `retry_after` says for how many seconds, when it is known."""

    default_reason = "throttled"


class LLMTemporaryError(LLMError):
    """The provider failed in a way that may pass."""

    default_reason = "server"


class LLMAuthenticationError(LLMError):
    """The key is not accepted."""

    default_reason = "credentials"


class LLMPermissionError(LLMError):
    """The key is known but may not, or has no money left."""

    default_reason = "denied"


class BudgetExceededError(LLMPermissionError):
    """A budget of the configuration would be exceeded; nothing was sent."""

    default_reason = "budget_exceeded"


class LLMValidationError(LLMError):
    """The request itself is wrong; sending it again cannot help."""

    default_reason = "invalid_request"


class ContextLengthError(LLMValidationError):
    """The request does not fit the model's context window."""

    default_reason = "context_length"


class ContentFilterError(LLMValidationError):
    """The provider's content filter refused the request."""

    default_reason = "content_filter"


class CapabilityError(LLMValidationError):
    """The model cannot do what the request needs; nothing was sent."""

    default_reason = "capability"


class OutputInvalidError(LLMValidationError):
    """The answer does not fit the requested type, after the allowed number of re-asks.

    Attributes:
        problems: What does not fit, each as `path: what`, without the answer's values.
        text: The answer as it came; never part of `str(error)` or `to_dict()`.
    """

    default_reason = "output_invalid"

    def __init__(self, message: str, *, problems: Sequence[str] = (), text: str = "", **context: Unpack[ErrorContext]):
        """Keep the problems and the text beside the common fields."""
        super().__init__(message, **context)
        self.problems = tuple(problems)
        self.text = text


class LLMNotFoundError(LLMError):
    """The provider does not know the model or the path."""

    default_reason = "model"


class LLMProtocolError(LLMError):
    """The answer is not what the protocol says, or larger than allowed."""

    default_reason = "protocol"


class StreamInterruptedError(LLMError):
    """A stream ended before its answer did. It is never taken for a finished answer.

    Attributes:
        partial_text: The text delivered so far.
        partial_tool_calls: The tool calls delivered so far; a cut one has `arguments=None`.
        usage_so_far: The usage seen so far, or None.
    """

    default_reason = "stream_interrupted"

    def __init__(
        self,
        message: str,
        *,
        partial_text: str = "",
        partial_tool_calls: tuple[ToolCall, ...] = (),
        usage_so_far: Usage | None = None,
        **context: Unpack[ErrorContext],
    ) -> None:
        """Keep what was delivered beside the common fields."""
        super().__init__(message, **context)
        self.partial_text = partial_text
        self.partial_tool_calls = partial_tool_calls
        self.usage_so_far = usage_so_far


class CircuitOpenError(LLMError):
    """The target's circuit breaker is open; nothing was sent. `retry_after` is exact."""

    default_reason = "circuit_open"


class AllTargetsFailedError(LLMError):
    """Every target of a client failed.

    Attributes:
        errors: One error per target, in the order they were asked.
    """

    default_reason = "all_targets_failed"

    def __init__(self, message: str, *, errors: Sequence[LLMError], **context: Unpack[ErrorContext]) -> None:
        """Take category and disposition of the last error: it is what the caller can act on."""
        super().__init__(message, **context)
        self.errors = tuple(errors)
        if self.errors:
            last = self.errors[-1]
            self.category, self.retryable, self.retry_after = last.category, last.retryable, last.retry_after


class ClientRemovedError(LLMError):
    """The client was removed from the configuration after it was resolved, or its container is closed."""

    default_reason = "client_removed"


class ToolExecutionError(LoomError):
    """A tool of the host failed; `original_error` is the cause."""

    default_reason = "tool_failed"


class RetrieverError(LoomError):
    """A retriever failed; `original_error` is the cause."""

    default_reason = "retriever_failed"


class PluginError(LoomError):
    """A plugin failed; `original_error` is the cause."""

    default_reason = "plugin_failed"


_BY_CATEGORY: Mapping[ErrorCategory, type[LLMError]] = {
    ErrorCategory.NETWORK: LLMNetworkError,
    ErrorCategory.TIMEOUT: LLMTimeoutError,
    ErrorCategory.RATE_LIMIT: LLMRateLimitError,
    ErrorCategory.TEMPORARY: LLMTemporaryError,
    ErrorCategory.AUTHENTICATION: LLMAuthenticationError,
    ErrorCategory.PERMISSION: LLMPermissionError,
    ErrorCategory.VALIDATION: LLMValidationError,
    ErrorCategory.NOT_FOUND: LLMNotFoundError,
}

_BY_REASON: Mapping[str, type[LLMError]] = {
    "protocol": LLMProtocolError,
    "too_large": LLMProtocolError,
    "stream_interrupted": StreamInterruptedError,
    "circuit_open": CircuitOpenError,
    "budget_exceeded": BudgetExceededError,
    "context_length": ContextLengthError,
    "content_filter": ContentFilterError,
    "capability": CapabilityError,
    "output_invalid": OutputInvalidError,
    "client_removed": ClientRemovedError,
    "closed": ClientRemovedError,
}


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
