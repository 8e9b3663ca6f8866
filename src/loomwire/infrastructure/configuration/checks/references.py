"""Finds names in a configuration that nothing has, and clients that could ask nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import listed
from loomwire.infrastructure.configuration.checks.functions import function_problems
from loomwire.infrastructure.configuration.documents import Part, nearest
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.secrecy import quoted
from loomwire.infrastructure.configuration.tree import ConfigTree


def reference_problems(
    tree: ConfigTree, values: Mapping[str, Plain], known_types: Collection[str], known_dialects: Collection[str]
) -> Iterator[Problem]:
    """Yield names that nothing has, and clients that could ask nobody.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        known_types: What `type` of a provider may be.
        known_dialects: What `dialect` may be.
    """
    for name, provider in _section(values, "providers").items():
        path = ("providers", name)
        yield from unknown_names(tree, (*path, "type"), provider.get("type"), known_types, "provider type")
        yield from unknown_names(tree, (*path, "dialect"), provider.get("dialect"), known_dialects, "dialect")
        if provider.get("api_key") is not None and provider.get("keys"):
            yield tree.problem("out_of_range", "cannot stand beside `api_key`", (*path, "keys"), at="key")
    if not tree.is_broken:  # what seems to be missing may stand where we did not get
        yield from _name_problems(tree, values)


def _name_problems(tree: ConfigTree, values: Mapping[str, Plain]) -> Iterator[Problem]:
    providers, models = _section(values, "providers"), _section(values, "models")
    for name, model in models.items():
        yield from unknown_names(tree, ("models", name, "provider"), model.get("provider"), providers, "provider")
    for name, client in _section(values, "clients").items():
        yield from _client_problems(tree, name, client, models)
    for name, limit in _section(values, "limits").items():
        yield from _limit_problems(tree, name, limit, providers, models)
    if not values.get("clients"):
        hint = "Add one: `clients: {planner: {models: [...]}}`."
        yield tree.problem("missing_key", "there are no clients, so nothing could be resolved", (), hint=hint)


def _client_problems(
    tree: ConfigTree, name: str, client: Mapping[str, Plain], models: Collection[str]
) -> Iterator[Problem]:
    wanted = client.get("models")
    path = ("clients", name, "models")
    if isinstance(wanted, list):
        for place, model in enumerate(wanted):
            yield from unknown_names(tree, (*path, place), model, models, "model")
        if not wanted:
            yield tree.problem("out_of_range", "must name at least one model", path)
        yield from _weight_problems(tree, name, client.get("balance"), [str(model) for model in wanted])
    elif wanted is None and "pool" not in client and path not in tree.failed:
        yield tree.problem("missing_key", "`models` is missing", path[:2], at="key")
    yield from function_problems(tree, ("clients", name, "on_exhausted", "function"), client.get("on_exhausted"))


def _weight_problems(tree: ConfigTree, name: str, balance: Plain, wanted: list[str]) -> Iterator[Problem]:
    weights = _weights_of(balance)
    if not weights or not isinstance(balance, Mapping):
        return
    path = ("clients", name, "balance", "weights")
    if balance.get("policy") != "weighted":
        hint = "Write `policy: weighted` beside them."
        yield tree.problem("out_of_range", "only policy weighted has weights", path, at="key", hint=hint)
        return
    for model in weights:
        yield from unknown_names(tree, (*path, model), model, wanted, "model of this client", at_key=True)
    missing = next((model for model in wanted if model not in weights), None)
    # One that is missing beside one that nobody knows is most likely the same mistake.
    if missing is not None and all(model in wanted for model in weights):
        yield tree.problem("missing_key", f"there is no weight for {quoted(missing)}", path, at="key")


def _weights_of(balance: Plain) -> Collection[str]:
    weights = balance.get("weights") if isinstance(balance, Mapping) else None
    return weights if isinstance(weights, Mapping) else ()


def _limit_problems(
    tree: ConfigTree, name: str, limit: Mapping[str, Plain], providers: Collection[str], models: Collection[str]
) -> Iterator[Problem]:
    path, kind = ("limits", name), limit.get("kind")
    if name in providers and name in models and kind is None:
        which = "Add `kind: provider` or `kind: model`."
        yield tree.problem("missing_key", "a provider and a model have this name", path, at="key", hint=which)
    elif kind == "provider":
        yield from unknown_names(tree, path, name, providers, "provider", at_key=True)
    elif kind == "model":
        yield from unknown_names(tree, path, name, models, "model", at_key=True)
    else:
        yield from unknown_names(tree, path, name, [*providers, *models], "provider or model", at_key=True)


def unknown_names(
    tree: ConfigTree, path: KeyPath, name: Plain, known: Collection[str], what: str, *, at_key: bool = False
) -> Iterator[Problem]:
    """Yield a problem when nothing has a name.

    Args:
        tree: Knows the places.
        path: Where the name stands.
        name: The name; what is no text is the schema's to say.
        known: Names that something has.
        what: What should have it.
        at_key: The name is a key.
    """
    if not isinstance(name, str) or name in known or path in tree.failed:
        return
    if tree.is_injected(path) and not at_key:
        yield tree.problem("unknown_name", f"there is no {what} of the name that comes in here", path)
        return
    near = nearest(name, known)
    hint = None if near else f"Known: {_listed(known)}." if known else f"There is no {what} at all."
    message = f"there is no {what} {quoted(name)}"
    at: Part = "key" if at_key else "value"
    yield tree.problem("unknown_name", message, path, at=at, suggestion=near, hint=hint)


def _listed(names: Collection[str]) -> str:
    # The provider manager's tables say whose a name is.
    described: Callable[[], str] | None = getattr(names, "described", None)
    return listed(names) if described is None else described()


def _section(values: Mapping[str, Plain], name: str) -> dict[str, Mapping[str, Plain]]:
    section = values.get(name)
    entries = section.items() if isinstance(section, Mapping) else ()
    return {key: entry for key, entry in entries if isinstance(entry, Mapping)}
