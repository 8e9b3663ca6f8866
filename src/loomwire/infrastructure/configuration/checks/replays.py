"""Clients on replay: their folders of recordings must be there and whole, and nobody may ship one by accident."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from functools import cache, partial
from pathlib import Path

from loomwire.domain.errors import ConfigError
from loomwire.domain.faults import Problem
from loomwire.infrastructure.configuration.files import UnreadableError, inside
from loomwire.infrastructure.configuration.options import OPTIONS
from loomwire.infrastructure.configuration.scalars import Plain
from loomwire.infrastructure.configuration.tree import ConfigTree
from loomwire.infrastructure.recordings.folder import read_folder

_SHIPPED = "Fine for tests. Remove `replay` before real work."


def replay_problems(tree: ConfigTree, values: Mapping[str, Plain], folder: Path) -> Iterator[Problem]:
    """Yield what keeps clients from answering from their recordings, and a warning for each that does.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        folder: The folder that the recordings must be in. Every recording is read, so that none fails in a call.
    """
    # Many clients may answer from one folder.
    complaint = cache(partial(_complaint, folder))
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
        if found := complaint(named):
            reason, message, hint = found
            yield tree.problem(reason, message, path, hint=hint)
            continue
        yield tree.problem(
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


def _complaint(root: Path, named: str) -> tuple[str, str, str] | None:
    """Return what is wrong with a folder, as reason, message and hint."""
    try:
        read_folder(inside(root, named))
    except UnreadableError as error:
        hint = "Name a folder below the configuration's folder, such as recordings/planner."
        return "out_of_range", f"the folder is not allowed ({error})", hint
    except ConfigError as error:
        return "recordings", error.message.partition(": ")[2], error.hint
    return None


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
