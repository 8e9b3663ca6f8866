"""How a model's name leads to the entry that is about it: exactly, written in another way, or as one of its family.

An alias is the very model, so everything holds for it. A family shares abilities, and never prices. Where a name only
begins like a known one, nothing that could refuse a call is taken over: neither a no nor a limit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

_BEFORE: Final = ("models/", "publishers/google/models/", "publishers/anthropic/models/")
_REGION: Final = re.compile(r"^(?:us|eu|apac|global|jp|au|ca|in|us-gov)\.(?=[a-z0-9]+\.)")
_DATE: Final = re.compile(r"[-@](?:20\d{2}-[01]\d-[0-3]\d|20\d{2}[01]\d[0-3]\d|2[3-9][01]\d|latest)$")
_VERSION: Final = re.compile(r"-v\d+(?::\d+)?$")
_VARIANT: Final = re.compile(r":[a-z][a-z-]*$")
_SEARCHES: Final = re.compile(r"(?:^|[-/])(?:search-preview|search-api|pro-search|deep-research|sonar)(?=[-:@]|$)")
_SHORTEST: Final = 4


@dataclass(frozen=True, slots=True)
class Match:
    """An entry that is about a model.

    Attributes:
        id: The entry's name.
        kind: exact and alias are the model itself, dated and tuned one of its family, begins only looks like it.
    """

    id: str
    kind: Literal["exact", "alias", "dated", "tuned", "begins"]

    @property
    def rule(self) -> str:
        """The rule in words."""
        words = {"alias": "alias of", "dated": "family of", "tuned": "fine-tuned from", "begins": "begins like"}
        return "exact" if self.kind == "exact" else f"{words[self.kind]} {self.id}"


def always_searches(model: str) -> bool:
    """Tell whether a model searches the web in every call, for a fee that tokens do not say.

    Args:
        model: Its name, such as `sonar` or `gpt-4o-search-preview`.
    """
    return _SEARCHES.search(model.lower()) is not None


def matched(known: Collection[str], model: str) -> Match | None:
    """Return the best entry for a model, or None.

    Args:
        known: The names of all entries of one vendor.
        model: The model's name, as its operator writes it.
    """
    return next((match for match in _matches(known, model) if match.id in known), None)


def _matches(known: Collection[str], model: str) -> Iterator[Match]:
    yield Match(model, "exact")
    plain = _plain(model)
    yield from (Match(name, "alias") for name in _spellings(plain))
    if plain.startswith("ft:"):
        yield from _tuned(known, plain)
        return
    bare = _VARIANT.sub("", _REGION.sub("", plain))
    if bare != plain:
        yield Match(bare, "dated")
    stem = _DATE.sub("", _VERSION.sub("", bare))
    if stem != bare:
        yield Match(stem, "dated")
    newest = _newest(known, stem)
    if newest is not None:
        yield Match(newest, "dated")
    yield from (Match(name, "begins") for name in _beginnings(known, stem))


def _plain(model: str) -> str:
    name = model.strip().lower()
    for before in _BEFORE:
        name = name.removeprefix(before)
    return name


def _spellings(name: str) -> Iterator[str]:
    yield name
    # Vertex writes its dates with @, everybody else with -.
    yield name.replace("@", "-")
    head, dash, tail = name.rpartition("-")
    if dash and tail.isdigit() and len(tail) == 8:
        yield f"{head}@{tail}"


def _tuned(known: Collection[str], name: str) -> Iterator[Match]:
    base = name.split(":")[1]
    for match in _matches(known, base) if base else ():
        if match.kind != "begins":
            yield Match(match.id, "tuned")


def _newest(known: Collection[str], stem: str) -> str | None:
    """Return the last dated edition of a model that is named without its date."""
    dated = (name for name in known if name.startswith(stem) and _DATE.fullmatch(name[len(stem) :]))
    return max(dated, default=None)


def _beginnings(known: Collection[str], name: str) -> list[str]:
    """Return the entries that a name begins with, followed by a dash or a colon; the longest first."""
    cuts = [at for at, letter in enumerate(name) if letter in "-:" and at >= _SHORTEST]
    return [name[:at] for at in reversed(cuts) if name[:at] in known]
