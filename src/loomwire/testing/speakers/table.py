"""Which speaker answers a path: the dialects of the provider table, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import chain

from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing.speakers.counting.shapes import COUNT_SHAPES
from loomwire.testing.speakers.counting.speaker import CountSpeaker
from loomwire.testing.speakers.vectors.shapes import SHAPES
from loomwire.testing.speakers.vectors.speaker import VectorSpeaker
from loomwire.testing.speaking import Speaker
from loomwire.testing.wire import HttpReply


@cache
def speaker_of(dialect: str) -> Speaker:
    """Return the speaker of a dialect.

    Raises:
        KeyError: The table has no such dialect.
    """
    return speaker_at(DIALECTS[dialect].speaker)


@cache
def speaker_at(place: str) -> Speaker:
    """Return the speaker that stands at `module:Class`, always the same one."""
    module, _, name = place.partition(":")
    made: Speaker = getattr(import_module(module), name)()
    return made


@lru_cache(maxsize=64)
def speaker_for(path: str, further: tuple[str, ...] = ()) -> Speaker | None:
    """Return the speaker of the dialect that a path belongs to, its query ignored, or None.

    Args:
        path: Of a request.
        further: Speakers that are asked before those of the table, each as `module:Class`.
    """
    plain = path.partition("?")[0]
    speakers = chain(map(speaker_at, further), map(speaker_of, DIALECTS), _further_speakers())
    return next((speaker for speaker in speakers if speaker.serves(plain)), None)


@cache
def _further_speakers() -> Sequence[Speaker]:
    vectors = [VectorSpeaker(shape, speaker_of(shape.dialect)) for shape in SHAPES]
    return [*vectors, *(CountSpeaker(shape, speaker_of(shape.dialect)) for shape in COUNT_SHAPES)]


def listing_for(path: str, models: Sequence[str], further: tuple[str, ...] = ()) -> HttpReply | None:
    """Return the list of models as the first dialect words it that has one at a path, or None."""
    # Several dialects list at /models; this place is Google's alone.
    dialects = ("gemini",) if path.endswith("/v1beta/models") else DIALECTS
    speakers = chain(map(speaker_at, further), map(speaker_of, dialects))
    listings = (speaker.listing(path, models) for speaker in speakers)
    return next((listing for listing in listings if listing is not None), None)
