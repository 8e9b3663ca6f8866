"""How the loopback server answers requests for embeddings and ranks, in the wording of every dialect."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, final

from typing_extensions import override

from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.vectors.shapes import AskedFor, Shape, read
from loomwire.testing.speaking import Saying, Speaker, Worded
from loomwire.testing.wire import Asked, HttpReply, ReceivedRequest

_BYTES_PER_TOKEN: Final = 4


@final
class VectorSpeaker(Speaker):
    """Gives every text its `hashed_vector`, and documents their `word_ranks`: what a reply says is not looked at.

    A reply's failure, delay, cut and usage hold here too. Without usage, four bytes of the request count as a token.

    Args:
        shape: The dialect's wording.
        errors: Words errors.
    """

    __slots__ = ("_errors", "_shape")

    def __init__(self, shape: Shape, errors: Speaker) -> None:
        """Speak in this wording."""
        self._shape = shape
        self._errors = errors

    @override
    def serves(self, path: str) -> bool:
        return path.endswith(self._shape.ends)

    @override
    def asks(self, path: str, body: bytes) -> Asked | None:
        value = read(body)
        return None if value is None else self._shape.asks(path.partition("?")[0], value)

    @override
    def listing(self, path: str, models: Sequence[str]) -> HttpReply | None:
        return None

    @override
    def words(self, reply: Reply, request: ReceivedRequest) -> Worded:
        if reply.failure is not None:
            return self._errors.refusal(reply.failure)
        asked = request.asked
        if not isinstance(asked, AskedFor):
            return self._errors.refusal(Failure("invalid_request", "the body asks for no vectors and no ranks", 400))
        usage = Usage(len(request.body) // _BYTES_PER_TOKEN) if reply.usage is None else reply.usage
        said = self._shape.says(asked, usage.input_tokens if usage.known else None)
        return Saying(
            model=asked.model,
            usage=Usage(usage.input_tokens) if usage.known else NO_USAGE,
            content_type="application/json",
            request_id=f"req-{request.number:012d}",
            body=json.dumps(said, default=list).encode(),
            delay_s=reply.delay_s,
            cut=reply.cut_after is not None,
            pace=None if request.pace is None else request.pace.of(request.number),
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
