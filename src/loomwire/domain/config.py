"""A configuration with everything resolved: what the container builds from, and hosts without YAML write by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, Unpack

from loomwire.domain.caching.policies import CachePolicy, MemoryPolicy
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.configured.settings import LLMSettings
from loomwire.domain.errors import LLMValidationError
from loomwire.domain.policies import (
    RAISE,
    BalancePolicy,
    BreakerPolicy,
    CataloguePolicy,
    DetectionPolicy,
    ExhaustedPolicy,
    HealthPolicy,
    PoolPolicy,
    RatePolicy,
    RetryBudgetPolicy,
    RetryPolicy,
    TimeoutPolicy,
    TransportPolicy,
    WireLimits,
)
from loomwire.domain.pricing import Prices
from loomwire.domain.reports.problems import Problem
from loomwire.domain.requests import NO_PARAMETERS, Parameters
from loomwire.domain.values import JSON, NO_JSON, FrozenDict, Secret

_NO_HEADERS: Mapping[str, str] = FrozenDict()


@dataclass(frozen=True, slots=True, kw_only=True)
class LLMConfig:
    """One model on one provider, with everything needed to call it. Immutable and comparable.

    Args:
        type: A row of the provider table: openai, vllm, custom, rule, ...
        model: The provider's own name of the model.
        name: The provider's name in answers and books.
        base_url: Where the API stands; None takes the row's.
        dialect: The wire dialect, for type `custom` and where a type speaks several; None takes the type's own.
        api_version: The version of the API, for vendors that want one said.
        keys: API keys.
        parameters: Defaults for the requests.
        capabilities: What is known of the model.
        emulate_tools: Where `capabilities` say that the model has no tools, describe them in the prompt and read calls
            out of its text; False refuses requests with tools.
        prices: What it costs; None is unknown.
        free: It costs nothing.
        timeouts: How long things may take.
        retry: When it is asked again.
        retry_budget: How many further sends its provider is given in all.
        breaker: When it is left alone.
        rate: How fast this model may be asked with one key; None is not limited.
        provider_rate: How fast all models of its provider together may be asked with one key; None is not limited.
        pool: How many connections.
        limits: How much the server may send.
        headers: Further headers of every request; the repr leaves them out, because they may hold a key.
        extra: Vendor fields of every request body.
        allow_private: The address may be private or loopback.
        lenient_terminal: Accept streams that end without a terminal sign; the answer says `complete=False`.
        options: Options of the provider type, such as the rules of type `rule`.
        tags: Free words of the operator.
        replay: Folder of recordings that answer instead of the provider, without network and key; None asks it. Clients
            of one folder take turns in its answers to equal requests.
        recorded: Identifies the content of `replay` at the time of reading; "" when nobody looked.
        catalogue: What of the catalogue holds for it.

    Raises:
        LLMValidationError: An empty name, or a setting out of its range.
    """

    type: str
    model: str
    name: str = ""
    base_url: str | None = None
    dialect: str | None = None
    api_version: str | None = None
    keys: tuple[Secret, ...] = ()
    parameters: Parameters = NO_PARAMETERS
    capabilities: ModelCapabilities = ModelCapabilities()
    emulate_tools: bool = True
    prices: Prices | None = None
    free: bool = False
    timeouts: TimeoutPolicy = TimeoutPolicy()
    retry: RetryPolicy = RetryPolicy()
    retry_budget: RetryBudgetPolicy = RetryBudgetPolicy()
    breaker: BreakerPolicy = BreakerPolicy()
    rate: RatePolicy | None = None
    provider_rate: RatePolicy | None = None
    pool: PoolPolicy = PoolPolicy()
    limits: WireLimits = WireLimits()
    headers: Mapping[str, str] = field(default=_NO_HEADERS, repr=False)
    extra: Mapping[str, JSON] = NO_JSON
    allow_private: bool = False
    lenient_terminal: bool = False
    options: Mapping[str, JSON] = NO_JSON
    tags: frozenset[str] = frozenset()
    replay: str | None = None
    recorded: str = field(default="", repr=False)
    catalogue: CataloguePolicy = CataloguePolicy()

    def __post_init__(self) -> None:
        """Fill in the name and refuse what cannot be called."""
        if not self.type or not self.model:
            raise LLMValidationError("an LLMConfig needs a provider type and a model", hint="Give both.")
        if not self.name:
            object.__setattr__(self, "name", self.type)

    @property
    def target(self) -> str:
        """provider/model, as steps and errors show it."""
        return f"{self.name}/{self.model}"

    @property
    def transport(self) -> TransportPolicy:
        """How the origin is talked to."""
        times = self.timeouts
        return TransportPolicy(self.pool, times.connect_s, times.pool_queue_s, self.allow_private, self.limits)

    @classmethod
    def of(cls, type: str, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model on any provider type of the table, without YAML.

        Args:
            type: The provider's type, such as `groq`; the factory's error lists what exists.
            model: The provider's own name of the model.
            **settings: See `LLMSettings`.

        Raises:
            LLMValidationError: A parameter is out of its range.
        """
        return cls._built(type, model, None, settings)

    @classmethod
    def openai(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of OpenAI; needs `api_key`."""
        return cls._built("openai", model, None, settings)

    @classmethod
    def azure_openai(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a deployment of Azure OpenAI; needs `base_url` (the resource) and `api_key`.

        With `api_version`, such as 2024-10-21, the deployment's own address is asked, without it the v1 API.
        """
        return cls._built("azure_openai", model, None, settings)

    @classmethod
    def anthropic(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of Anthropic; needs `api_key`."""
        return cls._built("anthropic", model, None, settings)

    @classmethod
    def gemini(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of the Gemini API; needs `api_key`."""
        return cls._built("gemini", model, None, settings)

    @classmethod
    def vertex(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of Vertex AI; needs `base_url` (with project and location) and an access token as `api_key`.

        Tokens end after an hour; whoever configures the model renews them.
        """
        return cls._built("vertex", model, None, settings)

    @classmethod
    def cohere(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of Cohere; needs `api_key`."""
        return cls._built("cohere", model, None, settings)

    @classmethod
    def bedrock(cls, model: str, *, region: str | None = None, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of Amazon Bedrock; needs `region` or `base_url`, and `api_key`.

        An `api_key` of Bedrock's own is sent. An access key, written `ID:SECRET` or `ID:SECRET:SESSION_TOKEN`, signs
        and is never sent; that needs `pip install "loomwire[bedrock]"`.
        """
        options: Mapping[str, JSON] = NO_JSON if region is None else FrozenDict({"region": region})
        return replace(cls._built("bedrock", model, None, settings), options=options)

    @classmethod
    def ollama(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of an Ollama server, on this machine unless `base_url` says otherwise."""
        return cls._built("ollama", model, None, settings)

    @classmethod
    def vllm(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of a vLLM server; needs `base_url`, and `allow_private=True` when it is local."""
        return cls._built("vllm", model, None, settings)

    @classmethod
    def lm_studio(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of LM Studio on this machine."""
        return cls._built("lm_studio", model, None, settings)

    @classmethod
    def llamacpp(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of a llama.cpp server."""
        return cls._built("llamacpp", model, None, settings)

    @classmethod
    def local(
        cls,
        model_path: str,
        *,
        context: int = 4096,
        parallel: int = 4,
        threads: int = 0,
        gpu_layers: int = 0,
        **settings: Unpack[LLMSettings],
    ) -> Self:
        """Describe a GGUF file that llama.cpp serves inside this process; needs `pip install "loomwire[llama]"`.

        Name only files that you trust: native code reads them, and a forged one can end the process.

        Args:
            model_path: The file; a relative path counts from the working folder.
            context: Tokens of one conversation, answer included.
            parallel: Calls at once, 256 at most; further ones wait.
            threads: For computing, 512 at most; 0 takes half of the processors.
            gpu_layers: Layers that a graphics card computes.
            **settings: See `LLMSettings`; `base_url` and `api_key` have no place here.

        Raises:
            LLMValidationError: A parameter is out of its range.
        """
        serving = {"context": context, "parallel": parallel, "threads": threads, "gpu_layers": gpu_layers}
        model = model_path.replace("\\", "/").rpartition("/")[2] or model_path
        options: Mapping[str, JSON] = FrozenDict({"model_path": model_path, **serving})
        return replace(cls._built("local", model, None, settings), options=options)

    @classmethod
    def custom(cls, model: str, **settings: Unpack[LLMSettings]) -> Self:
        """Describe a model of any server that speaks a known dialect, `openai_chat` unless given; needs `base_url`."""
        return cls._built("custom", model, "openai_chat", settings)

    @classmethod
    def _built(cls, type_: str, model: str, dialect: str | None, settings: LLMSettings) -> Self:
        unknown = [name for name in settings if name not in LLMSettings.__annotations__]
        if unknown:
            known = ", ".join(LLMSettings.__annotations__)
            raise LLMValidationError(f"LLMConfig has no setting {unknown[0]!r}", hint=f"Settings: {known}.")
        times = TimeoutPolicy()
        return cls(
            type=type_,
            model=model,
            name=settings.get("name", type_),
            dialect=settings.get("dialect", dialect),
            base_url=settings.get("base_url"),
            api_version=settings.get("api_version"),
            keys=_keys(settings.get("api_key")),
            parameters=Parameters(
                temperature=settings.get("temperature"),
                top_p=settings.get("top_p"),
                max_tokens=settings.get("max_tokens"),
                frequency_penalty=settings.get("frequency_penalty"),
                presence_penalty=settings.get("presence_penalty"),
            ),
            capabilities=settings.get("capabilities", ModelCapabilities()),
            emulate_tools=settings.get("emulate_tools", True),
            prices=settings.get("prices"),
            free=settings.get("free", False),
            timeouts=replace(times, attempt_s=settings.get("timeout_s", times.attempt_s)),
            retry=settings.get("retry", RetryPolicy()),
            breaker=settings.get("breaker", BreakerPolicy()),
            rate=settings.get("rate"),
            headers=settings.get("headers", _NO_HEADERS),
            extra=settings.get("extra", NO_JSON),
            allow_private=settings.get("allow_private", False),
            replay=settings.get("replay"),
        )


def _keys(key: str | Secret | None) -> tuple[Secret, ...]:
    if key is None:
        return ()
    try:
        return (key if isinstance(key, Secret) else Secret(key),)
    except (AttributeError, ValueError):
        message, hint = "api_key must be non-empty printable text", "Is the variable it comes from set?"
        raise LLMValidationError(message, hint=hint) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientConfig:
    """One named client: its targets in order, and what holds for the whole call.

    Args:
        name: The name hosts resolve.
        targets: The models it may ask, in order, each with the timeouts that hold for this client.
        system: Instructions put before every conversation that has none, or None.
        total_s: Seconds for a whole call, unless the request says otherwise.
        balance: In which order the targets are asked.
        weights: For policy `weighted`, one number for each target, more than 0; empty for equal ones.
        content_filter_fallback: What one target's content filter refused, the next one may be asked.
        on_exhausted: What happens when no target answered.
        cache: Which answers are kept, and for how long.
        embedder: The model that embeds questions, for `cache.semantic`; None without it.

    Raises:
        LLMValidationError: Weights that are not one positive number for each target.
    """

    name: str
    targets: tuple[LLMConfig, ...]
    system: str | None = None
    total_s: float = TimeoutPolicy().total_s
    balance: BalancePolicy = BalancePolicy()
    weights: tuple[float, ...] = ()
    content_filter_fallback: bool = False
    on_exhausted: ExhaustedPolicy = RAISE
    cache: CachePolicy = CachePolicy()
    embedder: LLMConfig | None = None

    def __post_init__(self) -> None:
        """Refuse weights by which nobody could choose."""
        fits = len(self.weights) == len(self.targets) and all(0 < weight < math.inf for weight in self.weights)
        if self.weights and not fits:
            message = f"client {self.name!r} needs one positive weight for each of its {len(self.targets)} targets"
            raise LLMValidationError(message, hint=f"It has {len(self.weights)}; leave them out for equal ones.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A whole configuration, resolved and immutable.

    Attributes:
        digest: Identifies the content: equal content, equal digest.
        clients: Every client by name.
        models: Every model by name.
        warnings: What was found and does not keep it from coming into force.
        files: The files it came from, as the operator named them.
        contents: A digest of each of these files as it was read: BLAKE2b, 32 bytes.
        sealed: Every file ends with `end: true`.
        allow_shrink: It may come into force although it removes much of what was there.
        detection: Whether providers are asked what their models can do.
        health: How targets without traffic are looked after.
        drain_s: How long calls in flight may go on when the container closes, in seconds.
        control_socket: Beside which path a running process can be asked; None is nowhere.
        memory: What happens when the process grows.
        cleanup_s: Seconds between two clean-ups of what is kept; 0 is never.
        cache: Where hosts keep values of their own, for how long, and up to which size.
    """

    digest: str
    clients: Mapping[str, ClientConfig]
    models: Mapping[str, LLMConfig]
    warnings: tuple[Problem, ...] = ()
    files: tuple[str, ...] = ()
    contents: tuple[bytes, ...] = field(default=(), repr=False)
    sealed: bool = False
    allow_shrink: bool = False
    detection: DetectionPolicy = DetectionPolicy()
    health: HealthPolicy = HealthPolicy()
    drain_s: float = 30.0
    control_socket: str | None = None
    memory: MemoryPolicy = MemoryPolicy()
    cleanup_s: float = 60.0
    cache: CachePolicy = CachePolicy()


def same_model(one: LLMConfig, other: LLMConfig) -> bool:
    """Tell whether two models are the same on the wire; `1`, `1.0` and `true` are equal to Python, not to a server."""
    return one is other or (one == other and repr(_free(one)) == repr(_free(other)))


def same_client(one: ClientConfig, other: ClientConfig) -> bool:
    """Tell whether two clients are the same; see `same_model`."""
    if one is other:
        return True
    if len(one.targets) != len(other.targets) or _words(one) != _words(other):
        return False
    return all(map(same_model, one.targets, other.targets))


def _words(client: ClientConfig) -> tuple[ClientConfig, tuple[float, ...]]:
    return replace(client, targets=(), weights=()), client.weights


def _free(config: LLMConfig) -> tuple[Mapping[str, JSON], ...]:
    return config.extra, config.options, config.capabilities.custom_capabilities
