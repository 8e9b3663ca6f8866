"""How the loopback server counts tokens, in the wording of every dialect that has an endpoint for it."""

from __future__ import annotations

from typing import Final, final

from typing_extensions import override

from loomwire.domain.pricing import Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.borrowing import BorrowingSpeaker, PlainWording
from loomwire.testing.speakers.counting.shapes import AskedToCount, CountShape
from loomwire.testing.speaking import Speaker
from loomwire.testing.wire import ReceivedRequest

_BYTES_PER_TOKEN: Final = 4


@final
class CountSpeaker(BorrowingSpeaker):
    """Tells the input tokens of a reply's usage, else four bytes of the request as a token. It books nothing.

    Args:
        shape: The dialect's wording.
        errors: Words errors.
    """

    __slots__ = ("_shape",)

    def __init__(self, shape: CountShape, errors: Speaker) -> None:
        """Speak in this wording."""
        super().__init__(shape.end, shape, errors)
        self._shape = shape

    @override
    def worded(self, reply: Reply, request: ReceivedRequest) -> PlainWording | Failure:
        asked, shape = request.asked, self._shape
        if not isinstance(asked, AskedToCount):
            return Failure("invalid_request", f"{shape.needs}: Field required", 400)
        if asked.unknown is not None:
            return Failure("invalid_request", f"{asked.unknown}: Extra inputs are not permitted", 400)
        told = reply.usage if reply.usage is not None and reply.usage.known else None
        tokens = len(request.body) // _BYTES_PER_TOKEN if told is None else told.input_tokens
        return PlainWording(asked.model, Usage(), shape.says(tokens), shape.id_header)
