"""Listens to directories through watchdog, and goes on listening when they are swapped, removed or made anew."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeAlias, final

from typing_extensions import override
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileClosedNoWriteEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from loomwire.infrastructure.watching.settling import Hint
from loomwire.infrastructure.watching.survey import Place

if TYPE_CHECKING:
    from watchdog.observers.api import BaseObserver, ObservedWatch

Hear: TypeAlias = Callable[[Hint, str], None]

STOP_S: Final = 2.0
"""Longest wait for watchdog's thread to end."""

_LOGGER = logging.getLogger("loomwire.watching")
_WATCHDOG = logging.getLogger("watchdog.observers.inotify")
_THREAD: Final = "loomwire-hints"
# The reader of inotify keeps the name that watchdog gives it: nothing public leads to that thread.
_EXHAUSTED: Final = (errno.EMFILE, errno.ENFILE, errno.ENOSPC)
# Kinds by word, and no method but on_any_event: watchdog 7 tells apart what 6 does not.
_HINTS: Final[Mapping[str, Hint]] = {
    "opened": Hint.OPENED,
    "closed_no_write": Hint.RELEASED,
    "modified": Hint.MODIFIED,
    "closed": Hint.CLOSED,
    "moved": Hint.REPLACED,
    "created": Hint.REPLACED,
    "deleted": Hint.REPLACED,
}
_COMINGS: Final[list[type[FileSystemEvent]]] = [
    *(FileCreatedEvent, FileDeletedEvent, FileMovedEvent),
    *(DirCreatedEvent, DirDeletedEvent, DirMovedEvent),
]
_CONTENTS: Final[list[type[FileSystemEvent]]] = [
    *(*_COMINGS, FileModifiedEvent, FileClosedEvent, FileOpenedEvent, FileClosedNoWriteEvent),
]


@final
class Ears:
    """Hears what happens in places. Not safe for several threads.

    Args:
        hear: Called on watchdog's thread.
        observer: Makes what listens.
    """

    def __init__(self, hear: Hear, observer: Callable[[], BaseObserver] = Observer) -> None:
        """Listen to nothing yet."""
        self._hear = hear
        self._make = observer
        self._observer: BaseObserver | None = None
        self._ears: dict[str, _Ear] = {}
        self._calm = _Calm()
        self._limit: str | None = None

    @property
    def places(self) -> int:
        """How many directories are listened to."""
        return len(self._ears)

    @property
    def limit(self) -> str | None:
        """Why some directories are not listened to, or None."""
        return self._limit

    def listen(self, places: Mapping[str, Place]) -> bool:
        """Listen to these places and no other; one that is another directory than before is listened to anew.

        Returns:
            Whether there is a new one: what happened in it until now was not heard.
        """
        for path, ear in tuple(self._ears.items()):
            place = places.get(path)
            if place is None or not ear.fits(place):
                self._forget(path, ear)
            else:
                ear.place = place
        new = [path for path in places if path not in self._ears]
        for path in new:
            self._add(path, places[path])
        return any(path in self._ears for path in new)

    def stop(self) -> None:
        """End; waits a moment for watchdog's thread."""
        observer, self._observer = self._observer, None
        self._ears.clear()
        if observer is not None:
            with suppress(OSError):  # who becomes a daemon closes every descriptor it finds, these too
                observer.stop()
                observer.join(STOP_S)
            _WATCHDOG.removeFilter(self._calm)

    def _add(self, path: str, place: Place) -> None:
        # watchdog 6 leaves descriptors behind at every refusal, so there is no second try.
        if self._limit is not None:
            return
        ear = _Ear(self._hear, path, place)
        try:
            if self._observer is None:
                observer = self._make()
                observer.name = _THREAD
                observer.start()
                _WATCHDOG.addFilter(self._calm)
                self._observer = observer
            kinds = _CONTENTS if place.contents else _COMINGS
            ear.watch = self._observer.schedule(ear, path, recursive=False, event_filter=kinds)
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._give_up(error.strerror or str(error))
            return
        except RuntimeError:
            self._give_up("no more threads")
            return
        for emitter in self._observer.emitters:
            emitter.name = f"{_THREAD}-in"
        self._ears[path] = ear

    def _give_up(self, why: str) -> None:
        self._limit = why
        _LOGGER.warning("%s: changes of the configuration are found by looking once a second", why)

    def _forget(self, path: str, ear: _Ear) -> None:
        del self._ears[path]
        if self._observer is not None and ear.watch is not None:
            try:
                self._observer.unschedule(ear.watch)
            except (KeyError, OSError):
                return  # the directory went and took its watch along


@final
class _Calm(logging.Filter):
    """Keeps from the host's log what watchdog says whenever a directory goes that it still has events of."""

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether somebody should read it."""
        return "when the thread is inactive" not in str(record.msg)


@final
class _Ear(FileSystemEventHandler):
    """Listens to one directory."""

    def __init__(self, hear: Hear, path: str, place: Place) -> None:
        self.place = place
        self.watch: ObservedWatch | None = None
        self._hear = hear
        self._path = path
        self._gone = False

    def fits(self, place: Place) -> bool:
        """Tell whether this one hears what happens in that place."""
        # A directory made anew often gets the inode number of the one that was removed.
        same = (self.place.identity, self.place.contents) == (place.identity, place.contents)
        return same and not self._gone

    @override
    def on_any_event(self, event: FileSystemEvent) -> None:
        """Pass on what matters."""
        hint = _HINTS.get(event.event_type)
        if hint is None:
            return
        for path in {os.fsdecode(event.src_path), os.fsdecode(event.dest_path)}:
            folder, name = os.path.split(path)
            if path == self._path:
                self._gone = self._gone or hint is Hint.REPLACED
                self._hear(hint, path)
            elif folder == self._path and self.place.matters(name):
                self._hear(hint, path)
