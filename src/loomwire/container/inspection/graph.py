"""The parts of a container and who needs whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from loomwire.container.inspection.parts import Part

if TYPE_CHECKING:
    from dependency_injector import containers, providers


class WiringGraph:
    """Reads the providers of a container as they stand now, overrides included; nothing is built.

    Args:
        wiring: The container.

    Attributes:
        parts: The parts by name.
    """

    def __init__(self, wiring: containers.Container) -> None:
        """Read the container's providers."""
        parts: dict[str, Part] = {}
        self._names: dict[int, str] = {}
        for name, provider in wiring.providers.items():
            part = parts[name] = Part(provider)
            self._names[id(provider)] = self._names[id(part.provider)] = name
        self.parts: Mapping[str, Part] = parts

    def edges(self) -> Iterator[tuple[str, str]]:
        """Deliver (who, needs whom) for every need of a named part."""
        for name, part in self.parts.items():
            for needed in part.needs:
                yield name, self.name(needed)

    def circles(self) -> Iterator[tuple[str, ...]]:
        """Deliver the names along every way that leads back to its start, the start at both ends."""
        needs: dict[str, list[str]] = {}
        for who, whom in self.edges():
            needs.setdefault(who, []).append(whom)
        done: set[str] = set()
        for name in needs:
            yield from _circles(name, (), needs, done)

    def name(self, provider: providers.Provider[Any]) -> str:
        """Return the name of the part that a provider is, or leads to."""
        return self._names.get(id(provider)) or self._names.get(id(Part(provider).provider), "(unnamed)")

    def mermaid(self) -> str:
        """Return the graph as a Mermaid flow chart."""
        lines = ["flowchart LR", *(f"    {name}" for name in self.parts)]
        return "\n".join([*lines, *(f"    {who} --> {whom}" for who, whom in self.edges())])


def _circles(
    name: str, path: tuple[str, ...], needs: Mapping[str, list[str]], done: set[str]
) -> Iterator[tuple[str, ...]]:
    if name in path:
        yield (*path[path.index(name) :], name)
    elif name not in done:
        for needed in needs.get(name, ()):
            yield from _circles(needed, (*path, name), needs, done)
        done.add(name)
