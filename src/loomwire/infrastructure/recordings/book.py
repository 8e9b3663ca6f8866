"""The recordings of a folder as something that can be asked: who answers this request, and who was never asked."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from loomwire.domain.errors import LLMError, llm_error
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.recordings.exchange import Answered, Asked
from loomwire.infrastructure.recordings.folder import Stored
from loomwire.infrastructure.recordings.matching import (
    MOST_DIFFERENCES,
    Key,
    asked_of,
    differences,
    key_of,
    place,
    url_of,
)
from loomwire.infrastructure.recordings.scrubbing import Scrubber

_MOST_COMPARED: Final = 200
_MOST_SHOWN: Final = 8


class _Shelf:
    """The recordings of equal requests, in the order in which they were made."""

    __slots__ = ("_turns", "stored")

    def __init__(self) -> None:
        self.stored: list[Stored] = []
        self._turns: Iterator[int] = itertools.count()

    def next(self, *, repeat: bool) -> Stored | None:
        """Return the exchange whose turn it is; after the last one that again, or None."""
        # One step of a C iterator: no two threads get the same turn, without a lock that a fork could inherit.
        turn = next(self._turns)
        if turn < len(self.stored):
            return self.stored[turn]
        return self.stored[-1] if repeat else None


class Book:
    """Finds recordings. Safe to share by threads and event loops; reads nothing after it is made.

    Args:
        folder: The folder, for errors; only its name is shown.
        stored: Its recordings, in order.
        repeat: Whether the last answer to a request is given again when all were given; else that is an error.
    """

    __slots__ = ("_name", "_repeat", "_shelves", "_stored", "_used")

    def __init__(self, folder: Path, stored: Iterable[Stored], *, repeat: bool) -> None:
        """Sort the recordings by request."""
        self._name = folder.name
        self._repeat = repeat
        self._stored = tuple(stored)
        self._shelves: dict[Key, _Shelf] = {}
        self._used: set[str] = set()
        for each in self._stored:
            self._shelves.setdefault(key_of(each.exchange.asked), _Shelf()).stored.append(each)

    def answer(self, request: WireRequest, base_url: str) -> Answered | None:
        """Return the next recorded answer to a request, or None when there is no recording of it.

        Raises:
            LLMError: reason no_recording, when all recordings of it were used and none may be repeated.
        """
        shelf = self._shelf(request, base_url)
        if shelf is None:
            return None
        found = shelf.next(repeat=self._repeat)
        if found is None:
            raise self._used_up(shelf)
        self._used.add(found.name)
        return found.exchange.answered

    def missing(self, request: WireRequest, base_url: str) -> LLMError:
        """Return the error for a request without a recording; its hint names the nearest one. Not raised."""
        asked = asked_of(request, base_url, _scrubber(request, base_url))
        message = f"no recording in {self._name!r} answers {place(asked)}"
        found = self._nearest(asked)
        how = 'Record it with Recorder(folder, mode="auto").'
        if found is None:
            return llm_error("no_recording", message, hint=how, phase="connect")
        near, paths = found
        shown = ", ".join(paths[:_MOST_SHOWN])
        most = f"{len(paths)} or more" if len(paths) >= MOST_DIFFERENCES else f"{len(paths)}"
        rest = f" and others, {most} in all" if len(paths) > _MOST_SHOWN else ""
        hint = f"The nearest is {near.name}; it differs in {shown}{rest}. {how}"
        return llm_error("no_recording", message, hint=hint, phase="connect")

    def unused(self) -> tuple[str, ...]:
        """Return the names of the recordings that answered nothing so far, in order."""
        return tuple(each.name for each in self._stored if each.name not in self._used)

    def _shelf(self, request: WireRequest, base_url: str) -> _Shelf | None:
        shelf = self._shelves.get(key_of(asked_of(request, base_url)))
        if shelf is None:
            # What was taken out when it was recorded is taken out of the request too, before they are compared.
            shelf = self._shelves.get(key_of(asked_of(request, base_url, _scrubber(request, base_url))))
        return shelf

    def _nearest(self, asked: Asked) -> tuple[Stored, list[str]] | None:
        here = place(asked)
        same = [each for each in self._stored if place(each.exchange.asked) == here]
        compared = [(each, differences(asked, each.exchange.asked)) for each in (same or self._stored)[:_MOST_COMPARED]]
        # Two bodies that differ as a whole have nothing in common.
        return min(compared, key=lambda pair: ("$" in pair[1], len(pair[1])), default=None)

    def _used_up(self, shelf: _Shelf) -> LLMError:
        first, count = shelf.stored[0], len(shelf.stored)
        times = "once" if count == 1 else f"{count} times"
        message = f"the recorded answer {first.name} in {self._name!r} was used {times}, as often as it was recorded"
        hint = 'Record the workflow anew with mode="record", or let the last answer repeat with repeat=True.'
        return llm_error("no_recording", message, hint=hint, phase="connect")


def _scrubber(request: WireRequest, base_url: str) -> Scrubber:
    return Scrubber(request.headers, url_of(request, base_url))
