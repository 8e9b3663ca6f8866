"""The blocks of what is kept: answers, where they are kept, and how much memory the process may take."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from loomwire.domain.policies import MIB
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.schema.blocks import Block, Pause, Seconds, Share, Size
from loomwire.infrastructure.configuration.schema.on_demand import OnDemand

LevelName: TypeAlias = Literal["memory", "disk", "redis"]
KeepMode: TypeAlias = Literal["off", "deterministic_only", "always"]

_REDIS: Final = re.compile(r"(?:rediss?|unix)://\S+")
_PREFIX: Final = "^[A-Za-z0-9_.-]{1,64}$"


def mode_as_keep(value: JsonValue) -> JsonValue:
    """Take `cache: always` for `cache: {mode: always}`."""
    return {"mode": value} if isinstance(value, str) else value


def checked_redis(url: Secret) -> Secret:
    """Return the address of a Redis server if it is one; the error never repeats it, because it may hold a password."""
    if not _REDIS.fullmatch(url.reveal()):
        raise PydanticCustomError("url", "must be a URL such as redis://host:6379/0, rediss:// or unix://")
    return url


class Keep(Block):
    """Which answers are kept and for how long."""

    mode: KeepMode = Field(
        default="deterministic_only",
        description="deterministic_only: with temperature 0 or a seed, and where a request asks for it.",
    )
    ttl: Seconds = Field(default=3600.0, description="How long an answer is good.")
    ttl_jitter: Share = Field(default=0.1, description="By how much lifetimes are spread.")
    max_entry: Size = Field(default=MIB, description="Largest answer that is kept.")
    swr: Pause = Field(default=0.0, description="How long an old answer is given while a new one is fetched.")
    stale_if_error: Pause = Field(
        default=0.0, description="How long an old answer is given when no new one can be had."
    )
    scope: Literal["client", "shared"] = Field(
        default="client",
        description="client: kept for one client alone; shared: for all that say so and ask the same models. Tenants "
        "never share.",
    )
    truncated: bool = Field(default=False, description="Keep answers that the token limit cut, too.")
    equivalent: bool = Field(
        default=False,
        description="Whichever of a client's models answered, its answer is kept; else only the first one's and its "
        "equals'.",
    )
    levels: list[LevelName] | None = Field(
        default=None, description="Where, the fastest first; null is memory and whatever `cache` configures."
    )


class Cache(Keep):
    """Which answers are kept and for how long, where a client says nothing else."""

    l1_bytes: Size = Field(default=64 * MIB, description="Memory for answers, of all clients together.")


class Semantic(Block):
    """Answers to questions that mean the same."""

    model: Annotated[str, Field(min_length=1)] = Field(
        description="A name under `models`: the model that embeds questions."
    )
    threshold: Share = Field(default=0.95, description="Least similarity of two questions.")
    shadow: bool = Field(default=True, description="Only count what it would have answered.")
    entries: Annotated[int, Field(ge=1, le=10**6)] = Field(
        default=10_000, description="Questions that are remembered.", json_schema_extra={"x-unit": "count"}
    )
    index: Literal["numpy", "usearch"] = Field(default="numpy", description="How they are searched.")
    timeout: Seconds = Field(default=2.0, description="For embedding one question; what takes longer is a miss.")


class ClientCache(Keep):
    """Which answers of one client are kept and for how long."""

    semantic: OnDemand[Semantic] | None = Field(
        default=None, description="Answers to questions that mean the same; null is off."
    )


class Disk(Block):
    """One file, which processes of this machine may share."""

    path: Annotated[str, Field(min_length=1)] = Field(
        description="The file, as seen from this folder, such as run/cache.sqlite; it is made, for its user alone."
    )
    bytes: Size = Field(default=1024 * MIB, description="What entries may take.")
    timeout: Seconds = Field(default=0.05, description="For one look; what takes longer is a miss.")


class Redis(Block):
    """A Redis server, which any number of processes share."""

    url: Annotated[Secret, AfterValidator(checked_redis), WithJsonSchema({"type": "string", "minLength": 1})] = Field(
        description='Where it is, best as "${REDIS_URL}": redis://, rediss:// or unix://.'
    )
    prefix: Annotated[str, Field(pattern=_PREFIX)] = Field(
        default="loomwire", description="What the name of every key begins with."
    )
    timeout: Seconds = Field(default=0.05, description="For one look; what takes longer is a miss.")


class CachePlaces(Block):
    """Where answers are kept."""

    strategy: Literal["lru", "lfu", "ttl"] = Field(
        default="lru",
        description="Who makes room in memory: the least recently used, the least often used, or who is stale next.",
    )
    disk: OnDemand[Disk] | None = Field(default=None, description="A file below the memory; null is none.")
    redis: OnDemand[Redis] | None = Field(default=None, description="A server below that; null is none.")
    cleanup: Pause = Field(default=60.0, description="Between two clean-ups of what is too old; 0 is never.")


class Memory(Block):
    """What happens when the process grows."""

    limit: Size | None = Field(
        default=None,
        description="Most memory of the process; null takes the container's limit, else what the process has and "
        "the machine has left, at which caches shrink and no call is refused.",
    )
    soft: Share = Field(default=0.7, description="Share of the limit at which caches shrink.")
    high: Share = Field(default=0.8, description="Share at which caches are off and calls of priority cost refused.")
    critical: Share = Field(default=0.9, description="Share of the limit at which new calls are refused.")
    interval: Seconds = Field(default=5.0, description="Between two looks.")

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if not 0 < self.soft <= self.high <= self.critical:
            raise PydanticCustomError("memory", "`soft`, `high` and `critical` must rise from 0 to 1")
        return self


CacheBlock: TypeAlias = Annotated[
    OnDemand[Cache], BeforeValidator(mode_as_keep, json_schema_input_type=OnDemand[Cache] | KeepMode)
]
"""A `Cache`, or its mode alone."""
ClientCacheBlock: TypeAlias = Annotated[
    OnDemand[ClientCache], BeforeValidator(mode_as_keep, json_schema_input_type=OnDemand[ClientCache] | KeepMode)
]
"""A `ClientCache`, or its mode alone."""
