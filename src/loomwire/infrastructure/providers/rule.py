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

from contextlib import AbstractAsyncContextManager
from typing import Final, final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import llm_error
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.offline.describe import checked_entries
from loomwire.infrastructure.providers.offline.play import ReplyStream, played
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.infrastructure.providers.offline.rule_checks import check_rules
from loomwire.infrastructure.providers.offline.rules import rule_of

SEARCHED_CHARACTERS: Final = 100_000
"""How much of a message the patterns see."""


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
        self._rules = tuple(rule_of(entry) for entry in entries if entry.get("model", config.model) == config.model)

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
