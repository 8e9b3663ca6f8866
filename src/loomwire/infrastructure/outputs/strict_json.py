"""JSON without the things that decoders disagree about."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import NoReturn

MAX_DIGITS = 4300


class NotJSONError(ValueError):
    """The text is no JSON that may be used; the message says why, without a word of the text."""


def _check_keys(pairs: Sequence[tuple[str, object]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise NotJSONError("an object has the same key twice")


def _check_int(digits: str) -> None:
    if len(digits) > MAX_DIGITS:
        raise NotJSONError(f"a number has more than {MAX_DIGITS} digits")


def _check_float(digits: str) -> None:
    _check_int(digits)
    if math.isinf(float(digits)):
        raise NotJSONError("a number is too large")


def _refuse_constant(name: str) -> NoReturn:
    raise NotJSONError(f"{name} is no JSON")


# The hooks return nothing, so that a text of megabytes is checked without building its objects.
DECODER = json.JSONDecoder(
    object_pairs_hook=_check_keys, parse_int=_check_int, parse_float=_check_float, parse_constant=_refuse_constant
)
"""Says where a value ends, and refuses what may not be used with a `NotJSONError`; it builds nothing."""
