"""Which speaker answers a path: the dialects of the provider table, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module

from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing.speaking import Speaker
from loomwire.testing.wire import HttpReply


@cache
def speaker_of(dialect: str) -> Speaker:
    """Return the speaker of a dialect.

    Raises:
        KeyError: The table has no such dialect.
    """
    module, _, name = DIALECTS[dialect].speaker.partition(":")
    made: Speaker = getattr(import_module(module), name)()
    return made


@lru_cache(maxsize=64)
def speaker_for(path: str) -> Speaker | None:
    """Return the speaker of the dialect that a path belongs to, its query ignored, or None."""
    plain = path.partition("?")[0]
    return next((speaker for speaker in map(speaker_of, DIALECTS) if speaker.serves(plain)), None)


def listing_for(path: str, models: Sequence[str]) -> HttpReply | None:
    """Return the list of models as the first dialect words it that has one at a path, or None."""
    listings = (speaker_of(dialect).listing(path, models) for dialect in DIALECTS)
    return next((listing for listing in listings if listing is not None), None)
