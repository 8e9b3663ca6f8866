"""What may be a secret: never in a message, and no source line that holds it in an excerpt."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from loomwire.domain.faults import Problem
from loomwire.infrastructure.configuration.scalars import KeyPath

LONGEST_SHOWN: Final = 200
"""Characters of a line or a name in a problem."""

_SEALED: Final = frozenset({"api_key", "keys", "headers"})
_WORD = re.compile(
    r"(?i)(?:^|[^a-z])(?:api_?)?keys?$|apikey|(?<!max_)tokens?$|secret|passw|authori|credential|^headers?$|cookie|bearer"
)
_LOOK = re.compile(
    r"(?i)\b(?:sk|pk|rk|gsk|xai|pplx|key|ghp|hf|xox[a-z])[-_][a-z0-9]|AIza|eyJ[a-z0-9]|\bBearer\s|://[^/\s]*@"
    r"|\?[\w.~-]+=|(?=[a-z0-9]{0,64}[0-9])(?=[a-z0-9]{0,64}[a-z])[a-z0-9]{20}"
)
# With a default or a message it would hold text of the operator, and nobody knows which.
_BARE_REFERENCE = re.compile(r"\$\{(?:[A-Za-z_]\w*|file:[^{}]*)\}")


def is_sealed(path: KeyPath) -> bool:
    """Tell whether what stands at a path is a secret by the schema, and so a text whatever it looks like."""
    return len(path) > 2 and path[0] == "providers" and path[2] in _SEALED


@lru_cache(maxsize=4096)
def is_secret_word(key: str) -> bool:
    """Tell whether what stands under a key may be a secret, also when the key is misspelt or in the wrong place."""
    word = key[:LONGEST_SHOWN].lower()
    return bool(_WORD.search(word)) or bool(get_close_matches(word, _SEALED, 1, 0.75))


def is_bare_reference(text: str) -> bool:
    """Tell whether a text is nothing but `${NAME}` or `${file:path}`, which may be shown wherever it stands."""
    return _BARE_REFERENCE.fullmatch(text) is not None


def looks_secret(line: str) -> bool:
    """Tell whether a line holds something that looks like a key, a token or a URL with a password or a query."""
    return _LOOK.search(_BARE_REFERENCE.sub("", line)) is not None


def may_be_shown(name: str) -> bool:
    """Tell whether a name may stand in a message: a key that somebody pasted in the wrong place may not."""
    return len(name) <= LONGEST_SHOWN and not looks_secret(name)


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
    return ".".join(str(step) if _is_shown(step, path[:place]) else "***" for place, step in enumerate(path))


def _is_shown(step: str | int, above: KeyPath) -> bool:
    is_key_of_key = is_sealed(above) and (above[2] != "headers" or len(above) > 3)
    return isinstance(step, int) or (may_be_shown(step) and not is_key_of_key)
