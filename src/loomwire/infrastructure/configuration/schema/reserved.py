"""What the schema promises and this release does not act on yet: never ignored silently.

An error where ignoring it would be dangerous (nobody would stop the spending), a warning where it is harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.blocks import Reload

IsAbsent: TypeAlias = Callable[[Plain], bool]
"""Tells whether a value asks for nothing but what happens anyway."""


@dataclass(frozen=True, slots=True)
class Reserved:
    """One key that is not in force.

    Attributes:
        path: The keys down to it; `*` stands for every name.
        severity: How bad it would be to ignore it.
        says: What happens instead.
        is_absent: Values that are fine, because they ask for what happens anyway.
        partly: Much of what the key can say is in force.
    """

    path: tuple[str, ...]
    severity: Literal["error", "warning"]
    says: str
    is_absent: IsAbsent
    partly: bool = False


def _empty(value: Plain) -> bool:
    return not value


def _one_of(*fine: Plain) -> IsAbsent:
    return lambda value: value in fine


_NOTHING_STOPS = "nothing would stop the spending"
_QUIET_MS = Reload.model_construct().quiet_ms
_NOT_LOOKED_AFTER = "this release does not do it yet"

NOT_YET: Final[tuple[Reserved, ...]] = (
    Reserved(("budgets",), "error", _NOTHING_STOPS, _empty),
    Reserved(("clients", "*", "pool"), "error", "nothing would choose a model; list them in `models`", _empty),
    Reserved(("events",), "error", "no event would be sent", _empty),
    Reserved(("hooks",), "error", "no hook would run", _empty),
    Reserved(("plugins",), "error", "no plugin would be loaded", _empty),
    Reserved(("state",), "error", "processes would share nothing", _empty),
    *(
        Reserved((*above, "pool"), "warning", "HTTP/1.1 is spoken", lambda value: not _get(value, "http2"), partly=True)
        for above in (("defaults",), ("providers", "*"), ("models", "*"))
    ),
    *(Reserved(("defaults", key), "warning", _NOT_LOOKED_AFTER, _empty) for key in ("ledger", "budget")),
    Reserved(
        ("defaults", "reload", "quiet_ms"),
        "warning",
        "20 milliseconds are waited",
        _one_of(_QUIET_MS),
    ),
)
"""Every key that is not in force."""

_BY_PLACE: Final[dict[tuple[str, ...], dict[str, Reserved]]] = {}
for _row in NOT_YET:
    _BY_PLACE.setdefault(_row.path[:-1], {})[_row.path[-1]] = _row


@dataclass(slots=True)
class Finding:
    """A reserved key that is used.

    Attributes:
        row: What it is.
        path: Where it is used first.
        more: In how many other places.
    """

    row: Reserved
    path: KeyPath
    more: int = 0


def reserved_keys(values: Mapping[str, Plain]) -> Iterator[Finding]:
    """Yield every use of a reserved key that is an error, and of the others the first with a count."""
    warned: dict[tuple[str, ...], Finding] = {}
    for row, path, value in _uses(values):
        if value is None or row.is_absent(value):
            continue
        if row.severity == "error":
            yield Finding(row, path)
        elif row.path in warned:
            warned[row.path].more += 1
        else:
            warned[row.path] = Finding(row, path)
    yield from warned.values()


def _uses(values: Mapping[str, Plain]) -> Iterator[tuple[Reserved, KeyPath, Plain]]:
    for above, rows in _BY_PLACE.items():
        for here, block in _blocks(above, values):
            # Thousands of clients times every row would be slow; few keys of a client are reserved.
            for key in rows.keys() & block.keys():
                yield rows[key], (*here, key), block[key]


def _blocks(above: tuple[str, ...], values: Mapping[str, Plain]) -> Iterator[tuple[KeyPath, Mapping[str, Plain]]]:
    found: list[tuple[KeyPath, Plain]] = [((), values)]
    for step in above:
        blocks = ((path, block) for path, block in found if isinstance(block, Mapping))
        if step == "*":
            found = [((*path, name), below) for path, block in blocks for name, below in block.items()]
        else:
            found = [((*path, step), block[step]) for path, block in blocks if step in block]
    yield from ((path, block) for path, block in found if isinstance(block, Mapping))


def _get(value: Plain, key: str) -> Plain:
    return value.get(key) if isinstance(value, Mapping) else None
