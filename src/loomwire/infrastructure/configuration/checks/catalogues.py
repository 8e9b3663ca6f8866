"""A catalogue of the operator's own: its folder must be there, and its files whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.scalars import Plain
from loomwire.infrastructure.configuration.tree import ConfigTree

CatalogueCheck: TypeAlias = Callable[[Path], str | None]
"""Says what is wrong with a folder, as a sentence, or None."""


def catalogue_problems(
    tree: ConfigTree, values: Mapping[str, Plain], folder: Path, check: CatalogueCheck
) -> Iterator[Problem]:
    """Yield what keeps a catalogue of the operator's own from being read.

    Args:
        tree: Knows the places.
        values: The whole configuration; it need not be valid.
        folder: The configuration's folder, as seen from which the catalogue is.
        check: Says what is wrong with a folder.
    """
    block = values.get("catalogue")
    named = block.get("path") if isinstance(block, Mapping) else None
    path = ("catalogue", "path")
    if not isinstance(named, str) or not named or path in tree.failed:
        return
    wrong = check(folder / named)
    if wrong is not None:
        hint = "Name a folder that tools/refresh_catalogue.py --out has written, or remove `path`."
        yield tree.problem("out_of_range", wrong, path, hint=hint)
