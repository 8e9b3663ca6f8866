"""The one table of everything that can go wrong: code, reason, category and what a layer may do about it.

Errors carry behaviour as data: a layer asks `error.disposition`, it never lists error types. The table is the source
of `loomwire explain CODE`; a test holds the documents against it. Source: behaviour.md 2.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Literal, TypeAlias


class ErrorCategory(StrEnum):
    """The ten kinds of failure a host can switch on. The values are stable strings."""

    NETWORK = "network_error"
    TIMEOUT = "timeout_error"
    RATE_LIMIT = "rate_limit_error"
    TEMPORARY = "temporary_error"
    AUTHENTICATION = "authentication_error"
    PERMISSION = "permission_error"
    VALIDATION = "validation_error"
    NOT_FOUND = "not_found_error"
    INTERNAL = "internal_error"
    UNKNOWN = "unknown_error"


FallsBack: TypeAlias = Literal["no", "any", "other_key", "larger_window", "opt_in"]
Scope: TypeAlias = Literal["key", "key+model", "endpoint+model"]
"""What rests after a failure. `key+model` spares the key's other models and the model's other keys, and so on."""


@dataclass(frozen=True, slots=True)
class Disposition:
    """What the layers may do after a failure.

    Attributes:
        retry_same: The same target may be asked again.
        retry_limit: How often at most, whatever the policy says; None leaves it to the policy.
        fallback: Which other targets may be asked.
        trips_breaker: It counts as a failure of the target.
        cooldown_s: Seconds the thing named by `cooldown_scope` should rest; None for no rest.
        cooldown_scope: What rests.
    """

    retry_same: bool = False
    retry_limit: int | None = None
    fallback: FallsBack = "no"
    trips_breaker: bool = False
    cooldown_s: float | None = None
    cooldown_scope: Scope | None = None

    @property
    def falls_back(self) -> bool:
        """Whether another target may be asked without anybody's further consent."""
        return self.fallback in ("any", "other_key", "larger_window")

    def after_delivery(self) -> Disposition:
        """Return what is left once the caller has a token: nobody may send again, the target still failed."""
        return replace(self, retry_same=False, retry_limit=None, fallback="no")


@dataclass(frozen=True, slots=True)
class Fault:
    """One row: a stable code and reason, how layers treat it, and what a person should know and do."""

    code: str
    reason: str
    category: ErrorCategory
    disposition: Disposition
    meaning: str
    remedy: str


_NOTHING = Disposition()
_ELSEWHERE = Disposition(fallback="any")
_AGAIN = Disposition(retry_same=True, fallback="any", trips_breaker=True)
_ONCE = Disposition(retry_same=True, retry_limit=1, fallback="any", trips_breaker=True)
_SICK = Disposition(fallback="any", trips_breaker=True)
_BUSY = Disposition(retry_same=True, fallback="any")
_LARGER = Disposition(fallback="larger_window")
_FILTER = Disposition(fallback="opt_in")
_PACE = Disposition(retry_same=True, fallback="any", cooldown_s=1.0, cooldown_scope="key+model")
_KEY = Disposition(fallback="other_key", cooldown_s=60.0, cooldown_scope="key")
_DENIED = Disposition(fallback="any", cooldown_s=60.0, cooldown_scope="key")
_BROKE = Disposition(fallback="any", cooldown_s=300.0, cooldown_scope="key")
_ABSENT = Disposition(fallback="any", cooldown_s=60.0, cooldown_scope="endpoint+model")

_N, _T, _R, _Y = ErrorCategory.NETWORK, ErrorCategory.TIMEOUT, ErrorCategory.RATE_LIMIT, ErrorCategory.TEMPORARY
_A, _P, _V = ErrorCategory.AUTHENTICATION, ErrorCategory.PERMISSION, ErrorCategory.VALIDATION
_F, _I, _U = ErrorCategory.NOT_FOUND, ErrorCategory.INTERNAL, ErrorCategory.UNKNOWN

_ROWS: tuple[Fault, ...] = (
    Fault("NET001", "dns", _N, _AGAIN, "The host name did not resolve.", "Check base_url and the machine's DNS."),
    Fault("NET002", "refused", _N, _AGAIN, "Nothing accepted the connection.", "Is the server running on that port?"),
    Fault("NET003", "reset", _N, _AGAIN, "The connection broke.", "Retry; look for a proxy or a crashing server."),
    Fault("NET004", "tls", _N, _AGAIN, "The TLS handshake broke.", "Retry; check that the port speaks TLS."),
    Fault(
        "NET005",
        "tls_certificate",
        _N,
        _SICK,
        "The server's certificate is not trusted for this host.",
        "Fix the certificate, or add its authority to the system's trust store.",
    ),
    Fault("NET006", "eof", _N, _AGAIN, "The server closed without an answer.", "Retry; look at the server's log."),
    Fault("TIM001", "connect", _T, _AGAIN, "Connecting took too long.", "Check base_url, or raise timeouts.connect."),
    Fault("TIM002", "ttft", _T, _AGAIN, "The first token took too long.", "Raise timeouts.ttft for slow models."),
    Fault("TIM003", "idle", _T, _AGAIN, "The stream stood still too long.", "Retry, or raise timeouts.idle."),
    Fault("TIM004", "attempt", _T, _AGAIN, "One attempt took too long.", "Retry, or raise timeouts.attempt."),
    Fault("TIM005", "gateway", _T, _AGAIN, "The server says its upstream timed out.", "Retry, or ask another model."),
    Fault(
        "TIM006",
        "queue",
        _T,
        _ELSEWHERE,
        "No connection or slot became free in time (ours, not the server's).",
        "Raise pool.max_connections or timeouts.pool_queue, or send less at once.",
    ),
    Fault("TIM007", "deadline", _T, _NOTHING, "The call's deadline passed.", "Raise deadline_s or timeouts.total."),
    Fault(
        "RAT001",
        "throttled",
        _R,
        _PACE,
        "The provider limits how fast you may ask.",
        "Wait retry_after seconds, ask less at once, or add another model or key.",
    ),
    Fault("TMP001", "server", _Y, _AGAIN, "The provider failed.", "Retry, or ask another model."),
    Fault("TMP002", "overloaded", _Y, _AGAIN, "The provider is overloaded.", "Retry later, or ask another model."),
    Fault("TMP003", "conflict", _Y, _BUSY, "The provider was busy with a conflicting request.", "Retry."),
    Fault(
        "TMP004", "memory", _Y, _NOTHING, "This process is short of memory.", "Wait a second, or raise memory.limit."
    ),
    Fault(
        "INT001",
        "unsupported",
        _I,
        _ELSEWHERE,
        "The server does not implement what was asked.",
        "Check base_url and the provider's type.",
    ),
    Fault("INT002", "hook", _I, _NOTHING, "A hook of the host failed.", "Look at the cause; the hook is host code."),
    Fault("INT003", "internal", _I, _NOTHING, "loomwire itself failed.", "Report it with the steps of the error."),
    Fault("PRO001", "protocol", _Y, _ONCE, "The answer is not what the protocol says.", "Check base_url and dialect."),
    Fault("PRO002", "too_large", _Y, _SICK, "The answer is too large.", "Raise the limit that the error names."),
    Fault(
        "STR001",
        "stream_interrupted",
        _N,
        _AGAIN,
        "The stream ended before the answer did.",
        "Use .partial_text, or ask again; nothing was resent because text was already delivered.",
    ),
    Fault(
        "AUT001",
        "credentials",
        _A,
        _KEY,
        "The provider does not accept the API key.",
        "Check the key, its project and the variable it comes from.",
    ),
    Fault(
        "PER001",
        "denied",
        _P,
        _DENIED,
        "The key is not allowed to do this.",
        "Check the key's permissions, region and organisation.",
    ),
    Fault(
        "PER002",
        "quota_exhausted",
        _P,
        _BROKE,
        "The account's money or quota is used up; waiting will not help.",
        "Top up or raise the provider's spend limit.",
    ),
    Fault("BUD001", "budget_exceeded", _P, _ELSEWHERE, "A budget would be exceeded.", "Raise the budget, or wait."),
    Fault("VAL001", "invalid_request", _V, _NOTHING, "The request is not valid.", "Read the message; fix the request."),
    Fault(
        "VAL002",
        "context_length",
        _V,
        _LARGER,
        "The request is longer than the model's context window.",
        "Send less, or use a model with a larger window.",
    ),
    Fault(
        "VAL003",
        "request_too_large",
        _V,
        _LARGER,
        "The request is larger than the provider or limits.request accepts.",
        "Send less, or fewer images.",
    ),
    Fault("VAL004", "content_filter", _V, _FILTER, "The provider's content filter stepped in.", "Change the prompt."),
    Fault(
        "VAL005",
        "capability",
        _V,
        _ELSEWHERE,
        "The model cannot do what the request needs.",
        "Use another model, or correct `capabilities` in the configuration.",
    ),
    Fault(
        "VAL006",
        "output_invalid",
        _V,
        _NOTHING,
        "The model's answer does not fit the requested type.",
        "Simplify the type, describe its fields, or use a stronger model.",
    ),
    Fault("VAL007", "redirect", _V, _ELSEWHERE, "The server redirects; redirects are refused.", "Fix base_url."),
    Fault(
        "VAL008",
        "sync_in_loop",
        _V,
        _NOTHING,
        "A blocking call was made inside a running event loop.",
        "Await the async method named in the error.",
    ),
    Fault(
        "NOT001",
        "model",
        _F,
        _ABSENT,
        "The provider does not know the model.",
        "Check the model's name; `model` in the configuration is the provider's own name.",
    ),
    Fault("NOT002", "client_removed", _F, _NOTHING, "The client is no longer configured.", "Resolve another name."),
    Fault("NOT003", "closed", _F, _NOTHING, "The container is closed.", "Open a container for as long as it is used."),
    Fault(
        "NOT004",
        "no_recording",
        _F,
        _NOTHING,
        "The client answers from recordings, and none fits the request.",
        'Record it with loomwire.testing.Recorder(folder, mode="auto"), or correct the request.',
    ),
    Fault("NOT005", "no_process", _F, _NOTHING, "No running process can be asked.", "Set control.socket; start one."),
    Fault(
        "CIR001",
        "circuit_open",
        _Y,
        _ELSEWHERE,
        "The circuit breaker is open: the target failed too often.",
        "Wait retry_after seconds, or look at `loomwire health`.",
    ),
    Fault("LLM001", "all_targets_failed", _U, _NOTHING, "Every target failed.", "Read .errors, one per target."),
    Fault("LLM002", "unknown", _U, _ELSEWHERE, "The provider answered with an unknown failure.", "Read the message."),
    Fault("TOO001", "tool_failed", _I, _NOTHING, "A tool failed.", "Look at the cause; the tool is host code."),
    Fault(
        "TOO002",
        "agent_stopped",
        _V,
        _NOTHING,
        "An agent ended without an answer.",
        "Look at AgentRun.ended; raise the limit it names, or go on with AgentRun.messages.",
    ),
    Fault("RET001", "retriever_failed", _I, _NOTHING, "A retriever failed.", "Look at the cause."),
    Fault("PLU001", "plugin_failed", _I, _NOTHING, "A plugin failed.", "Look at the cause."),
    Fault("CFG001", "not_yaml", _V, _NOTHING, "The file is not readable YAML.", "Fix the syntax where the caret is."),
    Fault("CFG002", "duplicate_key", _V, _NOTHING, "A key stands twice in one mapping.", "Remove one of the two."),
    Fault("CFG003", "tag_refused", _V, _NOTHING, "YAML tags are not allowed.", "Write plain values."),
    Fault("CFG004", "config_too_large", _V, _NOTHING, "The configuration is too large.", "Split or shorten it."),
    Fault("CFG010", "unknown_key", _V, _NOTHING, "The key is not known here.", "Correct or remove it."),
    Fault("CFG011", "wrong_type", _V, _NOTHING, "The value has the wrong type.", "Write the type named in the error."),
    Fault("CFG012", "out_of_range", _V, _NOTHING, "The value is not allowed.", "Use a value the error names."),
    Fault("CFG013", "missing_key", _V, _NOTHING, "A required key is missing.", "Add it."),
    Fault(
        "CFG014",
        "not_in_force",
        _V,
        _NOTHING,
        "The key is reserved: this release does not act on it yet.",
        "Remove it, so that nobody relies on it.",
    ),
    Fault(
        "CFG020",
        "variable_unset",
        _V,
        _NOTHING,
        "An environment variable that the configuration needs is not set.",
        "Set it, or give a default: ${NAME:-default}.",
    ),
    Fault("CFG021", "secret_unreadable", _V, _NOTHING, "A secret file cannot be read.", "Check its path and mode."),
    Fault(
        "CFG022",
        "recordings",
        _V,
        _NOTHING,
        "A client answers from recordings instead of the network; the folder must be there and whole.",
        "Remove `replay`, or record with loomwire.testing.Recorder.",
    ),
    Fault("CFG030", "unknown_name", _V, _NOTHING, "Nothing has this name.", "Use a name that exists."),
    Fault("CFG031", "cycle", _V, _NOTHING, "Definitions refer to each other in a circle.", "Break the circle."),
    Fault("CFG032", "defined_twice", _V, _NOTHING, "A name is defined in two places.", "Remove one of the two."),
    Fault("CFG040", "shrink_refused", _V, _NOTHING, "An edit would remove too much.", "Set reload.allow_shrink."),
    Fault("CFG050", "rejected", _V, _NOTHING, "The configuration has problems.", "Fix every problem listed."),
    Fault("WIR001", "wiring_missing", _V, _NOTHING, "A part is not supplied.", "Supply or override it."),
    Fault("WIR002", "wiring_type", _V, _NOTHING, "A part of the container has the wrong type.", "Supply that port."),
    Fault("WIR003", "wiring_cycle", _V, _NOTHING, "Parts of the container need each other.", "Break the circle."),
    Fault("WIR004", "wiring", _V, _NOTHING, "The container cannot be built.", "Fix every problem listed."),
)

FAULTS: Mapping[str, Fault] = MappingProxyType({row.reason: row for row in _ROWS})
"""Every fault by its stable reason."""

CODES: Mapping[str, Fault] = MappingProxyType({row.code: row for row in _ROWS})
"""Every fault by its code."""
