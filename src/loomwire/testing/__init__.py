"""Fakes for tests: a client without a model, a clock that waits for you, a provider on this machine.

Nothing here opens a connection to anywhere but loopback, and nothing needs a key, except a `Recorder` that was told to
record: it listens to the real connections.

Example:
    >>> import asyncio
    >>> from loomwire.domain.requests import LLMRequest
    >>> client = ScriptedClient("Paris.")
    >>> asyncio.run(client.generate(LLMRequest.of("The capital of France?"))).text
    'Paris.'
"""

from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.clock import FakeClock
from loomwire.testing.embedders import HashEmbedder, WordReranker, hashed_vector, word_ranks
from loomwire.testing.faults.fault import Fault
from loomwire.testing.faults.outside import FakeResolver
from loomwire.testing.faults.table import FAULTS
from loomwire.testing.pacing import Pace
from loomwire.testing.queued import After
from loomwire.testing.recorder import Cutting, Recorder
from loomwire.testing.scripted import ScriptedClient
from loomwire.testing.server.books import Book, Books
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.server.traffic import TrafficStats
from loomwire.testing.sink import RecordingSink
from loomwire.testing.speakers.openai_chat import chat_error, chat_events
from loomwire.testing.wire import End, HttpReply, RawReply, ReceivedRequest, WireReply, http_chunk

__all__ = [
    "After",
    "Book",
    "Books",
    "Cutting",
    "End",
    "FAULTS",
    "Failure",
    "FakeClock",
    "FakeResolver",
    "Fault",
    "HashEmbedder",
    "HttpReply",
    "FakeProvider",
    "Pace",
    "ReceivedRequest",
    "TrafficStats",
    "RawReply",
    "Recorder",
    "RecordingSink",
    "Reply",
    "ScriptedClient",
    "WireReply",
    "WordReranker",
    "chat_error",
    "chat_events",
    "hashed_vector",
    "http_chunk",
    "word_ranks",
]
