"""Answers as the bytes that caches keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from json.decoder import JSONDecoder
from json.encoder import JSONEncoder
from typing import Final, NoReturn, TypeGuard, get_args

from loomwire.domain.messages import Reasoning
from loomwire.domain.pricing import Charge, Cost, Unpriced, Usage
from loomwire.domain.responses import Finish, LLMResponse
from loomwire.domain.values import JSON, JSONObject, ToolCall

FORMAT: Final = "loomwire/answer/1"
"""Changes with whatever is kept of an answer; entries of another format are misses."""

LEFT_OUT: Final = frozenset({"steps", "rate_limits", "degraded", "cached"})
"""Fields of an answer that are of the call that gave it, and of no other."""

_FINISHES: Final[Mapping[str, Finish]] = {word: word for word in get_args(Finish)}
_UNPRICED: Final[Mapping[str, Unpriced]] = {"no_price": Unpriced("no_price"), "no_usage": Unpriced("no_usage")}


def encoded(response: LLMResponse[str]) -> bytes:
    """Return an answer as versioned JSON: all of it but `LEFT_OUT`.

    Usage and cost are those of the call that was paid for, so that what a hit saves can be told.

    Raises:
        ValueError: It holds what JSON cannot carry, such as NaN in the arguments of a tool call.
    """
    cost = response.cost
    fields: list[object] = [
        FORMAT,
        response.output,
        response.text,
        response.provider,
        response.model,
        [[call.id, call.name, call.arguments, call.raw_arguments, call.signature] for call in response.tool_calls],
        [[one.text, one.signature, one.redacted, one.id, one.wire, one.origin] for one in response.reasoning],
        response.finish,
        _usage_fields(response.usage),
        [cost.micro_usd, cost.estimated] if isinstance(cost, Cost) else cost.reason,
        response.request_id,
        response.response_id,
        response.finish_wire,
        response.refusal,
        response.complete,
        response.emulated,
    ]
    if response.text == response.output:
        # Nearly always, and it may be long.
        fields[2] = None
    try:
        return _ENCODE(fields).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        # Without the cause, which may quote the answer.
        raise ValueError("the answer holds what JSON cannot carry") from None


def decoded(raw: bytes) -> LLMResponse[str]:
    """Return the answer that was encoded, as its call gave it, but for `LEFT_OUT`.

    Raises:
        ValueError: These bytes are anything else; the message does not show them.
    """
    try:
        fields: JSON = _DECODE(raw.decode("utf-8", "surrogatepass"))
    except (ValueError, RecursionError):
        fields = None
    if not _is_list(fields) or len(fields) != _FIELDS or fields[0] != FORMAT:
        _refuse()
    output = _text(fields[1])
    return LLMResponse(
        output=output,
        text=output if fields[2] is None else _text(fields[2]),
        provider=_text(fields[3]),
        model=_text(fields[4]),
        # Most answers have neither.
        tool_calls=() if fields[5] == [] else tuple(map(_call, _rows(fields[5], 5))),
        reasoning=() if fields[6] == [] else tuple(map(_thought, _rows(fields[6], 6))),
        finish=_finish(fields[7]),
        usage=_usage(fields[8]),
        cost=_cost(fields[9]),
        request_id=_words(fields[10]),
        response_id=_words(fields[11]),
        finish_wire=_words(fields[12]),
        refusal=_words(fields[13]),
        complete=_flag(fields[14]),
        emulated=_flag(fields[15]),
    )


def _usage_fields(usage: Usage) -> list[object]:
    counts = [usage.input_tokens, usage.output_tokens, usage.cache_read_tokens, usage.cache_write_tokens]
    return [*counts, usage.reasoning_tokens, usage.estimated, usage.reported_total, usage.known]


def _usage(value: JSON) -> Usage:
    if not _is_list(value) or len(value) != _USED:
        _refuse()
    given, answered, read, written, thought, estimated, total, known = value
    return Usage(
        _count(given),
        _count(answered),
        _count(read),
        _count(written),
        _count(thought),
        estimated=_flag(estimated),
        reported_total=None if total is None else _count(total),
        known=_flag(known),
    )


def _cost(value: JSON) -> Charge:
    if isinstance(value, str):
        return _UNPRICED.get(value) or _refuse()
    if not _is_list(value) or len(value) != 2:
        _refuse()
    return Cost(_count(value[0]), _flag(value[1]))


def _call(row: list[JSON]) -> ToolCall:
    return ToolCall(_text(row[0]), _text(row[1]), _object(row[2]), _text(row[3]), _words(row[4]))


def _thought(row: list[JSON]) -> Reasoning:
    return Reasoning(_text(row[0]), _words(row[1]), _words(row[2]), _words(row[3]), _object(row[4]), _text(row[5]))


def _finish(value: JSON) -> Finish | None:
    return None if value is None else _FINISHES.get(_text(value)) or _refuse()


def _rows(value: JSON, width: int) -> list[list[JSON]]:
    if not _is_list(value):
        _refuse()
    rows = [row for row in value if _is_list(row) and len(row) == width]
    return rows if len(rows) == len(value) else _refuse()


def _object(value: JSON) -> JSONObject | None:
    return value if value is None or isinstance(value, dict) else _refuse()


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else _refuse()


def _words(value: JSON) -> str | None:
    return value if value is None or isinstance(value, str) else _refuse()


def _flag(value: JSON) -> bool:
    return value if isinstance(value, bool) else _refuse()


def _count(value: JSON) -> int:
    return value if type(value) is int else _refuse()


def _is_list(value: JSON) -> TypeGuard[list[JSON]]:
    return isinstance(value, list)


def _refuse(_: str = "") -> NoReturn:
    raise ValueError("these bytes are no answer that was kept")


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return list(value)
    raise TypeError("this is no JSON")


_FIELDS: Final = 16
_USED: Final = 8
_ENCODE: Final = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain).encode
_DECODE: Final = JSONDecoder(parse_constant=_refuse).decode
