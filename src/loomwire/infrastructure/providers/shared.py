"""What the targets of one factory have in common: worked out once, although a configuration has a thousand of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, TypeVar

from loomwire.domain.capabilities import ModelCapabilities

KEPT: Final = 256
"""How many of each kind are remembered; the oldest makes room. Whoever has more is served as well, only slower."""

K = TypeVar("K")
V = TypeVar("V")


class Shared:
    """Remembers what was worked out for targets. Immutable things only; threads may share it."""

    __slots__ = ("_endpoints", "_facts")

    def __init__(self) -> None:
        """Remember nothing yet."""
        self._facts: dict[tuple[int, int], tuple[ModelCapabilities, ModelCapabilities, ModelCapabilities]] = {}
        self._endpoints: dict[tuple[str, bool], str] = {}

    def capabilities(self, own: ModelCapabilities, row: ModelCapabilities) -> ModelCapabilities:
        """Return a target's capabilities with the gaps filled from its provider's row, and who says so with each.

        What has no gap and says everywhere who says so comes back as the same object.
        """
        # By identity: an operator's free facts need not hash, and 1 and True would be the same to a mapping. The value
        # holds both keys' objects, so that no later ones can get their ids.
        known = self._facts.get((id(own), id(row)))
        if known is None:
            merged = _sourced(own).over(row.stated_by("provider"))
            known = own, row, own if merged == own else merged
            _keep(self._facts, (id(own), id(row)), known)
        return known[2]

    def endpoint(self, base_url: str, *, allow_private: bool) -> str:
        """Return scheme, host and port of a base URL.

        Raises:
            ConfigError: The URL is not allowed; see `split_base_url`.
        """
        known = self._endpoints.get((base_url, allow_private))
        if known is None:
            from loomwire.infrastructure.transport.addresses import split_base_url

            known = split_base_url(base_url, allow_private=allow_private)[0].endpoint
            _keep(self._endpoints, (base_url, allow_private), known)
        return known


def _keep(known: dict[K, V], key: K, value: V) -> None:
    if len(known) >= KEPT:
        # Of a copy, because another thread may add to it meanwhile.
        known.pop(next(iter(known.copy())), None)
    known[key] = value


def _sourced(capabilities: ModelCapabilities) -> ModelCapabilities:
    # Facts given in code carry no source; they are the operator's own word.
    stated = capabilities.stated_by("yaml")
    return replace(capabilities, sources={**stated.sources, **capabilities.sources})
