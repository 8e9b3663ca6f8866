"""Ids of tool calls as a vendor takes them: those of other vendors are in the history after a fallback."""

from __future__ import annotations

import hashlib
import re

from loomwire.infrastructure.providers.wire.answer import made_up_id


def fitting_id(id: str, fits: re.Pattern[str], prefix: str = "", digits: int = 24) -> str:
    """Return an id that a vendor takes; what stands for another is alike for a call and its result, in every request.

    Args:
        id: As it came, perhaps from another vendor.
        fits: What the vendor takes, as a whole.
        prefix: Begins what stands for an id that it refuses.
        digits: How many hexadecimal digits follow the prefix.
    """
    if fits.fullmatch(id):
        return id
    return prefix + hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:digits]


def fresh_id(id: str, taken: set[str]) -> str:
    """Return a call's id when no other of the answer has it, else one that is made up; it is taken then.

    Args:
        id: As the server sent it, or "".
        taken: The ids of the answer so far; gets this one.
    """
    own = id if id and id not in taken else made_up_id()
    taken.add(own)
    return own
