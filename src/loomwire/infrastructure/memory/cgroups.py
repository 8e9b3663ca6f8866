"""What the control group of this process allows: version 1, version 2, and both side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

PROCESS: Final = Path("/proc/self/cgroup")
MOUNT: Final = Path("/sys/fs/cgroup")

_NO_LIMIT: Final = 1 << 60
"""Bytes from which on a number means that there is no limit; version 1 writes about 2**63."""


@dataclass(frozen=True, slots=True)
class GroupMemory:
    """What the tightest group on the way up allows.

    Attributes:
        limit_bytes: What all processes of the group may take together.
        available_bytes: What is left of it; None when the group does not say what it takes.
    """

    limit_bytes: int
    available_bytes: int | None


def group_memory(process: Path = PROCESS, mount: Path = MOUNT) -> GroupMemory | None:
    """Return what the groups of this process allow; None without a limit, and where there are no groups.

    The least limit counts of those on the way from the group to the root. In a container that sees only its own group
    the path leads nowhere, and the root is the group. Reads files; raises nothing.

    Args:
        process: Says which groups the process is in.
        mount: Where groups are mounted.
    """
    found = [memory for folder, rule in _folders(process, mount) if (memory := _memory(folder, rule)) is not None]
    return min(found, key=lambda memory: memory.limit_bytes, default=None)


@dataclass(frozen=True, slots=True)
class _Rule:
    """How a version names its files."""

    limits: tuple[str, ...]
    usage: str


_FIRST: Final = _Rule(("memory.limit_in_bytes",), "memory.usage_in_bytes")
_SECOND: Final = _Rule(("memory.max", "memory.high"), "memory.current")


def _folders(process: Path, mount: Path) -> Iterator[tuple[Path, _Rule]]:
    for line in _text(process).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            # Beside version 1 the second has a folder of its own.
            for root in (mount, mount / "unified"):
                yield from ((folder, _SECOND) for folder in _way_up(root, path))
        elif "memory" in controllers.split(","):
            yield from ((folder, _FIRST) for folder in _way_up(mount / "memory", path))


def _way_up(root: Path, path: str) -> Iterator[Path]:
    parts = PurePosixPath(path.lstrip("/")).parts
    # A group outside of the namespace is shown as /../other: nothing of it can be seen from here.
    names = () if ".." in parts else parts
    for count in range(len(names), -1, -1):
        yield root.joinpath(*names[:count])


def _memory(folder: Path, rule: _Rule) -> GroupMemory | None:
    limits = [limit for name in rule.limits if (limit := _number(folder / name)) is not None]
    if not limits:
        return None
    limit, usage = min(limits), _number(folder / rule.usage)
    return GroupMemory(limit, None if usage is None else max(0, limit - usage))


def _number(path: Path) -> int | None:
    said = _text(path).strip()
    # "max" is no limit, and 0 is what nobody could live with.
    return int(said) if said.isascii() and said.isdigit() and 0 < int(said) < _NO_LIMIT else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
