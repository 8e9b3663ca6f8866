"""Answers that are no object of the type, and whether asking again would help."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from loomwire.application.typed.forms import Asked
from loomwire.domain.errors import OutputInvalidError
from loomwire.domain.responses import LLMResponse


@dataclass(frozen=True, slots=True)
class Misfit:
    """An answer that is no object of the type."""

    problems: tuple[str, ...]
    again: bool = True
    hint: str | None = None
    cause: BaseException | None = None

    def error(self, name: str, response: LLMResponse[str]) -> OutputInvalidError:
        """Return the error that an answer for the schema `name` ends in; not raised."""
        first, *others = self.problems
        more = f" (and {len(others)} more)" if others else ""
        error = OutputInvalidError(
            f"the answer does not fit {name}: {first}{more}",
            problems=self.problems,
            text=response.text or response.refusal or "",
            provider=response.provider,
            model=response.model,
            request_id=response.request_id,
            hint=self.hint,
        )
        error.original_error = self.cause
        return error


_ENDINGS: Mapping[str, Misfit] = {
    name: Misfit((f"$: {problem}",), again=False, hint=hint)
    for name, problem, hint in (
        ("refusal", "the model refused to answer", "Change the prompt, or use another model."),
        # Even if it can be read: a number or a list may have lost its end.
        ("length", "the answer was cut by max_tokens", "Raise parameters.max_tokens, or ask for less."),
        ("content_filter", "the provider's content filter stopped the answer", "Change the prompt."),
    )
}


def dead_end(asked: Asked, response: LLMResponse[str]) -> Misfit | None:
    """Return why asking again would not help, or None."""
    ending = _ENDINGS.get("refusal" if response.refusal is not None else response.finish or "")
    if ending is None and response.tool_calls and asked.mode != "tool":
        called = {call.name for call in response.tool_calls} & {tool.name for tool in asked.request.tools}
        problem = f"$: the model called tools instead of answering: {', '.join(sorted(called)) or 'unknown ones'}"
        hint = "Run the tools with ILLMClient and send their results; then ask for the object."
        return Misfit((problem,), again=False, hint=hint)
    return ending


def answer_text(response: LLMResponse[str]) -> str:
    """Return the text that should be the object: the arguments of the tool call, else what the model wrote."""
    # In tool mode a model may still write its answer; the tool's name does not matter, since only one was offered.
    for call in response.tool_calls:
        return call.raw_arguments if call.arguments is None else json.dumps(call.arguments, default=dict)
    return response.text
