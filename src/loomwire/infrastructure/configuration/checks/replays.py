"""Clients on replay: their folders of recordings must be there and whole, and nobody may ship one by accident."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from functools import cache
from pathlib import Path

from loomwire.domain.errors import ConfigError
from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.files import UnreadableError, inside
from loomwire.infrastructure.configuration.options import OPTIONS
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.tree import ConfigTree

_SHIPPED = "Fine for tests. Remove `replay` before real work."


def replay_problems(
    tree: ConfigTree, values: Mapping[str, Plain], folder: Path, complaint: Callable[[Path], ConfigError | None]
) -> Iterator[Problem]:
    """Yield what keeps clients from answering from their recordings, and a warning for each that does.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        folder: The folder that the recordings must be in.
        complaint: Reads every recording of a folder, so that none fails in a call, and returns what is wrong.
    """
    # Many clients may answer from one folder.
    complaint = cache(complaint)
    for name, client in _entries(values, "clients").items():
        path = ("clients", name, "replay")
        named = client.get("replay")
        if not isinstance(named, str) or not named or path in tree.failed:
            continue
        offline = _types(values, client) & set(OPTIONS.values())
        if offline:
            message = f"type {min(offline)} has no network that recordings could stand for"
            yield tree.problem("out_of_range", message, path, at="key", hint="Remove `replay`.")
            continue
        yield _folder_problem(tree, path, folder, named, complaint) or tree.problem(
            "recordings",
            "the client is on replay: it answers from recordings and never asks its provider",
            path,
            at="key",
            hint=_SHIPPED,
            severity="warning",
        )


def replayed_providers(values: Mapping[str, Plain]) -> Set[str]:
    """Return the providers that some client names and every such client has on replay."""
    models = _entries(values, "models")
    asked: dict[bool, set[str]] = {True: set(), False: set()}
    for client in _entries(values, "clients").values():
        asked[bool(client.get("replay"))] |= _providers(models, client)
    return asked[True] - asked[False]


def _folder_problem(
    tree: ConfigTree, path: KeyPath, root: Path, named: str, complaint: Callable[[Path], ConfigError | None]
) -> Problem | None:
    try:
        error = complaint(inside(root, named))
    except UnreadableError as refusal:
        hint = "Name a folder below the configuration's folder, such as recordings/planner."
        return tree.problem("out_of_range", f"the folder is not allowed ({refusal})", path, hint=hint)
    if error is None:
        return None
    _, _, why = error.message.partition(": ")
    return tree.problem("recordings", why, path, hint=error.hint)


def _types(values: Mapping[str, Plain], client: Mapping[str, Plain]) -> Set[str]:
    providers = _entries(values, "providers")
    named = _providers(_entries(values, "models"), client)
    found = (providers.get(name, {}).get("type") for name in named)
    return {type_ for type_ in found if isinstance(type_, str)}


def _providers(models: Mapping[str, Mapping[str, Plain]], client: Mapping[str, Plain]) -> set[str]:
    wanted = client.get("models")
    named = wanted if isinstance(wanted, list) else []
    found = (models.get(model, {}).get("provider") for model in named if isinstance(model, str))
    return {provider for provider in found if isinstance(provider, str)}


def _entries(values: Mapping[str, Plain], section: str) -> dict[str, Mapping[str, Plain]]:
    found = values.get(section)
    entries = found.items() if isinstance(found, Mapping) else ()
    return {name: entry for name, entry in entries if isinstance(entry, Mapping)}
