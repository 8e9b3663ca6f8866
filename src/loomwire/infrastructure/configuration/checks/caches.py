"""What is kept: levels that nobody configured, packages that are missing, and stand-ins that nothing keeps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.checks.references import unknown_names
from loomwire.infrastructure.configuration.files import absolute
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.tree import ConfigTree

HasPackage: TypeAlias = Callable[[str], bool]

# By what is configured: the package that does it, and the extra that brings it.
_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "redis": ("redis", "redis"),
    "numpy": ("numpy", "semantic"),
    "usearch": ("usearch", "usearch"),
}


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def cache_problems(
    tree: ConfigTree, values: Mapping[str, Plain], folder: Path, has: HasPackage = is_installed
) -> Iterator[Problem]:
    """Yield what keeps answers from being kept as the configuration says.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        folder: The configuration's folder, as seen from which the file is.
        has: Tells whether a package is installed.
    """
    places = _block(values.get("cache"))
    yield from _place_problems(tree, places, folder, has)
    usual = _keep(_block(values.get("defaults")).get("cache"))
    yield from _level_problems(tree, ("defaults", "cache"), usual, places)
    models = _block(values.get("models"))
    for name, client in _block(values.get("clients")).items():
        said = _block(client)
        keep, path = _keep(said.get("cache")), ("clients", name, "cache")
        yield from _level_problems(tree, path, keep, places)
        yield from _semantic_problems(tree, path, keep.get("semantic"), models, has)
        yield from _stale_problems(tree, name, said.get("on_exhausted"), {**usual, **keep})


def _place_problems(tree: ConfigTree, places: Mapping[str, Plain], folder: Path, has: HasPackage) -> Iterator[Problem]:
    if isinstance(places.get("redis"), Mapping):
        yield from _missing(tree, "redis", ("cache", "redis"), has)
    named = _block(places.get("disk")).get("path")
    if isinstance(named, str) and named and Path(absolute(folder / named)).is_dir():
        hint = "Name a file in it, such as cache.sqlite."
        yield tree.problem("out_of_range", "is a folder", ("cache", "disk", "path"), hint=hint)


def _level_problems(
    tree: ConfigTree, path: KeyPath, keep: Mapping[str, Plain], places: Mapping[str, Plain]
) -> Iterator[Problem]:
    levels = keep.get("levels")
    named = list(levels) if isinstance(levels, list) else []
    for place, level in enumerate(named):
        if level in ("disk", "redis") and not isinstance(places.get(str(level)), Mapping):
            hint = f"Configure it: `cache: {{{level}: ...}}`."
            yield tree.problem("missing_key", f"there is no `cache.{level}`", (*path, "levels", place), hint=hint)
        elif level in named[:place]:
            yield tree.problem("defined_twice", "this level stands here twice", (*path, "levels", place))


def _semantic_problems(
    tree: ConfigTree, path: KeyPath, said: Plain, models: Mapping[str, Plain], has: HasPackage
) -> Iterator[Problem]:
    if not isinstance(said, Mapping):
        return
    if not tree.is_broken:
        yield from unknown_names(tree, (*path, "semantic", "model"), said.get("model"), models, "model")
    index = said.get("index", "numpy")
    for package in dict.fromkeys(("numpy", str(index))):
        yield from _missing(tree, package, (*path, "semantic"), has)


def _stale_problems(tree: ConfigTree, name: str, exhausted: Plain, keep: Mapping[str, Plain]) -> Iterator[Problem]:
    mode = exhausted.get("mode") if isinstance(exhausted, Mapping) else exhausted
    if mode == "stale_cache" and keep.get("mode") == "off":
        hint = "Let it keep answers (`cache: {mode: always}`), or take another mode."
        path = ("clients", name, "on_exhausted")
        yield tree.problem("out_of_range", "this client keeps no answer that could stand in", path, at="key", hint=hint)


def _missing(tree: ConfigTree, what: str, path: KeyPath, has: HasPackage) -> Iterator[Problem]:
    package, extra = _EXTRAS.get(what, ("", ""))
    if package and not has(package):
        hint = f'pip install "loomwire[{extra}]"'
        yield tree.problem(
            "out_of_range", f"needs the package {package}, which is not installed", path, at="key", hint=hint
        )


def _keep(said: Plain) -> Mapping[str, Plain]:
    return {"mode": said} if isinstance(said, str) else _block(said)


def _block(value: Plain) -> Mapping[str, Plain]:
    return value if isinstance(value, Mapping) else {}
