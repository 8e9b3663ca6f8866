"""Finds JSON in what a model wrote: the whole text, inside a Markdown fence, or between sentences.

Linear in the length of the text, whatever it holds: the scanner goes on where it failed, a failure is allowed so many
times, and nothing is kept of what it reads but where it ends.
"""

from __future__ import annotations

import json
import re

from loomwire.infrastructure.outputs.strict_json import DECODER, NotJSONError

MAX_STARTS = 200

# What cannot begin a JSON value is passed over here: an error of the scanner costs the length of the text before it,
# because it counts lines.
_OPENING = re.compile(r'\{(?=\s*["}])|\[(?=\s*["{\[\]\d\-tfnNI])')
_FENCE = "```"


def json_values(text: str) -> list[str]:
    """Return the complete JSON objects and arrays of a text in order, or the one scalar that the text is.

    What is inside a value is never returned by itself: of a list that the token limit cut, no element is taken for the
    answer. Numbers beyond a float, NaN, Infinity and keys that stand twice in an object are refused, because decoders
    disagree about them.

    Args:
        text: Anything a model wrote.

    Returns:
        The slices of the text, at least one.

    Raises:
        NotJSONError: There is no complete value, one is refused, or more than `MAX_STARTS` things look like one.
    """
    body = _unfenced(text.strip())
    if not body:
        raise NotJSONError("the answer is empty")
    try:
        return [body] if _is_scalar(body) else _structures(body)
    except RecursionError:
        raise NotJSONError("the JSON is nested too deeply") from None


def _unfenced(text: str) -> str:
    # Only scalars need this: objects and arrays are found between the fences anyway.
    if not text.startswith(_FENCE) or not text.endswith(_FENCE):
        return text
    return text[text.find("\n") + 1 : -len(_FENCE)].strip() if "\n" in text else text


def _is_scalar(body: str) -> bool:
    if body[0] in "{[":
        return False
    try:
        _, end = DECODER.raw_decode(body)
    except json.JSONDecodeError:
        return False
    return end == len(body)


def _structures(body: str) -> list[str]:
    values: list[str] = []
    failure: json.JSONDecodeError | None = None
    at = starts = 0
    while (opening := _OPENING.search(body, at)) is not None:
        start = opening.start()
        starts += 1
        if starts > MAX_STARTS:
            raise NotJSONError(f"the answer holds more than {MAX_STARTS} beginnings of JSON")
        try:
            _, at = DECODER.raw_decode(body, start)
            values.append(body[start:at])
        except json.JSONDecodeError as error:
            failure = failure or error
            # The scanner has read up to error.pos, so the search goes on there and stays linear. Only an
            # unterminated string reports its start: it swallowed the rest of the text, which is no place to search.
            at = len(body) if error.msg.startswith("Unterminated string") else max(error.pos, start + 1)
    if not values:
        raise NotJSONError(_reason(failure))
    return values


def _reason(failure: json.JSONDecodeError | None) -> str:
    if failure is None:
        return "the answer holds no JSON"
    return f"the answer is no complete JSON: {failure.msg} at line {failure.lineno} column {failure.colno}"


def wrapped_value(text: str, key: str) -> str | None:
    """Return the slice of the value in `{"key": value}`, or None when the text is no object with that one key."""
    opening = re.match(rf'\{{\s*"{re.escape(key)}"\s*:\s*', text)
    if opening is None:
        return None
    inner = text[opening.end() : -1].rstrip()
    _, end = DECODER.raw_decode(inner)
    return inner if end == len(inner) else None
