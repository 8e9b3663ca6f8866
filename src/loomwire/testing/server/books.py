"""The money side of the fake provider: what it would bill, counted by itself and from nothing that a client says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loomwire.domain.pricing import Cost, Prices, Usage
from loomwire.domain.values import FrozenDict
from loomwire.testing.wire import ReceivedRequest, Said


@dataclass(frozen=True, slots=True)
class Book:
    """What the server has billed, of one model or of all.

    Attributes:
        requests: Requests received, refused ones included; each is counted when its answer has ended.
        billed: Those a model had produced something for.
        usage: The tokens of these, summed.
        answers: How many answers took exactly so much; about 300 bytes for each different usage.
    """

    requests: int = 0
    billed: int = 0
    usage: Usage = Usage()
    answers: Mapping[Usage, int] = FrozenDict()

    def cost(self, prices: Prices) -> int:
        """Return what it costs in millionths of a US dollar, every answer rounded up by itself, as clients round."""
        charged = ((prices.charge(usage), count) for usage, count in self.answers.items())
        return sum(charge.micro_usd * count for charge, count in charged if isinstance(charge, Cost))


@dataclass(frozen=True, slots=True)
class Books:
    """A snapshot of the server's books.

    Attributes:
        models: The book of each model that was asked for; requests of no dialect stand under "".
    """

    models: Mapping[str, Book]

    @property
    def overall(self) -> Book:
        """All models together."""
        answers: Counter[Usage] = Counter()
        for book in self.models.values():
            answers.update(book.answers)
        return _book(sum(book.requests for book in self.models.values()), answers)

    def cost(self, prices: Prices | Mapping[str, Prices]) -> int:
        """Return what everything costs in millionths of a US dollar, with one price for all or one per model.

        Raises:
            KeyError: A model that was billed has no price; nothing is invented.

        Example:
            >>> from decimal import Decimal
            >>> books = Books({"m": Book(1, 1, Usage(1_000, 10), {Usage(1_000, 10): 1})})
            >>> books.cost(Prices.per_mtok(Decimal(5), Decimal(25)))
            5250
        """
        return sum(
            book.cost(prices if isinstance(prices, Prices) else prices[model])
            for model, book in self.models.items()
            if book.billed
        )


class BookKeeper:
    """Keeps the books of one server. Belongs to its loop."""

    def __init__(self) -> None:
        """Begin with empty books."""
        self._requests: Counter[str] = Counter()
        self._answers: dict[str, Counter[Usage]] = {}

    @property
    def books(self) -> Books:
        """The books so far, as a value that does not change."""
        return Books(
            FrozenDict({name: _book(count, self._answers.get(name, {})) for name, count in self._requests.items()})
        )

    def note(self, request: ReceivedRequest) -> None:
        """Book a request whose answer has ended, one way or the other, and tell it what it was billed."""
        self._requests[request.model] += 1
        said = request.saying
        if said is None:
            return
        usage = request.billed = _billed(said, request)
        self._answers.setdefault(request.model, Counter())[usage] += 1


def _billed(said: Said, request: ReceivedRequest) -> Usage:
    whole = said.usage
    if request.outcome == "answered":
        return whole
    output = said.output_tokens_in(request.sent)
    return Usage(
        whole.input_tokens,
        output,
        whole.cache_read_tokens,
        whole.cache_write_tokens,
        # Thinking comes first.
        min(whole.reasoning_tokens, output),
    )


def _book(requests: int, answers: Mapping[Usage, int]) -> Book:
    return Book(requests, sum(answers.values()), _sum(answers.items()), FrozenDict(answers))


def _sum(answers: Iterable[tuple[Usage, int]]) -> Usage:
    total = [0] * 5
    for usage, count in answers:
        for place, tokens in enumerate(
            (
                usage.input_tokens,
                usage.output_tokens,
                usage.cache_read_tokens,
                usage.cache_write_tokens,
                usage.reasoning_tokens,
            )
        ):
            total[place] += tokens * count
    return Usage(total[0], total[1], total[2], total[3], total[4])
