"""How the loopback server answers requests for embeddings and ranks, in the wording of every dialect."""

from __future__ import annotations

from typing import Final, final

from typing_extensions import override

from loomwire.domain.pricing import NO_USAGE, Usage
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.speakers.borrowing import BorrowingSpeaker, PlainWording
from loomwire.testing.speakers.vectors.shapes import AskedFor, Shape
from loomwire.testing.speaking import Speaker
from loomwire.testing.wire import ReceivedRequest

_BYTES_PER_TOKEN: Final = 4


@final
class VectorSpeaker(BorrowingSpeaker):
    """Gives every text its `hashed_vector`, and documents their `word_ranks`.

    Without usage in the reply, four bytes of the request count as a token.

    Args:
        shape: The dialect's wording.
        errors: Words errors.
    """

    __slots__ = ("_shape",)

    def __init__(self, shape: Shape, errors: Speaker) -> None:
        """Speak in this wording."""
        super().__init__(shape.ends, shape, errors)
        self._shape = shape

    @override
    def worded(self, reply: Reply, request: ReceivedRequest) -> PlainWording | Failure:
        asked = request.asked
        if not isinstance(asked, AskedFor):
            return Failure("invalid_request", "the body asks for no vectors and no ranks", 400)
        usage = Usage(len(request.body) // _BYTES_PER_TOKEN) if reply.usage is None else reply.usage
        said = self._shape.says(asked, usage.input_tokens if usage.known else None)
        return PlainWording(asked.model, Usage(usage.input_tokens) if usage.known else NO_USAGE, said)
