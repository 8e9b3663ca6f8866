"""Turns what pydantic has against a configuration into problems: our words, our positions, and never the input."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from loomwire.domain.reports.problems import Problem
from loomwire.infrastructure.configuration.documents import nearest
from loomwire.infrastructure.configuration.scalars import KeyPath, Plain
from loomwire.infrastructure.configuration.schema.reserved import reserved_keys
from loomwire.infrastructure.configuration.schema.secrecy import quoted
from loomwire.infrastructure.configuration.schema.settings import known_keys
from loomwire.infrastructure.configuration.tree import ConfigTree

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

# By pydantic's error type: our reason, and our words with the bounds that the schema, not the input, sets.
_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "string_type": ("wrong_type", "must be a text"),
    "is_instance_of": ("wrong_type", "must be {class}"),
    "int_type": ("wrong_type", "must be a whole number"),
    "int_from_float": ("wrong_type", "must be a whole number"),
    "float_type": ("wrong_type", "must be a number"),
    "bool_type": ("wrong_type", "must be true or false"),
    "list_type": ("wrong_type", "must be a list"),
    "dict_type": ("wrong_type", "must be a mapping"),
    "model_type": ("wrong_type", "must be a mapping"),
    "model_attributes_type": ("wrong_type", "must be a mapping"),
    "size": ("wrong_type", "must be a number of bytes or a size such as 32MiB"),
    "greater_than": ("out_of_range", "must be greater than {gt}"),
    "greater_than_equal": ("out_of_range", "must be at least {ge}"),
    "less_than": ("out_of_range", "must be less than {lt}"),
    "less_than_equal": ("out_of_range", "must be at most {le}"),
    "literal_error": ("out_of_range", "must be {expected}"),
    "too_short": ("out_of_range", "must have {min_length} or more entries"),
    "too_long": ("out_of_range", "must have {max_length} entries or fewer"),
    "string_too_short": ("out_of_range", "must not be empty"),
}
_NUMBERS: Final = frozenset({"int_type", "float_type", "bool_type", "is_instance_of"})
_OURS: Final = frozenset({"exhausted", "function", "url", "version"})
_HARMLESS = "Nothing breaks: it will count as soon as a release acts on it."
_CLASSES: Final = {"Secret": "a text", "Decimal": "a number", "True": "true", "False": "false"}
_RATES: Final = ("rpm", "tpm", "concurrency", "rate")
_RETRIES: Final = ("max_retries", "num_retries", "retries", "max_attempts")
_BAD_HEADER = "a header's name must be letters, digits and `-`, and none of the transport's own"
_BAD_NAME = "a name must begin with a small letter and go on with at most 63 small letters, digits, `-` and `_`"


def problems_of(error: ValidationError, tree: ConfigTree, values: Mapping[str, Plain]) -> Iterator[Problem]:
    """Yield every complaint as a problem, at the place it is about.

    Args:
        error: Pydantic's errors.
        tree: Knows the places.
        values: What was validated, to say what stands there instead; only its kind is told.
    """
    for details in error.errors(include_url=False, include_input=False):
        path: KeyPath = details["loc"]
        kind = details["type"]
        if path in tree.failed:
            continue
        if kind == "missing":
            yield from _missing(path, tree)
        elif kind == "extra_forbidden":
            yield _unknown(path, tree)
        elif kind == "header":
            yield tree.problem("out_of_range", _BAD_HEADER, path[:-1], at="key", hint="Rename or remove it.")
        elif kind == "string_pattern_mismatch":
            is_key = path[-1] == "[key]"
            yield tree.problem(
                "out_of_range", _BAD_NAME, path[:-1] if is_key else path, at="key" if is_key else "value"
            )
        else:
            yield _unfit(details, tree, _at(path, values))


def _unfit(details: ErrorDetails, tree: ConfigTree, value: Plain) -> Problem:
    """Return the problem with a value of the wrong type, or outside its range."""
    kind, path = details["type"], details["loc"]
    context: Mapping[str, object] = details.get("ctx", {})
    reason, words = _WORDS.get(kind, ("out_of_range", "is not allowed here"))
    shown = {key: _shown(bound) for key, bound in context.items()}
    message = details["msg"] if kind in _OURS else words.format(**shown)
    found = _found(value) if reason == "wrong_type" else ""
    return tree.problem(
        reason,
        message + found,
        path,
        hint=_quotes_hint(kind, value, is_injected=tree.is_injected(path) and path not in tree.origins),
        suggestion=_meant(context, value) if kind == "literal_error" else None,
    )


def reserved_problems(tree: ConfigTree, values: Mapping[str, Plain]) -> Iterator[Problem]:
    """Yield what is promised and not in force yet: errors where ignoring it would be dangerous, else warnings."""
    for finding in reserved_keys(values):
        row, path = finding.row, finding.path
        more = f"; the same in {finding.more} other place{'s' * (finding.more > 1)}" if finding.more else ""
        state = "only partly in force so far" if row.partly else "not in force yet"
        message = f"`{row.path[-1]}` is {state} ({row.says}{more})"
        hint = _HARMLESS if row.severity == "warning" else None
        written = _at(path, tree.values)
        if written is None or row.is_absent(written):
            # Not what the YAML says, then, but what a variable puts below it.
            path = next((below for below in tree.origins if below[: len(path)] == path), path)
        yield tree.problem(
            "not_in_force", message, path, at="key", shown=finding.path, severity=row.severity, hint=hint
        )


def said_once(reserved: Sequence[Problem], complaints: Sequence[Problem]) -> Iterator[Problem]:
    """Yield both kinds of problems without those that only repeat another one.

    A reserved key that must go need not have the right type; a harmless one that is wrong is an error and no warning.
    """
    refused = {problem.path for problem in reserved if problem.severity == "error"}
    told = [each for each in complaints if each.reason != "wrong_type" or each.path not in refused]
    yield from told
    wrong = {problem.path for problem in told}
    yield from (problem for problem in reserved if not _is_repeated(problem, wrong))


def _is_repeated(reserved: Problem, wrong: Collection[str]) -> bool:
    below = f"{reserved.path}."
    return reserved.path in wrong or (reserved.severity == "warning" and any(path.startswith(below) for path in wrong))


def _missing(path: KeyPath, tree: ConfigTree) -> Iterator[Problem]:
    # In a file that could not be read to its end, the key may stand where we did not get.
    if not (tree.is_broken and len(path) == 1):
        hint = "Put `version: 1` at the top." if path == ("version",) else None
        yield tree.problem("missing_key", f"`{path[-1]}` is missing", path[:-1], at="key", hint=hint)


def _unknown(path: KeyPath, tree: ConfigTree) -> Problem:
    key, above = str(path[-1]), path[:-1]
    keys = known_keys(above)
    meant = _limit(key, above) or _alias(key, keys) or nearest(key, keys)
    # A level too high is as common as a letter too many: `temperature` instead of `parameters.temperature`.
    deeper = (f"{block}.{near}" for block in keys if (near := nearest(key, known_keys((*above, block)))))
    meant = meant or next(deeper, None)
    hint = None if meant else f"Known here: {', '.join(keys)}."
    message = f"unknown key {quoted(key)}"
    return tree.problem("unknown_key", message, path, at="key", shown=above, suggestion=meant, hint=hint)


def _alias(key: str, keys: Collection[str]) -> str | None:
    """Return what others call by another name: their `max_retries`, and the `supports_tools` of our own Python API."""
    if "retry" in keys and get_close_matches(key, _RETRIES, 1, 0.85):
        return "retry: {attempts}"
    if "attempts" in keys and get_close_matches(key, _RETRIES, 1, 0.85):
        return "attempts"
    bare = key.removeprefix("supports_")
    return nearest(bare, keys) if bare != key else None


def _limit(key: str, above: KeyPath) -> str | None:
    # The `limits` of a provider are sizes; how fast it may be asked stands in a section of its own.
    is_there = len(above) == 2 or (len(above) == 3 and above[2] == "limits")
    if key not in _RATES or not is_there or above[0] not in ("providers", "models"):
        return None
    return f"limits.{above[1]}.{'rpm' if key == 'rate' else key}"


def _quotes_hint(kind: str, value: Plain, *, is_injected: bool) -> str | None:
    if kind == "string_type" and isinstance(value, int | float | None):
        return "Put it in quotes to make it a text."
    if is_injected and isinstance(value, str) and kind in _NUMBERS:
        return "Without quotes, on a line of its own, ${...} is taken for a number if it looks like one."
    return None


def _meant(context: Mapping[str, object], value: Plain) -> str | None:
    allowed = re.findall(r"'([^']*)'", str(context.get("expected")))
    return nearest(value, allowed) if isinstance(value, str) else None


def _shown(bound: object) -> str:
    if isinstance(bound, float):
        return f"{bound:g}"
    return _CLASSES.get(str(bound), str(bound)).replace("'", "")


def _found(value: Plain) -> str:
    if value is None:
        return ", not empty"
    kinds = (
        (bool, "true or false"),
        (int | float, "a number"),
        (str, "a text"),
        (Mapping, "a mapping"),
        (list, "a list"),
    )
    return next((f", not {word}" for kind, word in kinds if isinstance(value, kind)), "")


def _at(path: KeyPath, values: Plain) -> Plain:
    for step in path:
        if isinstance(values, Mapping) and isinstance(step, str):
            values = values.get(step)
        elif isinstance(values, list) and isinstance(step, int) and step < len(values):
            values = values[step]
    return values
