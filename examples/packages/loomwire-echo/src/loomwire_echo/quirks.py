"""In what servers that speak Echo differ. Data only, so that reading a configuration imports no dialect."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire.dialects import Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class EchoQuirks(Quirks):
    """How one server differs; `options.quirks` of a configuration can override each.

    Attributes:
        most: The field for the longest answer.
        sealed: Thinking goes back with its seal; servers of the first generation refuse it.
    """

    most: str = "most"
    sealed: bool = True
