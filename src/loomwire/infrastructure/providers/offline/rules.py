"""One rule: the requests it is for, and what it says to them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from loomwire.domain.requests import LLMRequest
from loomwire.domain.tools import ToolNamed
from loomwire.domain.values import JSON, JSONObject, ToolCall
from loomwire.infrastructure.providers.offline.describe import call_of, reply_of
from loomwire.infrastructure.providers.offline.references import filled, filled_call, filled_text
from loomwire.infrastructure.providers.offline.reply import Reply, json_text
from loomwire.infrastructure.providers.offline.sample import instance_of

_EVERYTHING = re.compile(r"(?s).*")


@dataclass(frozen=True, slots=True)
class Rule:
    """A compiled rule; `json` is what it answers instead of a text, None when it does not."""

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


def rule_of(entry: JSONObject) -> Rule:
    """Compile a checked entry of a list of rules."""
    when, call, tool, after = (entry.get(key) for key in ("when", "tool_call", "has_tool", "after_tool"))
    reply = reply_of({**entry, "text": entry.get("answer", "")})
    return Rule(
        pattern=re.compile(when, re.IGNORECASE) if isinstance(when, str) else _EVERYTHING,
        has_tool=tool if isinstance(tool, str) else None,
        after_tool=after if isinstance(after, bool) else None,
        json=entry.get("json"),
        reply=replace(reply, tool_calls=(call_of(call),)) if isinstance(call, Mapping) else reply,
    )
