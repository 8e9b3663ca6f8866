"""How entries and marks are named in a Redis server, and what it answers about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from loomwire.domain.caching.entries import CacheKey
from loomwire.infrastructure.caching.redis_lines import Command, LineError

MARK_BYTES: Final = 16
"""Bytes of the mark of a namespace, and of the one of everything: random, so that none ever comes back."""

GARBAGE: Final = "garbage"
"""The word for an answer that is none to its command."""

_HEX: Final = 64
_SPECIAL: Final = re.compile(r"([\\*?\[\]^-])")


class RedisKeys:
    """Names keys. Immutable.

    Everything under a prefix stands in one slot of a cluster, so that one command can read an entry and its marks.

    Args:
        prefix: What every key begins with.
    """

    def __init__(self, prefix: str) -> None:
        """Compute what never changes."""
        self._marks = f"{{{prefix}}}:1:mark"
        self._entries = f"{{{prefix}}}:1:entry:"

    def mark(self, namespace: str | None) -> bytes:
        """Return the key of the mark of a namespace, or of the one of everything."""
        return _bytes(self._marks if namespace is None else f"{self._marks}:{namespace}")

    def marks(self, namespace: str) -> tuple[bytes, bytes]:
        """Return the keys of both marks that an entry of a namespace carries."""
        return self.mark(None), self.mark(namespace)

    def entry(self, key: CacheKey) -> bytes:
        """Return the key of an entry."""
        return _bytes(f"{self._entries}{key.namespace}:{key.digest.hex()}")

    def look(self, key: CacheKey) -> Command:
        """Return the command that reads an entry and its marks."""
        return ("MGET", *self.marks(key.namespace), self.entry(key))

    def pattern(self, namespace: str | None) -> bytes:
        """Return the pattern of the keys of all entries, or of those of a namespace."""
        fixed = self._entries if namespace is None else f"{self._entries}{namespace}:"
        return _bytes(_SPECIAL.sub(r"\\\1", fixed)) + b"*"

    def read(self, name: bytes) -> CacheKey | None:
        """Return whose entry stands at a key; None when it is no key of ours."""
        text = name.decode("utf-8", "surrogatepass")
        space, colon, digest = text.removeprefix(self._entries).rpartition(":")
        if not text.startswith(self._entries) or not colon or len(digest) != _HEX:
            return None
        try:
            return CacheKey(space, bytes.fromhex(digest))
        except ValueError:
            return None


def split(answer: object) -> tuple[bytes | None, bytes | None]:
    """Return the marks in the answer to a look, and the envelope that carries them; None each where there is none.

    Raises:
        LineError: It is no answer to a look.
    """
    if not isinstance(answer, list) or len(answer) != 3:
        raise LineError(GARBAGE)
    whole, space, raw = answer
    if not isinstance(whole, bytes) or not isinstance(space, bytes):
        return None, None
    if (len(whole), len(space)) != (MARK_BYTES, MARK_BYTES):
        return None, None
    marks = whole + space
    if not isinstance(raw, bytes) or not raw.startswith(marks):
        return marks, None
    return marks, raw[len(marks) :]


def scanned(answer: object) -> tuple[bytes, Sequence[bytes]]:
    """Return where to scan on, and the keys that were found.

    Raises:
        LineError: It is no answer to SCAN.
    """
    if isinstance(answer, list) and len(answer) == 2:
        cursor, names = answer
        if isinstance(cursor, bytes) and isinstance(names, list):
            return cursor, [name for name in names if isinstance(name, bytes)]
    raise LineError(GARBAGE)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
