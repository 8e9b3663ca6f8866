"""Providers, models, clients and what else has a name in the configuration."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from loomwire.domain.requests import ReasoningEffort
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.schema.blocks import (
    Block,
    Breaker,
    ClientBalanceBlock,
    Count,
    Exhausted,
    ExhaustedBlock,
    Pool,
    Retry,
    RetryBudget,
    Timeouts,
    WireSizes,
)
from loomwire.infrastructure.configuration.schema.keeping import ClientCacheBlock
from loomwire.infrastructure.configuration.schema.on_demand import OnDemand

NAME_PATTERN: Final = "^[a-z][a-z0-9_-]{0,63}$"
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_FORBIDDEN_HEADERS: Final = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "host",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


def checked_url(text: str) -> str:
    """Return a base URL that may be used; the error never repeats it, because it may hold a password."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # it is checked when it is read
    except ValueError:
        raise PydanticCustomError("url", "must be a URL such as https://llm.example.com/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not text.isascii() or " " in text:
        raise PydanticCustomError("url", "must be a URL that begins with https:// or http:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("url", "must not hold a user name or password; use api_key")
    if "?" in text or "#" in text:
        raise PydanticCustomError("url", "must end with the path, without `?` and `#`")
    return text.rstrip("/")


def decimal_usd(value: JsonValue) -> JsonValue | Decimal:
    """Return a number as the decimal that was written: 0.1 is a tenth and not the nearest binary fraction."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Decimal(str(value))
    return value


def checked_header(name: str) -> str:
    """Return the name of a header if it is fit to be sent and not the transport's own; the error never repeats it."""
    if not _HEADER.fullmatch(name) or name.lower() in _FORBIDDEN_HEADERS:
        raise PydanticCustomError("header", "is no name of a header that may be set")
    return name


Name: TypeAlias = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
Url: TypeAlias = Annotated[str, AfterValidator(checked_url)]
Key: TypeAlias = Annotated[Secret, WithJsonSchema({"type": "string", "minLength": 1})]
Headers: TypeAlias = dict[Annotated[str, AfterValidator(checked_header)], Key]
Usd: TypeAlias = Annotated[
    Decimal,
    BeforeValidator(decimal_usd),
    Field(ge=0, le=10**6),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 10**6, "x-unit": "US dollars per million tokens"}),
]
Tokens: TypeAlias = Annotated[int, Field(ge=1, le=10**9, json_schema_extra={"x-unit": "tokens"})]
OfflineEntries: TypeAlias = Annotated[
    JsonValue,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": {"type": "object"}}]}),
]
"""The name of a file, or what would stand in it; options.py reads and checks it."""


class Parameters(Block):
    """How the model should answer; null leaves a value to the provider."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = Field(
        default=None, description="How freely it words, 0 to 2.", json_schema_extra={"x-unit": "none (0 to 2)"}
    )
    top_p: Annotated[float, Field(ge=0, le=1)] | None = Field(
        default=None,
        description="Share of likely words it takes, 0 to 1.",
        json_schema_extra={"x-unit": "share from 0 to 1"},
    )
    max_tokens: Tokens | None = Field(default=None, description="Longest answer, reasoning included.")
    # list[Text] and not list, here and below: to read the signature of that takes pydantic 3 ms.
    stop: Annotated[list[Text], Field(max_length=16)] = Field(
        default_factory=list[Text], description="Texts that end the answer; at most 16."
    )
    seed: int | None = Field(
        default=None,
        description="For repeatable answers, where the provider knows it.",
        json_schema_extra={"x-unit": "none (any whole number)"},
    )
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(
        default=None,
        description="Against words it has used, -2 to 2.",
        json_schema_extra={"x-unit": "none (-2 to 2)"},
    )
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = Field(
        default=None,
        description="Against words it has used often, -2 to 2.",
        json_schema_extra={"x-unit": "none (-2 to 2)"},
    )
    reasoning_effort: ReasoningEffort | None = Field(default=None, description="How much it should think.")


class Capabilities(Block):
    """What the model can do; null means unknown, and unknown is allowed."""

    tools: bool | None = Field(default=None, description="It can call tools.")
    vision: bool | None = Field(default=None, description="It can read pictures.")
    streaming: bool | None = Field(default=None, description="It can stream.")
    json_mode: bool | None = Field(default=None, description="It can be held to JSON.")
    json_schema: bool | None = Field(default=None, description="It can be held to a JSON Schema.")
    system_message: bool | None = Field(default=None, description="It accepts system messages.")
    reasoning: bool | None = Field(default=None, description="It thinks before it answers.")
    max_tokens: Tokens | None = Field(default=None, description="Longest answer.")
    context_window: Tokens | None = Field(default=None, description="Longest input and output together.")
    custom: dict[str, JsonValue] = Field(default_factory=dict, description="Free facts of yours.")


class Prices(Block):
    """What the model costs. A model without prices has unknown costs, never 0."""

    input_usd_per_mtok: Usd = Field(description="Input.")
    output_usd_per_mtok: Usd = Field(description="Output.")
    cache_read_usd_per_mtok: Usd | None = Field(
        default=None, description="Input from the provider's cache; null takes input's."
    )
    cache_write_usd_per_mtok: Usd | None = Field(default=None, description="Input written to it; null takes input's.")


class Tuned(Block):
    """The blocks that a provider, a model and a client may have of their own."""

    timeouts: Timeouts | None = Field(default=None, description="How long things may take here.")
    retry: OnDemand[Retry] | None = Field(default=None, description="When the same target is asked again, here.")
    retry_budget: OnDemand[RetryBudget] | None = Field(
        default=None, description="How many retries there are in all, here."
    )
    breaker: OnDemand[Breaker] | None = Field(default=None, description="When a failing target is left alone, here.")
    limits: OnDemand[WireSizes] | None = Field(default=None, description="How much may be sent and received here.")


class Provider(Tuned):
    """Where models are: a vendor, a server of your own, or an offline stand-in."""

    type: Text = Field(description="Which kind of server: openai, vllm, custom, rule, ...")
    dialect: Text | None = Field(
        default=None, description="The wire dialect, for type custom and where a type speaks several."
    )
    base_url: Url | None = Field(default=None, description="Where the API stands; null takes the type's own address.")
    api_version: Text | None = Field(
        default=None, description="The version of the API, for types that want one said, such as azure_openai."
    )
    region: Text | None = Field(default=None, description="Where in the world, for type bedrock, such as us-east-1.")
    api_key: Key | None = Field(default=None, description='The key, best as "${VARIABLE}" or "${file:/path}".')
    keys: list[Key] = Field(default_factory=list[Key], description="Several keys.")
    headers: Headers = Field(default_factory=dict, description="Further headers of every request.")
    extra: dict[str, JsonValue] = Field(default_factory=dict, description="Vendor fields of every request body.")
    allow_private: bool = Field(default=False, description="The address may be private or on this machine.")
    free: bool = Field(default=False, description="Its models cost nothing.")
    lenient_terminal: bool = Field(default=False, description="Accept streams that end without a sign.")
    quirks: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="How the server differs from its dialect, by the dialect's names.",
    )
    pool: OnDemand[Pool] | None = Field(default=None, description="Connections to it.")
    rules: OfflineEntries | None = Field(
        default=None, description="For type rule: a file in this folder, or the rules themselves."
    )
    script: OfflineEntries | None = Field(
        default=None, description="For type mock: a file in this folder, or the script itself."
    )
    model_path: Text | None = Field(default=None, description="For type local: a GGUF file, as seen from this folder.")
    context: Annotated[int, Field(ge=16, le=10**9, json_schema_extra={"x-unit": "tokens"})] | None = Field(
        default=None, description="For type local: longest conversation, answer included; null takes 4096."
    )
    parallel: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="For type local: calls at once; null takes 4.", json_schema_extra={"x-unit": "calls"}
    )
    threads: Annotated[int, Field(ge=0, le=512)] | None = Field(
        default=None,
        description="For type local: threads that compute; 0 or null takes half of the processors.",
        json_schema_extra={"x-unit": "threads"},
    )
    gpu_layers: Annotated[int, Field(ge=0, le=10**6)] | None = Field(
        default=None,
        description="For type local: layers that a graphics card computes; null takes none.",
        json_schema_extra={"x-unit": "layers"},
    )


class Model(Tuned):
    """One model of a provider, as you want it to be asked."""

    provider: Name = Field(description="A name under `providers`.")
    model: Text = Field(description="The provider's own name of the model.")
    parameters: Parameters = Field(default_factory=Parameters.model_construct, description="How it should answer.")
    capabilities: Capabilities = Field(default_factory=Capabilities.model_construct, description="What it can do.")
    emulate_tools: bool = Field(
        default=True,
        description="Where `capabilities.tools` is false, describe tools in the prompt and read calls out of its text; "
        "false refuses requests with tools.",
    )
    prices: OnDemand[Prices] | None = Field(default=None, description="What it costs; null is unknown.")
    tags: list[Text] = Field(default_factory=list[Text], description="Free words of yours.")
    extra: dict[str, JsonValue] = Field(default_factory=dict, description="Vendor fields of every request body.")
    pool: OnDemand[Pool] | None = Field(default=None, description="Connections to its provider.")


class Chooser(Block):
    """Models to choose from for every call."""

    among: list[Name] = Field(alias="from", min_length=1, description="Names under `models`.")
    select: Text = Field(default="cost", description="The rule that chooses.")


class Client(Tuned):
    """What hosts resolve by name: models in order, and what holds for a whole call."""

    models: list[Name] = Field(default_factory=list[Name], description="Names under `models`, in order; at least one.")
    pool: OnDemand[Chooser] | None = Field(default=None, description="Models to choose from, instead of `models`.")
    system: Text | None = Field(default=None, description="Instructions before every conversation that has none.")
    replay: Text | None = Field(
        default=None, description="A folder of recordings below this one, which answers instead of the network."
    )
    strict_capabilities: bool | None = Field(
        default=None, description="As in `catalogue`, for this client; null takes what stands there."
    )
    cache: ClientCacheBlock | None = Field(default=None, description="Which answers are kept and for how long.")
    balance: ClientBalanceBlock | None = Field(default=None, description="In which order the models are asked.")
    content_filter_fallback: bool = Field(
        default=False, description="What the content filter of one model refused, the next one is asked."
    )
    on_exhausted: ExhaustedBlock = Field(
        default_factory=Exhausted.model_construct, description="What happens when every model failed."
    )


class RateLimit(Block):
    """How fast the provider or the model of this name may be asked, with each of its keys."""

    kind: Literal["provider", "model"] | None = Field(
        default=None, description="What the name means, where a provider and a model have the same."
    )
    rpm: Count | None = Field(
        default=None, description="Requests.", json_schema_extra={"x-unit": "requests per minute"}
    )
    tpm: Count | None = Field(default=None, description="Tokens.", json_schema_extra={"x-unit": "tokens per minute"})
    concurrency: Count | None = Field(default=None, description="Calls at once.")


class Budget(Block):
    """How much may be spent."""

    scope: Text = Field(default="global", description="What it is for: global, tenant, model or session.")
    period: Literal["day", "month", "total"] = Field(default="day", description="When it begins anew, in UTC.")
    limit_usd: Annotated[Usd, WithJsonSchema({"type": "number", "minimum": 0, "x-unit": "US dollars"})] = Field(
        description="The limit."
    )
    kind: Literal["hard", "soft"] = Field(default="hard", description="hard refuses calls, soft only reports.")
