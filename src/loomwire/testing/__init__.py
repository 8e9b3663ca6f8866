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
from loomwire.testing.chat import ChatReply, chat_error, chat_events
from loomwire.testing.clock import FakeClock
from loomwire.testing.loopback import LoopbackProvider
from loomwire.testing.queued import After
from loomwire.testing.scripted import ScriptedClient
from loomwire.testing.sink import RecordingSink
from loomwire.testing.traffic import LoopbackStats
from loomwire.testing.wire import End, HttpReply, LoopbackRequest, RawReply, WireReply, http_chunk

__all__ = [
    "After",
    "ChatReply",
    "End",
    "Failure",
    "FakeClock",
    "HttpReply",
    "LoopbackProvider",
    "LoopbackRequest",
    "LoopbackStats",
    "RawReply",
    "RecordingSink",
    "Reply",
    "ScriptedClient",
    "WireReply",
    "chat_error",
    "chat_events",
    "http_chunk",
]
