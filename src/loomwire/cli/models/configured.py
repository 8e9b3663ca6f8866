"""The models of a configuration, with what is known of each. Builds no client and asks nobody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loomwire.container.wiring import Wiring
    from loomwire.domain.config import LLMConfig, Snapshot
    from loomwire.domain.ports.client import ILLMClientFactory
    from loomwire.domain.values import JSON, Source


@dataclass(frozen=True, slots=True)
class Row:
    """One configured model.

    Attributes:
        name: Its name in the configuration.
        model: It, with what is known filled in.
        written: It, as the configuration says.
        clients: Who asks it.
        free: Who says that it costs nothing; `unknown` when nobody does.
        package: Whose its provider's type is, when it is not ours.
    """

    name: str
    model: LLMConfig
    written: LLMConfig
    clients: tuple[str, ...]
    free: Source
    package: str = ""


def wiring_of(config: Path) -> Wiring:
    """Return the parts of a configuration, with what providers said to an earlier process."""
    # Not a container: it would build every client, and import the network for that.
    from loomwire.container.wiring import Wiring

    wiring = Wiring(config_root=config)
    snapshot: Snapshot = wiring.snapshot()
    wiring.model_registry().remember(snapshot.detection)
    return wiring


def rows(wiring: Wiring) -> Iterator[Row]:
    """Yield every model in the order of their names."""
    from loomwire.infrastructure.providers.table import PROVIDERS

    snapshot: Snapshot = wiring.snapshot()
    factory: ILLMClientFactory = wiring.client_factory()
    further: Mapping[str, str] = {}
    if any(model.type not in PROVIDERS for model in snapshot.models.values()):
        further = wiring.provider_manager().packages()
    asked = [(client, _name(target, snapshot)) for client, target in _targets(snapshot)]
    for name, written in sorted(snapshot.models.items()):
        # As on replay: a list asks nobody, so it needs no key.
        model = factory.resolved(replace(written, replay=""))
        free: Source = "yaml" if written.free else "provider" if model.free else "unknown"
        clients = tuple(client for client, asks in asked if asks == name)
        yield Row(name, model, written, clients, free, further.get(model.type, ""))


def parameters(model: LLMConfig) -> dict[str, JSON]:
    """Return the defaults of a model's requests that are set."""
    return {name: value for name, value in asdict(model.parameters).items() if value not in (None, ())}


def head(row: Row) -> Mapping[str, str]:
    """Return who a model is, by label."""
    model = row.model
    whose = f" of {row.package}" if row.package else ""
    type_ = f" (type {model.type}{whose})" if model.type != model.name or whose else ""
    return {
        "asks": f"{model.model} at {model.name}{type_}",
        "clients": ", ".join(row.clients) or "none",
    }


def _targets(snapshot: Snapshot) -> Iterator[tuple[str, LLMConfig]]:
    for name, client in sorted(snapshot.clients.items()):
        yield from ((name, target) for target in client.targets)


def _name(target: LLMConfig, snapshot: Snapshot) -> str:
    """Return what a client's target is called: it is the very model, or one with what only the client says of it."""
    known = snapshot.models.items()
    same = (name for name, model in known if target is model)
    alike = (name for name, model in known if _as_in(target, model) == model)
    return next(chain(same, alike))


def _as_in(target: LLMConfig, model: LLMConfig) -> LLMConfig:
    """Return a client's target without times, bounds, strictness and recordings of the client's own."""
    own = replace(target, timeouts=model.timeouts, limits=model.limits, catalogue=model.catalogue)
    return replace(own, replay=model.replay, recorded=model.recorded)
