"""The provider type `mock`: plays a script, one entry per call.

::

    providers:
      rehearsal:
        type: mock
        script:
          - {text: "Hello."}
          - {tool_calls: [{name: get_weather, arguments: {city: Rome}}]}
          - {error: throttled, retry_after: 2, status: 429}
          - {text: "This one breaks off.", cut_after: 8, delay_s: 0.2}
          - {text: "From now on always this.", usage: {input_tokens: 7, output_tokens: 5}, repeat: true}
"""

from __future__ import annotations

import threading
from contextlib import AbstractAsyncContextManager
from typing import final

from typing_extensions import override

from loomwire.domain.config import LLMConfig
from loomwire.domain.errors import llm_error
from loomwire.domain.ports.client import ILLMClient, LLMStream
from loomwire.domain.ports.clock import IClock
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.infrastructure.providers.offline.describe import checked_entries, reply_of
from loomwire.infrastructure.providers.offline.play import ReplyStream, played
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.infrastructure.providers.offline.scripts import check_script


@final
class MockClient(ILLMClient):
    """Plays the script in `config.options["script"]`: the first call gets the first entry, and so on.

    Each client has its own place in the script, and a reload that changes the client starts it again. Entering a
    stream plays an entry as a call does; a stream that is never entered plays none. After the last entry every call
    fails, because a test that asks more often than its script says is wrong; `repeat: true` on the last entry plays
    it for ever. Parameters such as `max_tokens` and `stop` are not obeyed. Safe from any thread and loop.

    Args:
        config: The target; `options["script"]` as in the module's example.
        clock: For delays and bounds.

    Raises:
        ConfigRejectedError: The script has problems; all are listed.
    """

    def __init__(self, config: LLMConfig, clock: IClock) -> None:
        """Check the script and start at its first entry."""
        entries = checked_entries(config, "script", check_script)
        self._config = config
        self._clock = clock
        self._replies = tuple(map(reply_of, entries))
        self._repeats = entries[-1].get("repeat") is True
        self._lock = threading.Lock()
        self._played = 0

    @override
    def __repr__(self) -> str:
        return f"MockClient({self._config.target})"

    @override
    async def generate(self, request: LLMRequest) -> LLMResponse[str]:
        return await played(self._next(request), request, self._config, self._clock)

    @override
    def stream(self, request: LLMRequest) -> AbstractAsyncContextManager[LLMStream]:
        return ReplyStream(self._next, request, self._config, self._clock)

    def _next(self, _: LLMRequest) -> Reply:
        with self._lock:
            place, self._played = self._played, self._played + 1
        if place < len(self._replies):
            return self._replies[place]
        if self._repeats:
            return self._replies[-1]
        raise llm_error(
            "invalid_request",
            f"the script is exhausted after {len(self._replies)} calls",
            provider=self._config.name,
            model=self._config.model,
            hint="Add entries to the provider's `script`, or put `repeat: true` on its last one.",
        )
