"""The whole configuration, read by pydantic-settings from our own layers.

Sources, strongest first: init > environment > .env > secret files > YAML > defaults.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from types import UnionType
from typing import Annotated, Literal, Self, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, Field, JsonValue, WithJsonSchema
from pydantic.fields import FieldInfo  # noqa: TC002  # pydantic evaluates annotations
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.blocks import (
    Balance,
    BalanceBlock,
    Block,
    Breaker,
    BudgetRules,
    Health,
    Ledger,
    Pool,
    Rate,
    Reload,
    Retry,
    RetryBudget,
    Shutdown,
    Timeouts,
    WireSizes,
)
from loomwire.infrastructure.configuration.schema.control import Control
from loomwire.infrastructure.configuration.schema.entities import Budget, Client, Model, Name, Provider, RateLimit
from loomwire.infrastructure.configuration.schema.keeping import Cache, CacheBlock, CachePlaces, Memory
from loomwire.infrastructure.configuration.schema.knowledge import Catalogue
from loomwire.infrastructure.configuration.schema.on_demand import OnDemand


class Defaults(Block):
    """What holds where a provider, model or client says nothing else."""

    # model_construct and not the class: a call of it would build a validator of its own for every block.
    timeouts: Timeouts = Field(
        default_factory=Timeouts.model_construct, description="How long things may take, everywhere."
    )
    retry: OnDemand[Retry] = Field(
        default_factory=Retry.model_construct, description="When the same target is asked again."
    )
    retry_budget: OnDemand[RetryBudget] = Field(
        default_factory=RetryBudget.model_construct, description="How many retries a provider is given in all."
    )
    breaker: OnDemand[Breaker] = Field(
        default_factory=Breaker.model_construct, description="When a failing target is left alone."
    )
    limits: OnDemand[WireSizes] = Field(
        default_factory=WireSizes.model_construct, description="How much may be sent and received, everywhere."
    )
    pool: OnDemand[Pool] = Field(
        default_factory=Pool.model_construct, description="Connections to one origin, per event loop."
    )
    rate: OnDemand[Rate] = Field(
        default_factory=Rate.model_construct, description="How calls wait for the limits of a provider."
    )
    cache: CacheBlock = Field(
        default_factory=Cache.model_construct, description="Which answers are kept and for how long."
    )
    ledger: OnDemand[Ledger] = Field(
        default_factory=Ledger.model_construct, description="How spending is written down."
    )
    budget: OnDemand[BudgetRules] = Field(default_factory=BudgetRules.model_construct, description="What budgets do.")
    balance: BalanceBlock = Field(
        default_factory=Balance.model_construct, description="In which order the models of a client are asked."
    )
    health: OnDemand[Health] = Field(
        default_factory=Health.model_construct, description="How targets without traffic are looked after."
    )
    shutdown: OnDemand[Shutdown] = Field(
        default_factory=Shutdown.model_construct, description="How the container closes."
    )
    memory: OnDemand[Memory] = Field(
        default_factory=Memory.model_construct, description="What happens when the process grows."
    )
    reload: OnDemand[Reload] = Field(
        default_factory=Reload.model_construct, description="How edits of these files come into force."
    )


class _Quiet(dict[str, Plain]):
    """A layer whose repr shows nothing: pydantic-settings can log its sources."""

    __slots__ = ()

    @override
    def __repr__(self) -> str:
        return f"<{len(self)} keys>"


_LAYERS: ContextVar[Sequence[Mapping[str, Plain]]] = ContextVar("layers", default=())


class _Layer(PydanticBaseSettingsSource):
    """One of our layers as a source of pydantic-settings."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Plain]) -> None:
        super().__init__(settings_cls)
        self._values = values

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Plain, str, bool]:
        return self._values.get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, Plain]:
        return _Quiet(self._values)


def checked_version(version: int) -> int:
    """Return the version of the format if it is ours. No `Literal[1]`: `true` would be equal to it."""
    if version != 1:
        raise PydanticCustomError("version", "must be 1")
    return version


class Settings(BaseSettings):
    """The configuration of loomwire."""

    model_config = SettingsConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, defer_build=True, protected_namespaces=()
    )

    version: Annotated[int, AfterValidator(checked_version), WithJsonSchema({"const": 1})] = Field(
        description="The version of this format."
    )
    providers: dict[Name, Provider] = Field(default_factory=dict, description="Where models are, by name.")
    models: dict[Name, Model] = Field(default_factory=dict, description="Models of these providers, by name.")
    clients: dict[Name, Client] = Field(default_factory=dict, description="What hosts resolve, by name.")
    defaults: Defaults = Field(
        default_factory=Defaults.model_construct, description="What holds where nothing else is said."
    )
    limits: dict[Name, OnDemand[RateLimit]] = Field(
        default_factory=dict, description="How fast providers, keys or models are asked."
    )
    budgets: dict[Name, OnDemand[Budget]] = Field(default_factory=dict, description="How much may be spent, by name.")
    cache: OnDemand[CachePlaces] = Field(
        default_factory=CachePlaces.model_construct, description="Where answers are kept, by all clients."
    )
    memory: OnDemand[Memory] | None = Field(default=None, description="What happens when the process grows.")
    health: OnDemand[Health] | None = Field(default=None, description="How targets without traffic are looked after.")
    events: dict[str, JsonValue] = Field(default_factory=dict, description="Where events go.")
    hooks: dict[str, JsonValue] = Field(default_factory=dict, description="Code of the host around every call.")
    plugins: dict[str, JsonValue] = Field(default_factory=dict, description="Packages that add to loomwire.")
    catalogue: OnDemand[Catalogue] = Field(
        default_factory=Catalogue.model_construct, description="What is known of models."
    )
    control: OnDemand[Control] = Field(
        default_factory=Control.model_construct, description="Where a running process can be asked and operated."
    )
    state: dict[str, JsonValue] = Field(default_factory=dict, description="What several processes share.")
    end: Literal[True] | None = Field(
        default=None, description="Put `end: true` last: a file that is cut off lacks it."
    )

    @classmethod
    def read(cls, layers: Sequence[Mapping[str, Plain]]) -> Self:
        """Merge layers, strongest first, and validate the result.

        Raises:
            pydantic.ValidationError: With everything that is wrong. It must not leave this room: it holds the input.
        """
        token = _LAYERS.set(layers)
        try:
            return cls.model_validate({})
        finally:
            _LAYERS.reset(token)

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Replace the built-in sources by our layers, which know names with `-` and where every value stands."""
        return init_settings, *(_Layer(settings_cls, layer) for layer in _LAYERS.get())


def known_keys(path: KeyPath) -> tuple[str, ...]:
    """Return the keys that the schema knows below a path; none below a map of names, or in free values."""
    kinds: list[object] = [Settings]
    for step in path:
        kinds = [below for kind in kinds for below in _below(kind, step)]
    models = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    return tuple(field.alias or name for model in models for name, field in model.model_fields.items())


def _below(kind: object, step: str | int) -> Iterator[object]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = _model_field(kind, step)
        yield from _plain_kinds(field.annotation if field else None)
    elif get_origin(kind) in (dict, list):
        yield from _plain_kinds(get_args(kind)[-1])


def _model_field(model: type[BaseModel], key: str | int) -> FieldInfo | None:
    """Return the field that a key stands for."""
    fields = model.model_fields
    return next((field for name, field in fields.items() if (field.alias or name) == key), None)


def _plain_kinds(annotation: object) -> Iterator[object]:
    """Yield the alternatives of an annotation, without what only constrains them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _plain_kinds(get_args(annotation)[0])
    elif origin in (Union, UnionType):
        for part in get_args(annotation):
            yield from _plain_kinds(part)
    else:
        yield annotation
