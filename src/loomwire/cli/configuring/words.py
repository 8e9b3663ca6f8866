"""How values and where they came from read in a terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loomwire.cli.output import json_text

if TYPE_CHECKING:
    from loomwire.domain.values import JSON
    from loomwire.infrastructure.configuration.origins.keys import KeyPath
    from loomwire.infrastructure.configuration.origins.origins import Answer

_NARROW, _WIDE = 40, 160
_SIZES: Final = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_COUNTED: Final = frozenset({"seconds", "milliseconds", "tokens", "calls", "threads", "layers"})
_UNITLESS: Final = ("none", "share", "count", "ratio", "levels")


def width() -> int:
    """Return how many columns there are."""
    return max(_NARROW, min(shutil.get_terminal_size().columns, _WIDE))


def value_words(value: JSON, unit: str | None = None) -> str:
    """Return a value on one line, with its unit where it has one."""
    if isinstance(value, str):
        return value if value.isprintable() and value == value.strip() and value else json.dumps(value)
    if isinstance(value, list):
        return f"[{', '.join(value_words(item) for item in value)}]"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value, unit)
    return "not set" if value is None else json_text(value)


def fitted(text: str, room: int) -> str:
    """Return a text that fits into so many columns."""
    return text if len(text) <= room else text[: max(room - 1, 0)] + "…"


def origin_words(answer: Answer, key: KeyPath, root: Path) -> str:
    """Return where a value came from.

    Args:
        answer: Who said it.
        key: The key that was asked for.
        root: The configuration folder, which need not be named again.
    """
    asked = "" if answer.key == key or answer.kind == "default" else f"{'.'.join(answer.key)}, "
    return asked + _source(answer, root)


def _source(answer: Answer, root: Path) -> str:
    if answer.file is not None:
        through = f" ({', '.join(answer.through)})" if answer.through else ""
        return f"{_below(answer.file, root)}:{answer.line}:{answer.column}{through}"
    said = {
        "environment": f"environment variable {answer.variable}",
        ".env": f"{answer.variable} in .env",
        "secret file": f"the file that {answer.variable} names",
        "provider type": f"type {answer.type}",
    }
    return said.get(answer.kind, "default")


def _below(file: str, root: Path) -> str:
    path = Path(file)
    return path.relative_to(root).as_posix() if root != path and path.is_relative_to(root) else path.name


def _size(value: float) -> str:
    fit = ((unit, size) for unit, size in _SIZES if value >= size and value % size == 0)
    unit, size = next(fit, ("bytes", 1))
    return f"{value // size:.0f} {unit}"


def _number(value: float, unit: str | None) -> str:
    if unit == "bytes":
        return _size(value)
    number = str(value).removesuffix(".0")
    if unit is None or unit.startswith(_UNITLESS):
        return number
    return f"{number} {unit.removesuffix('s') if value == 1 and unit in _COUNTED else unit}"
