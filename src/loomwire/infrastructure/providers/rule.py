r"""The provider type `rule`: patterns to answers, tool calls and JSON, the embedded default that needs no key.

::

    rules:
      - {when: "weather in (\\w+)", has_tool: get_weather, after_tool: false,
         tool_call: {name: get_weather, arguments: {city: "\\1"}}}
      - {after_tool: true, answer: "The tool has spoken."}
      - {when: "invoice", json: {number: A-17, total: 12.5}}
      - {when: "anything", json: auto}
      - {when: "too fast", error: throttled}
      - {default: true, answer: "You said: \\0"}

The first rule that matches wins. `when` is a regular expression, searched without regard to case in the text of the
last user message, of which it sees the first 100,000 characters: rules are the operator's, the text is not, and a
pattern such as `(a+)+$` may still take long on a short one. `\1` to `\9` in texts, arguments and JSON stand for the
pattern's groups, `\0` for the whole match (without `when`, for the whole message); a second backslash in front keeps
them as they are. `model`, `has_tool` and `after_tool` (the last message is a tool's result) narrow a rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Final, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import llm_error
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.offline.describe import (
    FIELDS,
    FLAG,
    TEXT,
    Check,
    Remark,
    below,
    call_of,
    call_problems,
    checked_entries,
    must,
    object_problems,
    reply_of,
)
from loomwire.infrastructure.providers.offline.play import ReplyStream, played
from loomwire.infrastructure.providers.offline.references import filled, filled_call, filled_text, references
from loomwire.infrastructure.providers.offline.reply import Reply, json_text
from loomwire.infrastructure.providers.offline.sample import instance_of

SEARCHED_CHARACTERS: Final = 100_000
"""How much of a message the patterns see."""

_ANSWERS: Final = ("answer", "tool_call", "tool_calls", "json", "error")
_FILTERS: Final = ("when", "model", "has_tool", "after_tool")
_EVERYTHING = re.compile(r"(?s).*")


def _pattern_problem(value: JSON) -> str | None:
    if not isinstance(value, str):
        return "must be a regular expression as text"
    try:
        re.compile(value, re.IGNORECASE)
    except (re.error, OverflowError, RecursionError) as error:
        return f"is no regular expression: {error}"
    return None


_RULE: Mapping[str, Check] = {
    "when": _pattern_problem,
    "model": TEXT,
    "has_tool": TEXT,
    "after_tool": FLAG,
    "default": must("true, or left out", lambda value: value is True),
    "answer": TEXT,
    "tool_call": call_problems,
    "json": must("an object, or the word auto", lambda value: isinstance(value, Mapping) or value == "auto"),
    **{key: FIELDS[key] for key in ("tool_calls", "error", "reasoning", "delay_s", "finish")},
}


def check_rules(value: JSON) -> Iterator[Remark]:
    """Yield every problem of a list of rules: the way into it, and what is wrong there. Nothing means it works."""
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        yield (), "must be a list of at least one rule"
        return
    for index, rule in enumerate(value):
        yield from below(index, object_problems(rule, _RULE))
        if isinstance(rule, Mapping):
            yield from below(index, _rule_problems(rule, is_last=index == len(value) - 1))


def _rule_problems(rule: JSONObject, *, is_last: bool) -> Iterator[Remark]:
    answers = [key for key in _ANSWERS if key in rule]
    if not answers:
        yield (), f"has no answer: give one of {', '.join(_ANSWERS)}"
    yield from (((key,), f"is a second answer beside `{answers[0]}`") for key in answers[1:])
    if "error" in rule:
        yield from (((key,), "cannot stand beside `error`") for key in ("reasoning", "finish") if key in rule)
    yield from _place_problems(rule, is_last=is_last)
    yield from _reference_problems(rule)


def _place_problems(rule: JSONObject, *, is_last: bool) -> Iterator[Remark]:
    filters = [key for key in _FILTERS if key in rule]
    if "default" in rule:
        yield from (((key,), "cannot stand beside `default`") for key in filters)
        if not is_last:
            yield ("default",), "must be the last rule; what follows would never be reached"
    elif not filters:
        yield (), f"needs one of {', '.join(_FILTERS)}, or `default: true`"


def _reference_problems(rule: JSONObject) -> Iterator[Remark]:
    when = rule.get("when", "")
    if not isinstance(when, str) or _pattern_problem(when):
        return
    groups = re.compile(when).groups
    for key in ("answer", "reasoning", "tool_call", "tool_calls", "json"):
        most = max((int(digit) for digit in references(rule.get(key))), default=0)
        if most > groups:
            yield (key,), f"uses \\{most}, but `when` has {groups or 'no'} groups"


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    has_tool: str | None
    after_tool: bool | None
    json: JSON
    reply: Reply

    def answer_to(self, request: LLMRequest, text: str) -> Reply | None:
        """Return what the rule says to a request, or None when it does not match."""
        if self.after_tool is not None and self.after_tool != (request.messages[-1].role == "tool"):
            return None
        if self.has_tool is not None and all(tool.name != self.has_tool for tool in request.tools):
            return None
        match = self.pattern.search(text)
        if match is None:
            return None
        reply = self.reply
        said = replace(
            reply,
            text=filled_text(reply.text, match),
            reasoning=filled_text(reply.reasoning, match),
            tool_calls=tuple(filled_call(call, match) for call in reply.tool_calls),
        )
        return said if self.json is None else _json_reply(said, filled(self.json, match), request)


def _json_reply(reply: Reply, value: JSON, request: LLMRequest) -> Reply:
    # Typed clients ask models without native schemas for one forced tool call: its arguments are the JSON then.
    forced = request.tool_choice.name if isinstance(request.tool_choice, ToolNamed) else None
    tool = next((tool for tool in request.tools if tool.name == forced), None)
    if not isinstance(value, Mapping):
        wanted = tool.parameters if tool is not None else request.output.schema if request.output is not None else None
        value = instance_of({"type": "object"} if wanted is None else wanted)
    if tool is not None and isinstance(value, Mapping):
        return replace(reply, tool_calls=(ToolCall("", tool.name, value),))
    return replace(reply, text=json_text(value))


def _rule(entry: JSONObject) -> _Rule:
    when, call, tool, after = (entry.get(key) for key in ("when", "tool_call", "has_tool", "after_tool"))
    reply = reply_of({**entry, "text": entry.get("answer", "")})
    return _Rule(
        pattern=re.compile(when, re.IGNORECASE) if isinstance(when, str) else _EVERYTHING,
        has_tool=tool if isinstance(tool, str) else None,
        after_tool=after if isinstance(after, bool) else None,
        json=entry.get("json"),
        reply=replace(reply, tool_calls=(call_of(call),)) if isinstance(call, Mapping) else reply,
    )


@final
class RuleClient(ILLMClient):
    """Answers by the rules in `config.options["rules"]`; holds nothing that changes, so it is safe everywhere.

    Parameters such as `max_tokens` and `stop` are not obeyed. A request that no rule matches fails with reason
    `invalid_request`; the error names `config.options["rules_file"]`, if it is there, and never the text.

    Args:
        config: The target; `options["rules"]` as in the module's example.
        clock: For delays and bounds.

    Raises:
        ConfigRejectedError: The rules have problems; all are listed.
    """

    def __init__(self, config: LLMConfig, clock: IClock) -> None:
        """Check and compile the rules that are for this model."""
        entries = checked_entries(config, "rules", check_rules)
        self._config = config
        self._clock = clock
        self._rules = tuple(_rule(entry) for entry in entries if entry.get("model", config.model) == config.model)

    @override
    def __repr__(self) -> str:
        return f"RuleClient({self._config.target})"

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await played(self._reply(request), request, self._config, self._clock)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return ReplyStream(self._reply, request, self._config, self._clock)

    def _reply(self, request: LLMRequest) -> Reply:
        text = next((message.text for message in reversed(request.messages) if message.role == "user"), "")
        text = text[:SEARCHED_CHARACTERS]
        for rule in self._rules:
            reply = rule.answer_to(request, text)
            if reply is not None:
                return reply
        file = self._config.options.get("rules_file")
        where = file if isinstance(file, str) else "the provider's `rules`"
        raise llm_error(
            "invalid_request",
            f"none of the {len(self._rules)} rules for this model matches the request",
            provider=self._config.name,
            model=self._config.model,
            hint=f'Add `{{when: "...", answer: "..."}}` to {where}, or `{{default: true, answer: "..."}}` at its end.',
        )
