"""Turns checked descriptions of replies, as scripts and rules write them, into replies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import ConfigRejectedError
from loomwire.domain.pricing import Usage
from loomwire.domain.reports.problems import Problem
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.offline.checks import FINISHES, TOKENS, Remark
from loomwire.infrastructure.providers.offline.reply import Failure, Reply


def reply_of(entry: JSONObject) -> Reply:
    """Return what a checked description says; `text` and `tool_calls` as they stand."""
    calls = entry.get("tool_calls")
    cut_after = entry.get("cut_after")
    finish = entry.get("finish")
    return Reply(
        text=_text(entry, "text"),
        tool_calls=tuple(call_of(call) for call in calls if isinstance(call, Mapping))
        if isinstance(calls, Sequence)
        else (),
        reasoning=_text(entry, "reasoning"),
        finish=FINISHES.get(finish) if isinstance(finish, str) else None,
        usage=_usage(entry.get("usage")),
        delay_s=_number(entry.get("delay_s")) or 0.0,
        cut_after=cut_after if isinstance(cut_after, int) else None,
        failure=_failure(entry),
        signature=_text(entry, "signature"),
    )


def call_of(entry: JSONObject) -> ToolCall:
    """Return a checked tool call; its id is "" when the description has none."""
    arguments = entry.get("arguments", {})
    if isinstance(arguments, str):
        return ToolCall(_text(entry, "id"), _text(entry, "name"), None, arguments)
    return ToolCall(_text(entry, "id"), _text(entry, "name"), arguments if isinstance(arguments, Mapping) else {})


def _failure(entry: JSONObject) -> Failure | None:
    reason, status = entry.get("error"), entry.get("status")
    if not isinstance(reason, str):
        return None
    code = status if isinstance(status, int) else None
    return Failure(reason, _text(entry, "message"), code, _number(entry.get("retry_after")))


def _usage(value: JSON) -> Usage | None:
    if not isinstance(value, Mapping):
        return None
    given, *parts = (count if isinstance(count := value.get(name), int) else 0 for name in TOKENS)
    return Usage(given, parts[0], parts[1], parts[2], parts[3])


def _text(entry: JSONObject, key: str) -> str:
    value = entry.get(key)
    return value if isinstance(value, str) else ""


def _number(value: JSON) -> float | None:
    return value if isinstance(value, int | float) else None


def checked_entries(
    config: LLMConfig, option: str, check: Callable[[JSON], Iterable[Remark]]
) -> tuple[JSONObject, ...]:
    """Return the list in an option of a provider, checked.

    Raises:
        ConfigRejectedError: With every problem; each path begins with the option's name.
    """
    value = config.options.get(option)
    found = [((option, *path), said) for path, said in check(value)]
    if found:
        problems = [Problem("out_of_range", said, ".".join(map(str, path))) for path, said in found]
        more = f", and {len(problems) - 1} more problems" if len(problems) > 1 else ""
        first = f"{problems[0].path} {problems[0].message}{more}"
        raise ConfigRejectedError(f"provider {config.name!r} cannot play: {first}", problems=problems)
    return tuple(entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, Sequence) else ()
