"""The same conversation to the same target, for prompt caches and for comparing two models."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Final

from typing_extensions import override

from loomwire.domain.ports.selector import Candidate, IModelSelector, Load
from loomwire.domain.requests import LLMRequest

_ALL: Final = 2.0**64


class Sticky(IModelSelector):
    """Gives every session, else every tenant, an order of its own that no reload, restart or other process changes.

    By rendezvous hashing: when a candidate comes or goes, only those change whose place it is. Weights say how many get
    which. A request without a session and a tenant is put into order by `otherwise`.

    Args:
        otherwise: The rule for requests that belong to nobody.
    """

    __slots__ = ("_otherwise",)

    def __init__(self, otherwise: IModelSelector) -> None:
        """Keep the rule."""
        self._otherwise = otherwise

    @override
    def order(self, request: LLMRequest, candidates: Sequence[Candidate], loads: Sequence[Load]) -> Sequence[int]:
        mine = _owner(request)
        if mine is None:
            return self._otherwise.order(request, candidates, loads)
        names = [candidate.name for candidate in candidates]
        # A model that is listed twice, with other parameters, is two to choose from.
        told = [f"{name}\0{names[:at].count(name)}" for at, name in enumerate(names)]
        scores = [_distance(f"{mine}\0{name}", one.weight) for name, one in zip(told, candidates, strict=True)]
        return sorted(range(len(scores)), key=scores.__getitem__)


def _owner(request: LLMRequest) -> str | None:
    # Marked, so that a tenant and a session of one name are two; a session belongs to its tenant.
    if request.session is not None:
        return f"session\0{request.tenant or ''}\0{request.session}"
    return None if request.tenant is None else f"tenant\0{request.tenant}"


def _distance(said: str, weight: float) -> float:
    # By names and numbers and never by a key itself, which may be rotated.
    digest = hashlib.blake2b(said.encode(errors="surrogatepass"), digest_size=8).digest()
    return -math.log((int.from_bytes(digest, "big") + 0.5) / _ALL) / weight
