"""Indexes by name, and the packages behind them. Imports neither numpy nor usearch before one is made."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from typing_extensions import override

from loomwire.domain.caching.policies import CacheIndex
from loomwire.domain.errors import ConfigError
from loomwire.domain.ports.caching.similarity import ISimilarityIndex, ISimilarityIndexes


class SimilarityIndexes(ISimilarityIndexes):
    """Makes the indexes that a configuration can name.

    Args:
        has: Whether a package is installed.
    """

    def __init__(self, has: Callable[[str], object] = find_spec) -> None:
        """Make nothing yet."""
        self._has = has

    @override
    def check(self, kind: CacheIndex) -> None:
        for package, extra in (("numpy", "semantic"), ("usearch", "usearch"))[: 1 + (kind == "usearch")]:
            if not self._has(package):
                says = f"cache.semantic needs the package {package}, which is not installed"
                raise ConfigError(says, reason="out_of_range", hint=f'pip install "loomwire[{extra}]"')

    @override
    def index(self, kind: CacheIndex, dimensions: int) -> ISimilarityIndex:
        if kind == "usearch":
            from loomwire.infrastructure.vectors.usearch_index import UsearchIndex

            return UsearchIndex(dimensions)
        from loomwire.infrastructure.vectors.numpy_index import NumpyIndex

        return NumpyIndex(dimensions)
