"""What a suite must know of the client it judges."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from loomwire.domain.events import StreamEvent, TextDelta
from loomwire.domain.ports.client import ILLMClient
from loomwire.domain.requests import LLMRequest
from loomwire.domain.responses import LLMResponse
from loomwire.domain.tools import Tool
from loomwire.infrastructure.providers.offline.reply import Reply
from loomwire.testing.contracts.contract import Contract

QUESTION = "What is the capital of France? My own words: heliotrope-4711."
CANARY = "heliotrope-4711"
ANSWER = "The capital of France is Paris, on the Île de la Cité and around it. 🗼"
LONG = ANSWER * 200


class ClientHarness(Contract):
    """Makes the client and says what it can do.

    Attributes:
        supports_tools: It can hand out tool calls.
        supports_reasoning: It can hand out thinking.
        reports_usage: It hands out the usage that a reply states.
        reports_stream_usage: It does so for streams too.
        plays_in_order: `client_answering` can play several replies one after another.
        plays_breaks: It can play `Reply.cut_after`: an answer that breaks.
        plays_failures: It can play `Reply.failure`.
        obeys_deadline_s: It is a whole chain, which turns `deadline_s` into a bound; a leaf only knows `bound`.
    """

    port: ClassVar[str] = "loomwire.domain.ports.client.ILLMClient"
    supports_tools: ClassVar[bool] = True
    supports_reasoning: ClassVar[bool] = True
    reports_usage: ClassVar[bool] = True
    reports_stream_usage: ClassVar[bool] = True
    plays_in_order: ClassVar[bool] = True
    plays_breaks: ClassVar[bool] = True
    plays_failures: ClassVar[bool] = True
    obeys_deadline_s: ClassVar[bool] = False

    @abstractmethod
    def client_answering(self, *replies: Reply) -> AbstractAsyncContextManager[ILLMClient]:
        """Return a context with a fresh client whose model says the replies in order, the last one again and again.

        `FakeProvider(*replies[:-1], then=replies[-1])` is a server that does so for a client that speaks a known
        dialect; `ScriptedClient` takes the same arguments as something to wrap.
        """
        raise self.unwritten("client_answering")

    def in_use(self, client: ILLMClient) -> int:  # noqa: ARG002  # for those who can say
        """Return how many connections, permits and open streams the client holds; 0 when nobody can say."""
        return 0

    def request(self, text: str = QUESTION, tools: Sequence[Tool] = ()) -> LLMRequest:
        """Return the request of a claim; override it to add what your client cannot do without."""
        return LLMRequest.of(text, tools=tools)


async def streamed(client: ILLMClient, request: LLMRequest) -> list[StreamEvent]:
    """Return every event of a stream that is read to its end."""
    async with client.stream(request) as stream:
        return [event async for event in stream]


async def told_by_stream(client: ILLMClient, request: LLMRequest) -> LLMResponse[str]:
    """Return the answer of a stream that is read to its end."""
    async with client.stream(request) as stream:
        async for _ in stream:
            pass
        return stream.response


def text_of(events: Sequence[StreamEvent]) -> str:
    """Return the visible text of events."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))
