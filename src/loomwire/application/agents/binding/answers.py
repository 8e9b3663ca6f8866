"""What a tool returned, as JSON for the model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Final
from uuid import UUID

from loomwire.domain.errors import ToolExecutionError
from loomwire.domain.estimates.tokens import part_bytes
from loomwire.domain.messages import ToolResult
from loomwire.domain.values import JSON

_MAX_DEPTH: Final = 64
_MAX_BITS: Final = 14_000  # Python writes no number of more than 4,300 digits.
_AS_TEXT = (Decimal, UUID, PurePath)
_DATED = (date, datetime, time)


def as_json(value: object) -> JSON:
    """Return a tool's result as JSON: JSON as it is, dataclasses and pydantic models as objects, sets as lists.

    Dates and times become ISO texts, enumerations their values, decimals, UUIDs and paths texts.

    Raises:
        ToolExecutionError: It holds something that is no JSON, such as bytes, infinity or itself, or that nobody could
            write as JSON; the message names the type and not the value.
    """
    return _json(value, 0)


def check_size(content: JSON, most: int) -> None:
    """Refuse a result that would be too much for the next request, which could not be sent with it.

    Args:
        content: The result as JSON.
        most: How many bytes of UTF-8 it may have.

    Raises:
        ToolExecutionError: It has more.
    """
    size = part_bytes(ToolResult("", content, ""))
    if size > most:
        message = f"the result has {size} bytes, more than {most}"
        raise ToolExecutionError(message, hint="Return less, or raise ToolPolicy.result_bytes.")


def _json(value: object, depth: int) -> JSON:
    if depth > _MAX_DEPTH:
        raise ToolExecutionError("the result is nested too deeply, or holds itself", hint="Return a smaller result.")
    if isinstance(value, Enum):
        return _json(value.value, depth + 1)
    if value is None or isinstance(value, str | int):
        return _writable(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, _DATED):
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    return _structure(value, depth + 1)


def _writable(value: str | int | None) -> str | int | None:
    # Found here it is one tool's failure, which the model is told of; in the next request it would end the run.
    if isinstance(value, str):
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise _unwritable("text with half a surrogate pair") from None
    elif value is not None and value.bit_length() > _MAX_BITS:
        raise _unwritable("number of thousands of digits")
    return value


def _unwritable(what: str) -> ToolExecutionError:
    return ToolExecutionError(f"the result holds a {what}, which cannot be written as JSON", hint="Correct the tool.")


def _structure(value: object, depth: int) -> JSON:
    if isinstance(value, Mapping):
        return {_key(key): _json(item, depth) for key, item in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: _json(getattr(value, each.name), depth) for each in fields(value)}
    dump = getattr(value, "model_dump_json", None)
    if callable(dump):
        # A pydantic model, which knows best; the application imports no pydantic.
        dumped: JSON = json.loads(str(dump()))
        return dumped
    if isinstance(value, Sequence | Set) and not isinstance(value, bytes | bytearray | memoryview):
        return _listed(value, depth)
    raise ToolExecutionError(
        f"the result holds a {type(value).__name__}, which is no JSON", hint="Return text, numbers, lists or objects."
    )


def _listed(value: Iterable[object], depth: int) -> JSON:
    return [_json(item, depth) for item in value]


def _key(key: object) -> str:
    made = _json(key, 0)
    return made if isinstance(made, str) else json.dumps(made)
