"""Overrides from the environment: `LOOMWIRE__CLIENTS__PLANNER__RETRY__ATTEMPTS=5`.

Segments are matched to keys that exist, in the YAML or in the schema, with `-` = `_` and without regard to case, so
that a misspelt or half-matching name never adds a client silently: what matches nothing is reported.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import Secret
from loomwire.infrastructure.configuration.documents import nearest
from loomwire.infrastructure.configuration.files import UnreadableError, read_regular
from loomwire.infrastructure.configuration.injection import InjectionError, Injector
from loomwire.infrastructure.configuration.scalars import CoreScalar, KeyPath, Plain, core_scalar
from loomwire.infrastructure.configuration.schema.secrecy import dotted, is_sealed
from loomwire.infrastructure.configuration.schema.settings import known_keys

PREFIX: Final = "LOOMWIRE__"
_MAX_DOTENV = 1024 * 1024
_FILE = "_FILE"


def read_dotenv(root: Path) -> Mapping[str, str]:
    """Return the variables of the folder's `.env`; none when there is no such file.

    Values are taken as they are: `${...}` in them is not expanded.
    """
    try:
        data = read_regular(root / ".env", _MAX_DOTENV)
    except UnreadableError:
        return {}
    from dotenv import dotenv_values  # a part of pydantic-settings; only where there is such a file

    values = dotenv_values(stream=io.StringIO(data.decode(errors="replace")), interpolate=False)
    return {name: value for name, value in values.items() if value is not None}


@dataclass(slots=True)
class Overrides:
    """What variables say about keys.

    Attributes:
        layers: Nested values of the environment, of `.env` and of secret files, strongest first.
        origins: For every overridden path, the variable it comes from.
        problems: Variables that match nothing, as warnings, and values that cannot be used.
    """

    layers: tuple[dict[str, Plain], dict[str, Plain], dict[str, Plain]] = field(default_factory=lambda: ({}, {}, {}))
    origins: dict[KeyPath, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def find_overrides(sources: Sequence[Mapping[str, str]], values: Mapping[str, Plain], injector: Injector) -> Overrides:
    """Match the variables of the environment and of `.env` to keys.

    Args:
        sources: The environment, then `.env`.
        values: What the YAML says.
        injector: Reads secret files, and remembers what was used.
    """
    found = Overrides()
    for layer, source in zip(found.layers, sources, strict=False):
        for name in sorted(name for name in source if name.startswith(PREFIX)):
            segments = name[len(PREFIX) :].split("__")
            path, rest = _matched(segments, values)
            if not rest:
                _put(found, layer, path, name, source[name], injector)
                continue
            unsuffixed = [*segments[:-1], segments[-1].removesuffix(_FILE)]
            path_of_file, missing = _matched(unsuffixed, values)
            if segments[-1].endswith(_FILE) and not missing:
                _put_file(found, path_of_file, name, source[name], injector)
            else:
                found.problems.append(_stray(name, path, rest, values))
    return found


def overlay(below: Plain, above: Plain) -> Plain:
    """Return two values merged key by key, the one above winning."""
    if not isinstance(below, Mapping) or not isinstance(above, Mapping):
        return above
    merged = dict(below)
    for key, value in above.items():
        merged[key] = overlay(below[key], value) if key in below else value
    return merged


def _matched(segments: Sequence[str], values: Plain) -> tuple[KeyPath, list[str]]:
    """Return the keys that the segments stand for, and the segments left over."""
    path: KeyPath = ()
    rest = list(segments)
    while rest:
        keys = _keys_at(path, values)
        # A name may hold `__` itself, so more than one segment may stand for one key.
        joined = ("__".join(rest[:count]) for count in range(1, len(rest) + 1))
        step = next((key for word in joined if (key := _key_for(word, keys)) is not None), None)
        if step is None:
            break
        rest = rest[step.count("__") + 1 :]
        path = (*path, step)
        values = values.get(step) if isinstance(values, Mapping) else None
    return path, rest


def _keys_at(path: KeyPath, values: Plain) -> list[str]:
    written = list(values) if isinstance(values, Mapping) else []
    return list(dict.fromkeys([*written, *known_keys(path)]))


def _key_for(word: str, keys: Iterable[str]) -> str | None:
    """Return the one key a word stands for; None when there is none, or when it is not clear which."""
    lower = word.lower()
    alike = [key for key in keys if key.lower().replace("-", "_") == lower.replace("-", "_")]
    exact = [key for key in alike if key.lower() == lower]
    return exact[0] if exact else (alike[0] if len(alike) == 1 else None)


def _stray(name: str, path: KeyPath, rest: Sequence[str], values: Plain) -> Problem:
    for step in path:
        values = values.get(str(step)) if isinstance(values, Mapping) else None
    keys = _keys_at(path, values)
    return Problem(
        "unknown_key",
        f"environment variable {name} has no effect: nothing matches `{rest[0]}`",
        dotted(path),
        suggestion=nearest(rest[0].lower().replace("-", "_"), keys),
        hint=None if keys else "Only keys and names that exist can be overridden.",
        severity="warning",
    )


def _put(found: Overrides, layer: dict[str, Plain], path: KeyPath, name: str, text: str, injector: Injector) -> None:
    try:
        injector.variable(name)
        _store(found, layer, path, Secret(text) if is_sealed(path) else _typed(text), name)
    except InjectionError as error:
        found.problems.append(Problem(error.reason, error.message, dotted(path)))
    except ValueError as error:
        found.problems.append(Problem("out_of_range", f"environment variable {name}: {error}", dotted(path)))


def _put_file(found: Overrides, path: KeyPath, name: str, file: str, injector: Injector) -> None:
    try:
        injector.variable(name)
        text = injector.secret_file(file, f"the file that {name} names cannot be read")
        _store(found, found.layers[2], path, Secret(text) if is_sealed(path) else _typed(text), name)
    except InjectionError as error:
        found.problems.append(Problem(error.reason, error.message, dotted(path)))
    except ValueError as error:
        found.problems.append(Problem("out_of_range", f"environment variable {name}: {error}", dotted(path)))


def _store(found: Overrides, layer: dict[str, Plain], path: KeyPath, value: Plain, name: str) -> None:
    *above, last = (str(step) for step in path)
    for step in above:
        below = layer.get(step)
        if not isinstance(below, dict):
            below = layer[step] = {}
        layer = below
    layer[last] = value
    found.origins[path] = name


def _typed(text: str) -> CoreScalar:
    """Return a value as YAML would take it: without quotes it may be a number, true, false or null."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return core_scalar(text)
