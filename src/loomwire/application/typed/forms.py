"""The ways of asking for an object: one schema as an output format, as a tool and as words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from loomwire.application.typed.strict import is_strict
from loomwire.domain.capabilities import ModelCapabilities
from loomwire.domain.errors import CapabilityError, LLMError, LLMValidationError
from loomwire.domain.messages import Message, Text, ToolResult
from loomwire.domain.requests import LLMRequest, OutputSpec, refuse_no_request
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool, ToolNamed
from loomwire.domain.values import JSONObject

TypedMode: TypeAlias = Literal["auto", "native", "tool", "prompted"]
"""How the model is held to the schema; see `TypedLLMClient`."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in one of the three modes, and what follows from it.

    Attributes:
        mode: How the model is held to the schema.
        request: What is sent.
        guessed: Nobody knows whether the model can be asked so.
        chosen: The host asked for this mode; otherwise a weaker one may follow.
    """

    mode: Literal["native", "tool", "prompted"]
    request: LLMRequest
    guessed: bool = False
    chosen: bool = True

    def refused_by(self, error: LLMError) -> bool:
        """Tell whether a server that nobody knows may have refused the schema rather than the question."""
        return self.guessed and error.status is not None and error.reason in _SCHEMA_REFUSED

    def anew(self) -> Asked | None:
        """Return the same, answered by nothing that was kept; None when it is that already."""
        request = self.request
        return None if request.cache == "refresh" else replace(self, request=replace(request, cache="refresh"))

    def corrected(self, response: LLMResponse[str], problems: Sequence[str]) -> Asked:
        """Return the conversation with the answer and what was wrong with it."""
        listed = "\n".join(f"- {problem}" for problem in problems)
        wrong = f"This does not fit the JSON Schema:\n{listed}\nGive the whole corrected object and nothing else."
        # Text or a call must be there, or vendors refuse the conversation; arguments that are no JSON as well.
        calls = tuple(replace(call, arguments=call.arguments or {}, raw_arguments="") for call in response.tool_calls)
        text = response.text or ("" if calls else "(no answer)")
        answer = Message.assistant(text, tool_calls=calls, reasoning=response.reasoning)
        if calls:
            # Said in the results only: some vendors refuse a user message right after them.
            results = [ToolResult(call.id, wrong, name=call.name, is_error=True) for call in calls]
            reply = Message.tool(*results)
        else:
            reply = Message.user(wrong)
        return Asked(self.mode, self.request.extended(answer, reply))


@dataclass(frozen=True, slots=True)
class Forms:
    """One schema as a provider's output format, as a tool and as words."""

    spec: OutputSpec
    tool: Tool
    words: str

    @classmethod
    def of(cls, name: str, schema: JSONObject) -> Forms:
        """Make all forms of a schema."""
        strict = is_strict(schema)
        text = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), default=dict)
        return cls(
            OutputSpec(schema, name, strict),
            Tool(name, "Give the answer by calling this tool, once.", schema, strict),
            f"Answer with one JSON object and nothing else. It must fit this JSON Schema:\n{text}",
        )

    def asked(self, request: LLMRequest, mode: TypedMode, can: ModelCapabilities) -> Asked:
        """Return the request in the mode that suits the model."""
        auto = mode == "auto"
        guessed = auto and can.supports_json_schema is None
        if guessed:
            return Asked("native", replace(self._worded(request, can), output=self.spec), guessed, chosen=False)
        if mode == "native" or (auto and can.supports_json_schema):
            return Asked("native", replace(request, output=self.spec), chosen=not auto)
        if mode == "tool" or (mode == "auto" and can.supports_tools and not request.tools):
            return Asked("tool", replace(request, tools=(self.tool,), tool_choice=ToolNamed(self.tool.name)))
        return self.prompted(request, can)

    def demoted(self, asked: Asked, error: LLMError, request: LLMRequest, can: ModelCapabilities) -> Asked | None:
        """Return the next weaker way of asking after an error, or None when it is no matter of the schema."""
        if asked.refused_by(error):
            return self.prompted(request, can)
        if asked.chosen or not isinstance(error, CapabilityError):
            return None
        # The vendor cannot hold the model to every word of the schema; the answer is checked here all the same.
        output = asked.request.output
        if output is not None and output.strict:
            return replace(asked, request=replace(asked.request, output=replace(output, strict=False)))
        return self.prompted(request, can)

    def prompted(self, request: LLMRequest, can: ModelCapabilities) -> Asked:
        """Return the request with the schema in its prompt."""
        spec = OutputSpec(None, self.spec.name) if can.supports_json_mode else None
        return Asked("prompted", replace(self._worded(request, can), output=spec))

    def _worded(self, request: LLMRequest, can: ModelCapabilities) -> LLMRequest:
        messages = request.messages
        systems = [at for at, message in enumerate(messages) if message.role == "system"]
        at = systems[-1] if systems and can.supports_system_message is not False else len(messages) - 1
        if messages[at].role not in ("system", "user"):
            return request.extended(Message.user(self.words))
        *parts, last = messages[at].parts
        # One text where there was one: not every server takes a list of texts.
        said = [Text(f"{last.text}\n\n{self.words}")] if isinstance(last, Text) else [last, Text(self.words)]
        worded = replace(messages[at], parts=(*parts, *said))
        return replace(request, messages=(*messages[:at], worded, *messages[at + 1 :]))


_SCHEMA_REFUSED = frozenset({"invalid_request", "unsupported"})


def check_request(request: LLMRequest, mode: TypedMode) -> None:
    """Refuse a request that leaves no room for the schema.

    Raises:
        LLMValidationError: It sets `output`, forces a tool call, or has tools in mode `tool`; or it is no request.
    """
    refuse_no_request(request, "generate")
    if request.output is not None:
        raise LLMValidationError(
            "a typed client sets `output` itself", hint="Leave output out, or use ILLMClient with your own schema."
        )
    if request.tool_choice not in ("auto", "none"):
        raise LLMValidationError(
            "tool_choice forces a tool call, so there would be no object", hint="Use tool_choice 'auto' or 'none'."
        )
    if mode == "tool" and request.tools:
        raise LLMValidationError(
            "mode 'tool' is taken by the schema, but the request has tools of its own", hint="Use mode 'prompted'."
        )
