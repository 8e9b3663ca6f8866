"""What an edit means: every value that differs between two configurations, and what has to be built anew for it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import chain
from typing import Final, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from loomwire.domain.caching.policies import DiskLevel, MemoryLevel, RedisLevel
from loomwire.domain.config import ClientConfig, LLMConfig, Snapshot, same_client, same_model
from loomwire.domain.policies import RatePolicy
from loomwire.domain.values import JSON, JSONObject

Kind: TypeAlias = Literal["added", "removed", "changed"]
Rebuilds: TypeAlias = Literal["connections", "clients", "nothing"]
"""`connections`: the clients that use it, over new connections. `clients`: only them, connections stay warm."""

_NEW_CONNECTIONS: Final = frozenset({"type", "base_url", "dialect", "allow_private", "replay"})
_NEW_CONNECTIONS_BELOW: Final = ("pool.", "limits.", "timeouts.connect", "timeouts.pool_queue")
_PICO: Final = 1_000_000
_BLOCKS: Final = ("timeouts", "retry", "retry_budget", "breaker", "limits", "pool")
"""What a client may have of its own, beside its models."""

_ELSEWHERE: Final = {
    "drain": "defaults.shutdown.drain",
    "control_socket": "control.socket",
    "cleanup": "cache.cleanup",
    **{name: f"memory.{name}" for name in ("soft", "high", "critical")},
    "limit_bytes": "memory.limit",
    "memory_interval": "memory.interval",
}
_KEPT: Final = ("scope", "truncated", "equivalent")
_LEVELS: Final[Mapping[type, str]] = {MemoryLevel: "memory", DiskLevel: "disk", RedisLevel: "redis"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that differs, or one provider, model or client that came or went.

    Attributes:
        kind: What happened.
        path: The key as the YAML has it: `models.quick.parameters.temperature`.
        old: What it was; None when it was not there or must not be shown.
        new: What it is; None likewise. Equal to `old` where what a file or folder of that name holds differs.
        hidden: It may hold a secret or a prompt, so `old` and `new` say nothing.
        rebuilds: What has to be built anew.
        clients: Who asks it, by name.
    """

    kind: Kind
    path: str
    old: JSON = None
    new: JSON = None
    hidden: bool = False
    rebuilds: Rebuilds = "nothing"
    clients: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, JSON]:
        """Return the change as JSON."""
        said: dict[str, JSON] = {"kind": self.kind, "path": self.path, "old": self.old, "new": self.new}
        return {**said, "hidden": self.hidden, "rebuilds": self.rebuilds, "clients": [*self.clients]}

    @classmethod
    def from_dict(cls, said: JSONObject) -> Self:
        """Return the change that `to_dict` wrote; what is not as it wrote it is read as well as it can be."""
        clients = said.get("clients")
        kind, rebuilds = said.get("kind"), said.get("rebuilds")
        return cls(
            kind="added" if kind == "added" else "removed" if kind == "removed" else "changed",
            path=str(said.get("path")),
            old=said.get("old"),
            new=said.get("new"),
            hidden=said.get("hidden") is True,
            rebuilds="connections" if rebuilds == "connections" else "clients" if rebuilds == "clients" else "nothing",
            clients=tuple(map(str, clients)) if isinstance(clients, list) else (),
        )


@dataclass(frozen=True, slots=True)
class _Fact:
    """A value of an entity: what is compared, and what may be shown of it."""

    real: object
    shown: JSON = None
    hidden: bool = False


_Facts: TypeAlias = Mapping[str, _Fact]
_ABSENT: Final = _Fact(None)


def changes(old: Snapshot, new: Snapshot) -> tuple[Change, ...]:
    """Return everything that differs between two configurations: providers first, then models, then clients.

    A pure function, so two readings of the same text differ in nothing. What came or went is one change, without its
    values. Providers that no model names are in no snapshot, and so not here. No key, header, prompt or free text of
    the operator is ever in the answer: such values only differ.

    Args:
        old: The configuration before.
        new: The one after.
    """
    before, after = _View(old), _View(new)
    found = [change for section in ("providers", "models", "clients") for change in _section(section, before, after)]
    told = {name for change in found for name in change.clients}
    # What a later release adds to a client is told too, though without a name.
    rest = [name for name in rebuilt(old, new) if name not in told]
    found += _surroundings(old, new)
    found += [
        Change(kind="changed", path=f"clients.{name}", hidden=True, rebuilds="clients", clients=(name,))
        for name in rest
    ]
    return tuple(found)


def _surroundings(old: Snapshot, new: Snapshot) -> Iterator[Change]:
    """Yield what differs and is of no client; no chain is built anew for it."""
    before, after = (dict(_around(each)) for each in (old, new))
    for name, value in before.items():
        if value != after[name]:
            key = name.removesuffix("_s")
            path = _ELSEWHERE.get(key, f"health.{key}")
            yield Change(kind="changed", path=path, old=value, new=after[name])


def _around(snapshot: Snapshot) -> Iterator[tuple[str, JSON]]:
    yield from asdict(snapshot.health).items()
    yield "drain_s", snapshot.drain_s
    yield "control_socket", snapshot.control_socket
    yield "cleanup_s", snapshot.cleanup_s
    for name, value in asdict(snapshot.memory).items():
        # Health has an interval too.
        yield ("memory_interval_s" if name == "interval_s" else name), value


def rebuilt(old: Snapshot, new: Snapshot) -> tuple[str, ...]:
    """Return the clients of both configurations that have to be built anew, by name."""
    before = old.clients
    return tuple(name for name, now in new.clients.items() if name in before and not same_client(now, before[name]))


class _View:
    """A snapshot by section; facts are worked out when they are asked for, since most entities differ in nothing."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._models = snapshot.models
        providers: dict[str, LLMConfig] = {}
        for model in snapshot.models.values():
            providers.setdefault(model.name, model)
        self._clients = snapshot.clients
        self.entities: Mapping[str, Mapping[str, LLMConfig | ClientConfig]] = {
            "providers": providers,
            "models": snapshot.models,
            "clients": snapshot.clients,
        }

    def facts(self, section: str, name: str) -> _Facts:
        """Return what a provider, model or client says."""
        entity = self.entities[section][name]
        if isinstance(entity, ClientConfig):
            return dict(self._client(entity))
        return dict(_provider(entity) if section == "providers" else _model(entity))

    def users(self, section: str, name: str) -> Iterable[str]:
        """Return the clients that ask a provider or model; of a client itself."""
        return self._users.get((section, name), ())

    @cached_property
    def _users(self) -> Mapping[tuple[str, str], list[str]]:
        users: dict[tuple[str, str], list[str]] = {}
        for name, client in self._clients.items():
            asked = {("models", self._name(target)) for target in client.targets}
            asked |= {("providers", target.name) for target in client.targets}
            for each in (("clients", name), *asked):
                users.setdefault(each, []).append(name)
        return users

    @cached_property
    def _alike(self) -> Mapping[str, list[str]]:
        alike: dict[str, list[str]] = {}
        for name, model in self._models.items():
            alike.setdefault(model.target, []).append(name)
        return alike

    def _name(self, target: LLMConfig) -> str:
        """Return what a client's target is called: it is the very model, or one with blocks of the client."""
        alike = self._alike.get(target.target, ())
        same = (name for name in alike if self._models[name] is target)
        near = (name for name in alike if _in_place_of(target, self._models[name]) == self._models[name])
        return next(chain(same, near), target.target)

    def _client(self, client: ClientConfig) -> Iterator[tuple[str, _Fact]]:
        names = [self._name(target) for target in client.targets]
        yield "models", _Fact(names, [*names])
        if client.system is not None:
            yield "system", _Fact(client.system, hidden=True)
        first, model = client.targets[0], self._models.get(names[0])
        if first.replay is not None:
            yield "replay", _Fact((first.replay, first.recorded), first.replay)
        known = {} if model is None else dict(_policies(model))
        own = {**dict(_policies(first)), "timeouts.total": _Fact(client.total_s, _number(client.total_s))}
        # What only repeats the model is the model's, and connections are its provider's.
        yield from (item for item in own.items() if known.get(item[0]) != item[1] and not item[0].startswith("pool."))
        yield from _choosing(client, names)
        yield from _kept(client)


def _choosing(client: ClientConfig, names: list[str]) -> Iterator[tuple[str, _Fact]]:
    """Yield how a client chooses among its targets, and what it does when none answers."""
    for name, value in asdict(client.balance).items():
        yield f"balance.{name.removesuffix('_s')}", _Fact(value, value)
    for model, weight in zip(names, client.weights, strict=False):
        yield f"balance.weights.{model}", _Fact(weight, weight)
    yield "content_filter_fallback", _Fact(client.content_filter_fallback, client.content_filter_fallback)
    exhausted = client.on_exhausted
    yield "on_exhausted.mode", _Fact(exhausted.mode, exhausted.mode)
    if exhausted.text:
        yield "on_exhausted.text", _Fact(exhausted.text, hidden=True)
    if exhausted.function:
        yield "on_exhausted.function", _Fact(exhausted.function, exhausted.function)


def _kept(client: ClientConfig) -> Iterator[tuple[str, _Fact]]:
    """Yield which answers a client keeps, and where."""
    for name in ("mode", "ttl_s", "ttl_jitter", "max_entry", "swr_s", "stale_if_error_s", *_KEPT):
        value = getattr(client.cache, name)
        yield f"cache.{name.removesuffix('_s')}", _Fact(value, value)
    levels = client.cache.levels
    # The address of a server may hold a password.
    shown = [_LEVELS[type(level)] for level in levels]
    yield "cache.levels", _Fact(levels, [*shown])
    semantic, embedder = client.cache.semantic, client.embedder
    for name, value in asdict(semantic).items() if semantic is not None else ():
        yield f"cache.semantic.{name.removesuffix('_s')}", _Fact(value, value)
    if embedder is not None:
        yield "cache.semantic.model", _Fact(embedder, embedder.target)


def _section(section: str, before: _View, after: _View) -> Iterator[Change]:
    old, new = before.entities[section], after.entities[section]
    for name in (*old, *(name for name in new if name not in old)):
        if old.get(name) is new.get(name):
            continue
        clients = tuple(dict.fromkeys((*before.users(section, name), *after.users(section, name))))
        path = f"{section}.{name}"
        if name not in new:
            yield Change(kind="removed", path=path, clients=clients)
        elif name not in old:
            yield Change(kind="added", path=path, rebuilds="clients" if clients else "nothing", clients=clients)
        else:
            # A model that only got another name is another value of its clients, and the same client.
            differs = not _is_same(old[name], new[name])
            yield from _values(
                path, before.facts(section, name), after.facts(section, name), clients if differs else ()
            )


def _is_same(one: LLMConfig | ClientConfig, other: LLMConfig | ClientConfig) -> bool:
    if isinstance(one, ClientConfig):
        return isinstance(other, ClientConfig) and same_client(one, other)
    return isinstance(other, LLMConfig) and same_model(one, other)


def _values(path: str, old: _Facts, new: _Facts, clients: tuple[str, ...]) -> Iterator[Change]:
    for key in (*old, *(key for key in new if key not in old)):
        before, after = old.get(key, _ABSENT), new.get(key, _ABSENT)
        if before.real == after.real:
            continue
        yield Change(
            kind="added" if key not in old else "changed" if key in new else "removed",
            path=f"{path}.{key}",
            old=before.shown,
            new=after.shown,
            hidden=before.hidden or after.hidden,
            rebuilds=_rebuilds(key) if clients else "nothing",
            clients=clients,
        )


def _rebuilds(key: str) -> Rebuilds:
    anew = key in _NEW_CONNECTIONS or key.startswith(_NEW_CONNECTIONS_BELOW)
    return "connections" if anew else "clients"


def _provider(config: LLMConfig) -> Iterator[tuple[str, _Fact]]:
    yield "type", _Fact(config.type, config.type)
    if config.dialect is not None:
        yield "dialect", _Fact(config.dialect, config.dialect)
    if config.base_url is not None:
        yield "base_url", _Fact(config.base_url, _place(config.base_url))
    if config.api_version is not None:
        yield "api_version", _Fact(config.api_version, config.api_version)
    if config.keys:
        yield "keys", _Fact(config.keys, hidden=True)
    for name in ("allow_private", "free", "lenient_terminal"):
        yield name, _Fact(getattr(config, name), getattr(config, name))
    for name, value in config.headers.items():
        yield f"headers.{name}", _Fact(value, hidden=True)
    yield from _rate(config.provider_rate)
    quirks = config.options.get("quirks")
    yield from _free("quirks", quirks if isinstance(quirks, Mapping) else {})
    yield from _free("options", {name: value for name, value in config.options.items() if name != "quirks"})


def _model(config: LLMConfig) -> Iterator[tuple[str, _Fact]]:
    yield "provider", _Fact(config.name, config.name)
    yield "model", _Fact(config.model, config.model)
    for name, value in asdict(config.parameters).items():
        if value not in (None, ()):
            yield f"parameters.{name}", _Fact(value, [*value] if isinstance(value, tuple) else value)
    yield from _known(config)
    yield "emulate_tools", _Fact(config.emulate_tools, config.emulate_tools)
    yield from _free("extra", config.extra)
    if config.tags:
        yield "tags", _Fact(config.tags, sorted(config.tags))
    yield from _rate(config.rate)
    yield from _policies(config)


def _known(config: LLMConfig) -> Iterator[tuple[str, _Fact]]:
    for name, value in asdict(config.capabilities).items():
        if value is not None and name not in ("sources", "custom_capabilities"):
            yield f"capabilities.{name.removeprefix('supports_')}", _Fact(value, value)
    yield from _free("capabilities.custom", config.capabilities.custom_capabilities)
    for name, pico in asdict(config.prices).items() if config.prices is not None else ():
        if name == "source":
            continue
        key = f"prices.{name.removesuffix('_pico')}_usd_per_mtok"
        yield key, _Fact(pico, f"{(Decimal(pico) / _PICO).normalize():f}")


def _policies(config: LLMConfig) -> Iterator[tuple[str, _Fact]]:
    for block in _BLOCKS:
        for name, value in asdict(getattr(config, block)).items():
            yield f"{block}.{name.removesuffix('_s')}", _Fact(value, _number(value))
    catalogue = config.catalogue
    yield "catalogue.enabled", _Fact(catalogue.enabled, catalogue.enabled)
    yield "catalogue.prices", _Fact(catalogue.prices, catalogue.prices)
    yield "strict_capabilities", _Fact(catalogue.strict, catalogue.strict)
    if catalogue.path is not None:
        yield "catalogue.path", _Fact((catalogue.path, catalogue.read), catalogue.path)


def _rate(rate: RatePolicy | None) -> Iterator[tuple[str, _Fact]]:
    # As the limit of this provider or model: `limits` of a block are sizes.
    for name, value in asdict(rate).items() if rate is not None else ():
        if value is not None:
            yield f"rate.{name}", _Fact(value, value)


def _free(path: str, values: Mapping[str, JSON]) -> Iterator[tuple[str, _Fact]]:
    """Yield values of which nobody knows what they hold: numbers are shown, texts may be keys or prompts."""
    for name, value in values.items():
        hidden = not isinstance(value, int | float | None)
        # As text, because `1` and `true` are equal to Python and not to a server.
        yield f"{path}.{name}", _Fact(repr(value), None if hidden else value, hidden)


def _number(value: float | None) -> JSON:
    return value if value is None or math.isfinite(value) else str(value)


def _place(url: str) -> str:
    # One that was written in code may hold a password or a key in its query.
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _in_place_of(target: LLMConfig, model: LLMConfig) -> LLMConfig:
    own = replace(target, timeouts=model.timeouts, limits=model.limits, catalogue=model.catalogue)
    own = replace(own, retry=model.retry, retry_budget=model.retry_budget, breaker=model.breaker)
    return replace(own, replay=model.replay, recorded=model.recorded)
