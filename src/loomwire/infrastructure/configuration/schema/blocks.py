"""The blocks of numbers that can stand under `defaults` and, where it makes sense, at a provider, model or client.

The defaults here are those of the policies; what a block leaves out comes from the block above it.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from loomwire.domain.policies import KIB, MIB
from loomwire.infrastructure.configuration.schema.on_demand import OnDemand

_SIZE = re.compile(r"([0-9]{1,15}) ?(B|KiB|MiB|GiB)")
_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*:[A-Za-z_][A-Za-z0-9_.]*")
_UNITS: Final = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": 1024 * MIB}


def size_in_bytes(value: JsonValue) -> JsonValue:
    """Return the bytes that a text such as `32MiB` stands for; anything else as it is."""
    if not isinstance(value, str):
        return value
    found = _SIZE.fullmatch(value)
    if found is None:
        raise PydanticCustomError("size", "must be a number of bytes or a size such as 32MiB")
    return int(found[1]) * _UNITS[found[2]]


def policy_as_block(value: JsonValue) -> JsonValue:
    """Take `balance: ordered` for `balance: {policy: ordered}`."""
    return {"policy": value} if isinstance(value, str) else value


_SIZE_SCHEMA: Final[dict[str, JsonValue]] = {
    "anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": f"^{_SIZE.pattern}$"}],
    "x-unit": "bytes",
}
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400 * 365, json_schema_extra={"x-unit": "seconds"})]
Pause: TypeAlias = Annotated[float, Field(ge=0, le=86_400 * 365, json_schema_extra={"x-unit": "seconds"})]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1, json_schema_extra={"x-unit": "share from 0 to 1"})]
Count: TypeAlias = Annotated[int, Field(ge=1, le=10**12, json_schema_extra={"x-unit": "count"})]
Few: TypeAlias = Annotated[int, Field(ge=1, le=10**6, json_schema_extra={"x-unit": "count"})]
Weight: TypeAlias = Annotated[float, Field(gt=0, le=10**6, json_schema_extra={"x-unit": "none (relative)"})]
Size: TypeAlias = Annotated[int, BeforeValidator(size_in_bytes), Field(ge=1, le=10**15), WithJsonSchema(_SIZE_SCHEMA)]


class Block(BaseModel):
    """Strict: no unknown keys, no silent conversions, and no input in an error, since it may be a key."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        hide_input_in_errors=True,
        defer_build=True,
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )


class Timeouts(Block):
    """How long things may take."""

    connect: Seconds = Field(default=5.0, description="Opening a connection, name resolution and TLS included.")
    pool_queue: Seconds = Field(default=5.0, description="Waiting for a free connection.")
    ttft: Seconds = Field(default=60.0, description="First meaningful event of a stream.")
    idle: Seconds = Field(default=60.0, description="Silence between two reads of a stream.")
    attempt: Seconds = Field(default=600.0, description="One attempt on one target.")
    total: Seconds = Field(default=900.0, description="The whole call, unless the request says otherwise.")
    min_attempt: Pause = Field(default=0.25, description="No attempt starts with less time left.")


class Pool(Block):
    """Connections to one origin, per event loop."""

    max_connections: Count = Field(default=100, description="At most this many at once; further calls wait in a queue.")
    keepalive: Annotated[int, Field(ge=0, le=10**6)] = Field(
        default=20, description="Idle connections that are kept.", json_schema_extra={"x-unit": "count"}
    )
    keepalive_expiry: Pause = Field(default=30.0, description="How long an idle connection is kept.")
    trust_env: bool = Field(default=False, description="Use the proxies that the environment names.")
    follow_redirects: Literal[False] = Field(
        default=False, description="Always false: a redirect could carry a key away."
    )
    http2: bool = Field(default=False, description="Offer HTTP/2.")


class WireSizes(Block):
    """How much a server may send, and how much we send."""

    body: Size = Field(default=24 * MIB, description="A whole answer, decompressed.")
    stream: Size = Field(default=64 * MIB, description="All of a stream, decompressed.")
    event: Size = Field(default=MIB, description="One event or line of a stream.")
    error_body: Size = Field(default=64 * KIB, description="What is read of an error's body.")
    headers: Size = Field(default=64 * KIB, description="All response headers together.")
    json_depth: Annotated[int, Field(ge=1, le=512)] = Field(
        default=64, description="Nesting of JSON.", json_schema_extra={"x-unit": "levels"}
    )
    gzip_ratio: Count = Field(
        default=100, description="Decompressed to compressed, above 1 MiB.", json_schema_extra={"x-unit": "ratio"}
    )
    codings: Annotated[int, Field(ge=0, le=4)] = Field(
        default=2, description="Content encodings stacked on one answer.", json_schema_extra={"x-unit": "count"}
    )
    request: Size = Field(default=32 * MIB, description="A whole request body.")


class Retry(Block):
    """When the same target is asked again."""

    attempts: Annotated[int, Field(ge=1, le=5)] = Field(
        default=3, description="Sends to one target.", json_schema_extra={"x-unit": "count"}
    )
    total_attempts: Annotated[int, Field(ge=1, le=40)] = Field(
        default=8, description="Sends of one call, over all targets.", json_schema_extra={"x-unit": "count"}
    )
    base: Pause = Field(default=0.5, description="Longest first delay; it doubles every time.")
    throttle_base: Pause = Field(default=1.0, description="The same after a rate limit.")
    max_delay: Pause = Field(default=8.0, description="Longest delay of our own.")
    retry_after_cap: Pause = Field(default=60.0, description="Longest wait that a provider may ask for.")
    jitter: Literal["full"] = Field(default="full", description="How delays are spread: anywhere from 0 to the delay.")
    hedge: bool = Field(
        default=False,
        description="Send a call that is slower than 95 of 100 a second time and take the answer that comes first.",
    )


class RetryBudget(Block):
    """How many retries a provider is given in all."""

    ratio: Share = Field(default=0.4, description="Retries earned by every first attempt.")
    floor_per_s: Pause = Field(
        default=2.0, description="Retries that are always allowed.", json_schema_extra={"x-unit": "retries per second"}
    )
    ttl: Seconds = Field(default=10.0, description="How long an earned retry is good.")
    last_resort_ratio: Share = Field(default=0.05, description="Retries earned for the last target of a call.")


class Breaker(Block):
    """When a failing target is left alone."""

    window: Seconds = Field(default=30.0, description="What is looked back on.")
    buckets: Few = Field(default=10, description="Parts of the window.")
    min_calls: Few = Field(default=10, description="Calls in the window before its rate counts.")
    failure_rate: Share = Field(default=0.5, description="Failures in the window that open it.")
    consecutive: Few = Field(default=8, description="Failures in a row that open it.")
    slow_rate: Share = Field(default=0.8, description="Slow calls in the window that open it.")
    slow_after: Seconds | None = Field(default=None, description="What counts as slow; null for nothing.")
    open: Seconds = Field(default=5.0, description="First time it stays open; it doubles every time.")
    open_max: Seconds = Field(default=120.0, description="Longest time it stays open.")
    probes: Few = Field(default=3, description="Calls let through to find out whether the target is well.")


class Rate(Block):
    """How calls wait for the limits of a provider."""

    queue: Annotated[int, Field(ge=0, le=10**9)] = Field(
        default=1000, description="Calls that may wait; 0 refuses at once.", json_schema_extra={"x-unit": "calls"}
    )
    burst_s: Pause = Field(default=1.0, description="How much of a limit may be used at once.")


class Ledger(Block):
    """How spending is written down."""

    durability: Literal["process", "power", "async"] = Field(
        default="process", description="What a written entry survives: the process, a power cut, or nothing."
    )
    group_ms: Pause = Field(
        default=5.0, description="Longest wait for others.", json_schema_extra={"x-unit": "milliseconds"}
    )
    group_rows: Count = Field(default=256, description="Entries written together.")
    spool: Count = Field(default=10_000, description="Entries kept in memory while the disk is full.")


class BudgetRules(Block):
    """What budgets do."""

    unknown_price: Literal["refuse", "free"] = Field(default="refuse", description="A call whose price nobody knows.")
    on_exceeded: Literal["raise"] = Field(default="raise", description="A call that would exceed a budget.")


Policy: TypeAlias = Literal["ordered", "weighted", "least_busy", "latency", "cost", "sticky"]


class Balance(Block):
    """In which order models are asked, where a client says nothing else."""

    policy: Policy = Field(
        default="latency",
        description="The rule among equal targets: one model at several providers, or with several keys. Different "
        "models are asked in the order in which they are listed.",
    )
    warmup: Pause = Field(default=30.0, description="How slowly a recovered target gets its share back.")
    panic_probe_per_s: Pause = Field(
        default=1.0,
        description="Calls let through when nothing is well.",
        json_schema_extra={"x-unit": "calls per second"},
    )


class ClientBalance(Balance):
    """In which order the models of one client are asked."""

    policy: Policy = Field(default="ordered", description="The rule for all of its models, equal or not.")
    weights: dict[str, Weight] = Field(
        default_factory=dict,
        description="For policy weighted: by the names of its models, which share of the calls each gets.",
    )


class Health(Block):
    """How targets without traffic are looked after."""

    interval: Pause = Field(default=30.0, description="Between two looks; 0 looks only when somebody asks.")
    timeout: Seconds = Field(default=3.0, description="For one look.")
    paid_probe: bool = Field(default=False, description="A look may cost money.")


class Shutdown(Block):
    """How the container closes."""

    drain: Pause = Field(default=30.0, description="How long calls in flight may go on.")


class Reload(Block):
    """How edits come into force."""

    quiet_ms: Pause = Field(
        default=20.0, description="Quiet before an edit is read.", json_schema_extra={"x-unit": "milliseconds"}
    )
    allow_shrink: bool = Field(default=False, description="An edit may remove most clients, or the files' `end: true`.")


BalanceBlock: TypeAlias = Annotated[
    OnDemand[Balance], BeforeValidator(policy_as_block, json_schema_input_type=OnDemand[Balance] | Policy)
]
"""A `Balance`, or its policy alone."""
ClientBalanceBlock: TypeAlias = Annotated[
    OnDemand[ClientBalance], BeforeValidator(policy_as_block, json_schema_input_type=OnDemand[ClientBalance] | Policy)
]
"""A `ClientBalance`, or its policy alone."""


def checked_function(text: str) -> str:
    """Return the name of a function if it has the form of one."""
    if not _FUNCTION.fullmatch(text):
        raise PydanticCustomError("function", "must be `module:function`")
    return text


Function: TypeAlias = Annotated[
    str, AfterValidator(checked_function), WithJsonSchema({"type": "string", "pattern": f"^{_FUNCTION.pattern}$"})
]


class Exhausted(Block):
    """What happens when every model failed."""

    mode: Literal["raise", "stale_cache", "static", "callable"] = Field(
        default="raise", description="raise the error, or give an answer that is marked as degraded."
    )
    text: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="For mode static: the answer.")
    function: Function | None = Field(
        default=None,
        description="For mode callable: `module:function`, which takes the request and the error and returns a text.",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for mode, key, given in (("static", "text", self.text), ("callable", "function", self.function)):
            if self.mode == mode and given is None:
                raise PydanticCustomError("exhausted", "mode {mode} needs `{key}`", {"mode": mode, "key": key})
            if self.mode != mode and given is not None:
                raise PydanticCustomError("exhausted", "`{key}` is for mode {mode} only", {"mode": mode, "key": key})
        return self


def mode_as_block(value: JsonValue) -> JsonValue:
    """Take `on_exhausted: raise` for `on_exhausted: {mode: raise}`."""
    return {"mode": value} if isinstance(value, str) else value


ExhaustedBlock: TypeAlias = Annotated[
    OnDemand[Exhausted], BeforeValidator(mode_as_block, json_schema_input_type=OnDemand[Exhausted] | Literal["raise"])
]
"""An `Exhausted`, or its mode alone."""
