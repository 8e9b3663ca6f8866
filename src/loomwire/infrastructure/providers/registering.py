"""What another package may add to the tables of provider types and dialects, and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import ConfigError
from loomwire.domain.values import FrozenDict
from loomwire.infrastructure.providers.quirks import Quirks
from loomwire.infrastructure.providers.rows.kinds import DialectType, ProviderType

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_PLACE: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_PATH: Final = re.compile(r"(?:/[\w.~%/-]*)?", re.ASCII)
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_NO_DIALECTS: Final[Mapping[str, DialectType]] = FrozenDict()


@dataclass(frozen=True, slots=True)
class Registration:
    """What one entry point of another package brings.

    Attributes:
        provider: A provider type; its name is the entry point's.
        dialects: Wire dialects that it brings along, by name.
    """

    provider: ProviderType
    dialects: Mapping[str, DialectType] = _NO_DIALECTS


def check_registration(given: Registration, known: Mapping[str, DialectType], who: str) -> None:
    """Refuse what could not work, before anything is added; imports nothing.

    Args:
        given: What shall be added.
        known: The dialects that are there.
        who: Whose it is, for the error.

    Raises:
        ConfigError: With the first thing that is wrong.
    """
    for problem in _problems(given, known):
        raise unfit(given.provider.name, who, problem)


def unfit(name: str, who: str, problem: str, reason: str = "out_of_range") -> ConfigError:
    """Return the error for what a package brings; not raised."""
    return ConfigError(
        f"provider type {name[:64]!r} of {who} cannot be used: {problem}",
        reason=reason,
        hint=f"Correct {who}, or uninstall it.",
        metadata={"key": ("type",), "needs": ()},
    )


def _problems(given: Registration, known: Mapping[str, DialectType]) -> Iterator[str]:
    row = given.provider
    for own, dialect in given.dialects.items():
        yield from _wrong(_dialect_claims(own, dialect))
    yield from _wrong(_row_claims(row))
    spoken = {**given.dialects, **known}
    for name, quirks in ((row.dialect, row.quirks), *((also.dialect, also.quirks) for also in row.also)):
        yield from _wrong(_spoken_claims(name, quirks, spoken))
    yield from _wrong(_place_claims(row.base_url, row.path, row.auth))
    for also in row.also:
        yield from _wrong(_place_claims(also.base_url, also.path, also.auth))


def _wrong(claims: Iterable[tuple[bool, str]]) -> Iterator[str]:
    return (says for holds, says in claims if not holds)


def _row_claims(row: ProviderType) -> Iterator[tuple[bool, str]]:
    offline = row.client is not None
    speaks = row.dialect is not None or bool(row.also)
    yield _fits(_NAME, row.name), "its name must be a small letter and then small letters, digits and `_`, 64 at most"
    yield not row.in_process, "in_process is for servers of loomwire's own"
    yield not offline or _fits(_PLACE, row.client), "client must be `module:Class`"
    yield not (offline and speaks), "it has a client and a dialect; it needs one of them"
    yield offline or speaks, "it has neither a dialect nor a client"
    yield _is(row.capabilities, ModelCapabilities), "capabilities must be ModelCapabilities"
    named = _is(row.options, tuple) and all(_is(name, str) for name in row.options)
    yield named, "options must be a tuple of names"
    yield from _column_claims(row)


def _column_claims(row: ProviderType) -> Iterator[tuple[bool, str]]:
    # Only for rows of others: whoever uses ours alone never needs it here.
    from loomwire.infrastructure.providers.counting.columns import Counts
    from loomwire.infrastructure.providers.embeddings.columns import Embeds, Reranks

    yield row.embeds is None or _is(row.embeds, Embeds), "embeds must be Embeds"
    yield row.reranks is None or _is(row.reranks, Reranks), "reranks must be Reranks"
    counted = _is(row.counts, tuple) and all(_is(counts, Counts) for counts in row.counts)
    yield counted, "counts must be a tuple of Counts"


def _spoken_claims(
    name: str | None, quirks: Quirks | None, spoken: Mapping[str, DialectType]
) -> Iterator[tuple[bool, str]]:
    there = spoken.get(name) if name is not None else None
    yield name is None or there is not None, f"there is no dialect {name!r}"
    # A dialect reads fields of its own quirks, which those of another one do not have.
    fits = quirks is None or there is None or isinstance(quirks, type(there.quirks))
    yield fits, f"quirks must be Quirks of its dialect {name!r}"


def _place_claims(base_url: object, path: object, auth: object) -> Iterator[tuple[bool, str]]:
    yield base_url is None or _is_url(base_url), "base_url must be a URL such as https://llm.example.com/v1"
    yield _fits(_PATH, path), "path must begin with `/`"
    yield auth is None or _fits(_HEADER, auth), "auth must be bearer, none, or the name of a header in small letters"


def _dialect_claims(name: str, dialect: DialectType) -> Iterator[tuple[bool, str]]:
    yield _fits(_NAME, name), f"the dialect's name {name[:64]!r} is none: small letters, digits and `_`"
    yield _is(dialect, DialectType), f"dialect {name!r} must be a DialectType"
    placed = _fits(_PLACE, dialect.client) and _fits(_PLACE, dialect.speaker)
    yield placed, f"client and speaker of dialect {name!r} must be `module:Class`"
    yield _is(dialect.quirks, Quirks), f"quirks of dialect {name!r} must be Quirks"


def _is(value: object, kind: type) -> bool:
    # Rows of other packages are not checked by anybody else.
    return isinstance(value, kind)


def _fits(pattern: re.Pattern[str], text: object) -> bool:
    return isinstance(text, str) and pattern.fullmatch(text) is not None


def _is_url(text: object) -> bool:
    try:
        parts = urlsplit(text if isinstance(text, str) else "")
    except ValueError:
        return False
    plain = not parts.query and not parts.fragment and parts.username is None
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain
