"""Model servers of this process that are none."""

from __future__ import annotations

from typing_extensions import override

from loomwire.domain.values import Secret
from loomwire.infrastructure.local.engine import Engine


class Pretended(Engine):
    """A server of somebody else, in place of llama.cpp."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.key = Secret("engine-key")

    @override
    def stop(self) -> None: ...

    @override
    def abandon(self) -> None: ...
