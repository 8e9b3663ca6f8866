"""Fakes for tests: a client without a model, a clock that waits for you, a provider on this machine.

Nothing here opens a connection to anywhere but loopback, and nothing needs a key.

Example:
    >>> import asyncio
    >>> from loomwire.domain.requests import LLMRequest
    >>> client = ScriptedClient("Paris.")
    >>> asyncio.run(client.generate(LLMRequest.of("The capital of France?"))).text
    'Paris.'
"""

from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.clock import FakeClock
from loomwire.testing.scripted import ScriptedClient
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.server.queued import After
from loomwire.testing.server.traffic import TrafficStats
from loomwire.testing.sink import RecordingSink
from loomwire.testing.speakers.openai_chat import chat_error, chat_events
from loomwire.testing.wire import End, HttpReply, RawReply, ReceivedRequest, WireReply, http_chunk

__all__ = [
    "After",
    "End",
    "Failure",
    "FakeClock",
    "HttpReply",
    "FakeProvider",
    "ReceivedRequest",
    "TrafficStats",
    "RawReply",
    "RecordingSink",
    "Reply",
    "ScriptedClient",
    "WireReply",
    "chat_error",
    "chat_events",
    "http_chunk",
]
