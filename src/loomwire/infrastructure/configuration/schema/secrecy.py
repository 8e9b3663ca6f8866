"""What may be a secret: never in a message, and no source line that holds it in an excerpt."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import LONGEST_SHOWN, looks_secret, masked, may_be_shown
from loomwire.infrastructure.configuration.scalars import KeyPath

_SEALED: Final = frozenset({"api_key", "keys", "headers"})
REDIS: Final = ("cache", "redis")
"""The server whose address may hold a password."""

_WORD = re.compile(
    r"(?i)(?:^|[^a-z])(?:api_?)?keys?$|apikey|(?<!max_)tokens?$|secret|passw|authori|credential|^headers?$|cookie|bearer"
)
# With a default or a message it would hold text of the operator, and nobody knows which.
_BARE_REFERENCE = re.compile(r"\$\{(?:[A-Za-z_]\w*|file:[^{}]*)\}")


def is_sealed(path: KeyPath) -> bool:
    """Tell whether what stands at a path is a secret by the schema, and so a text whatever it looks like."""
    if path == (*REDIS, "url"):
        return True
    return len(path) > 2 and path[0] == "providers" and path[2] in _SEALED


@lru_cache(maxsize=4096)
def is_secret_word(key: str) -> bool:
    """Tell whether what stands under a key may be a secret, also when the key is misspelt or in the wrong place."""
    word = key[:LONGEST_SHOWN].lower()
    return bool(_WORD.search(word)) or bool(get_close_matches(word, _SEALED, 1, 0.75))


def is_bare_reference(text: str) -> bool:
    """Tell whether a text is nothing but `${NAME}` or `${file:path}`, which may be shown wherever it stands."""
    return _BARE_REFERENCE.fullmatch(text) is not None


def line_looks_secret(line: str) -> bool:
    """Tell whether a line holds, beside references, what looks like a secret."""
    return looks_secret(_BARE_REFERENCE.sub("", line))


def quoted(name: str) -> str:
    """Return a name for a message, or words that stand for it when it looks like a secret."""
    return f"`{name}`" if may_be_shown(name) else "this name"


def without_controls(problem: Problem) -> Problem:
    """Return a problem that a terminal shows as it is: what could move the cursor or turn text around is escaped.

    In the source line each becomes one replacement character, so that the caret stays where it belongs.
    """
    said = "".join(filter(None, (problem.message, problem.path, problem.suggestion, problem.hint)))
    if (said + problem.excerpt).isprintable():
        return problem
    return replace(
        problem,
        message=_escaped(problem.message),
        path=_escaped(problem.path),
        suggestion=None if problem.suggestion is None else _escaped(problem.suggestion),
        hint=None if problem.hint is None else _escaped(problem.hint),
        excerpt="".join("\ufffd" if _is_control(char) else char for char in problem.excerpt),
    )


def _escaped(text: str) -> str:
    return "".join(char.encode("unicode_escape").decode() if _is_control(char) else char for char in text)


def _is_control(char: str) -> bool:
    return not char.isprintable() and unicodedata.category(char) != "Zs"


def dotted(path: KeyPath) -> str:
    """Return a key path as text, without what may be a secret in the place of a key."""
    return ".".join(_step(step, path[:place]) for place, step in enumerate(path))


def _step(step: str | int, above: KeyPath) -> str:
    if isinstance(step, int):
        return str(step)
    is_key_of_key = is_sealed(above) and (above[2] != "headers" or len(above) > 3)
    return "***" if is_key_of_key else masked(step)
