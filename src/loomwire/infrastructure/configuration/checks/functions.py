"""Functions of the host that a configuration names: they must be there when it is read, not when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.tree import ConfigTree

_HINT = "Name it as `package.module:function`; the module is imported from where the program finds its own."


def function_problems(tree: ConfigTree, path: KeyPath, block: Plain) -> Iterator[Problem]:
    """Yield what keeps a function from being called. Its module is imported.

    Args:
        tree: Knows the places.
        path: Where the function's name stands; its last key is that of `block`.
        block: The block it stands in; it need not be valid.
    """
    named = block.get(str(path[-1])) if isinstance(block, Mapping) else None
    module, colon, name = named.partition(":") if isinstance(named, str) else ("", "", "")
    # What is no name at all is the schema's to say.
    if not module or not colon or not name:
        return
    wrong = _wrong(module, name)
    if wrong:
        yield tree.problem("unknown_name", wrong, path, hint=_HINT)


def _wrong(module: str, name: str) -> str:
    """Return what is wrong with a function, or an empty text. The names may come from a variable, so none is told."""
    try:
        found: object = importlib.import_module(module)
    except Exception as error:  # noqa: BLE001  # the host's module may raise anything
        return f"the module of this function cannot be imported ({type(error).__name__})"
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is None:
        return "the module has no such function"
    return "" if callable(found) else "this is no function"
