"""The ways in which vendors of one dialect differ. Data only: the provider table is read without the dialects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """How one vendor differs from its dialect. Each dialect derives its own, whose defaults are the dialect as it is.

    Fields are of JSON's types, because `options.quirks` of the configuration may override each of them.
    """
