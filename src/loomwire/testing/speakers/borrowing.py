"""What the speakers of endpoints beside the chat share: plain answers only, and the chat dialect's errors."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.domain.values import JSON
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest


class AskingShape(Protocol):
    """What an endpoint's requests look like."""

    @abstractmethod
    def asks(self, path: str, body: Mapping[str, JSON]) -> Asked | None:
        """Return what a request asks for, or None when it is none of the endpoint."""


class PlainWording(NamedTuple):
    """How an endpoint answers.

    Attributes:
        model: The model that is asked for.
        usage: What the provider counts, whether or not the answer tells it.
        body: The answer.
        id_header: The header that says the request's id.
    """

    model: str
    usage: Usage
    body: Mapping[str, JSON]
    id_header: str = "x-request-id"


class BorrowingSpeaker(Speaker):
    """Answers at one endpoint. A reply's failure, delay, cut and pace hold here too; what it says is not looked at.

    Args:
        ends: How the endpoint's paths end.
        shape: Reads the requests.
        errors: Words errors.
    """

    __slots__ = ("_asking", "_ends", "_errors")

    def __init__(self, ends: str | tuple[str, ...], shape: AskingShape, errors: Speaker) -> None:
        """Speak at this endpoint."""
        self._ends = ends
        self._asking = shape
        self._errors = errors

    @abstractmethod
    def worded(self, reply: Reply, request: ReceivedRequest) -> PlainWording | Failure:
        """Return the answer to a request, or why it is refused."""

    @override
    def serves(self, path: str) -> bool:
        return path.endswith(self._ends)

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        value = _read(body)
        return None if value is None else self._asking.asks(path.partition("?")[0], value)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return None

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        worded = self.worded(reply, request) if reply.failure is None else reply.failure
        if isinstance(worded, Failure):
            return self.refusal(worded)
        return Saying(
            model=worded.model,
            usage=worded.usage,
            content_type="application/json",
            request_id=f"req-{request.number:012d}",
            body=json.dumps(worded.body, default=list).encode(),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
            pace=None if request.pace is None else request.pace.of(request.number),
            id_header=worded.id_header,
        )

    @override
    def refusal(self, failure: Failure) -> HttpReply:
        return self._errors.refusal(failure)

    @override
    def error_event(self, failure: Failure) -> bytes:
        return self._errors.error_event(failure)

    @override
    def spoiled(self, saying: Saying) -> Mapping[str, Saying]:
        return {}


def _read(body: bytes) -> Mapping[str, JSON] | None:
    try:
        value: JSON = json.loads(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
