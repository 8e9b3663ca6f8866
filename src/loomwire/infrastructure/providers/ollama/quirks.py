"""The ways in which servers of Ollama's chat may differ. Data only: the provider table is read without the dialect."""

from __future__ import annotations

from dataclasses import dataclass

from loomwire.infrastructure.providers.quirks import Quirks


@dataclass(frozen=True, slots=True, kw_only=True)
class OllamaQuirks(Quirks):
    """How one server's chat differs from a present Ollama's.

    Args:
        call_ids: Tool calls and their results carry ids; without, the tool's name and the order pair them.
        think_levels: `think` may say how much; else it is switched on or off only.
    """

    call_ids: bool = True
    think_levels: bool = True
