"""Usage and money: integers inside, Decimal at the edges, and never an invented price."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Context, Decimal
from typing import Literal, Self, TypeAlias

from loomwire.domain.values import JSON, Source

MICRO_USD = 1_000_000
# Our own: the thread's context is the host's, and with its precision money could come out too small.
_WIDE = Context(prec=60)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, in the inclusive convention: parts are never added to their totals again.

    Attributes:
        input_tokens: All input, INCLUDING cache reads and writes.
        output_tokens: All output, INCLUDING reasoning.
        cache_read_tokens: The part of the input that came from the provider's prompt cache.
        cache_write_tokens: The part of the input that was written to it.
        reasoning_tokens: The part of the output that was thinking.
        estimated: True when the provider did not say and loomwire estimated.
        reported_total: The provider's own total, or None; kept for comparison only.
        known: False when nothing is known, and then all counts are 0; in a sum, when that is so for a part of it, and
            then the counts are the least that was used.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    estimated: bool = False
    reported_total: int | None = None
    known: bool = True

    @property
    def total_tokens(self) -> int:
        """Input plus output."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        """Sum two answers, for instance an answer and its re-ask; the providers' own totals are not summed."""
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
            estimated=self.estimated or other.estimated,
            known=self.known and other.known,
        )

    def to_dict(self) -> dict[str, JSON]:
        """Return the usage as JSON."""
        return {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "reasoning_tokens": self.reasoning_tokens,
            "estimated": self.estimated,
            "known": self.known,
        }


NO_USAGE = Usage(known=False)
"""The provider said nothing about usage."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost.

    Attributes:
        micro_usd: Millionths of a US dollar, rounded up once per answer.
        estimated: The usage it rests on was estimated.
    """

    micro_usd: int
    estimated: bool = False

    @property
    def usd(self) -> Decimal:
        """The cost in US dollars."""
        return _WIDE.divide(Decimal(self.micro_usd), MICRO_USD)

    def __add__(self, other: Cost | Unpriced) -> Cost | Unpriced:
        """Sum two costs; an unknown part makes the sum unknown."""
        if isinstance(other, Unpriced):
            return other
        return Cost(self.micro_usd + other.micro_usd, self.estimated or other.estimated)


@dataclass(frozen=True, slots=True)
class Unpriced:
    """The cost is not known. It is never taken for 0.

    Attributes:
        reason: no_price (nobody set one) or no_usage (the provider did not say what was used).
    """

    reason: Literal["no_price", "no_usage"]

    def __add__(self, other: Cost | Unpriced) -> Unpriced:
        """An unknown part makes the sum unknown."""
        return self


Charge: TypeAlias = Cost | Unpriced
FREE = Cost(0)


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of one model, resolved to integers when the client is built.

    Attributes:
        input_pico: Millionths of a millionth of a US dollar per input token (US dollars per million tokens, times 1e6).
        output_pico: The same for output.
        cache_read_pico: The same for cached input; the input price where a vendor has none.
        cache_write_pico: The same for input written to the cache.
        source: Who says so.
    """

    input_pico: int
    output_pico: int
    cache_read_pico: int
    cache_write_pico: int
    source: Source = "yaml"

    @classmethod
    def per_mtok(
        cls,
        input_usd: Decimal,
        output_usd: Decimal,
        cache_read_usd: Decimal | None = None,
        cache_write_usd: Decimal | None = None,
        source: Source = "yaml",
    ) -> Self:
        """Build from US dollars per million tokens; a missing cache price is the input price.

        Args:
            input_usd: Input.
            output_usd: Output.
            cache_read_usd: Input from the provider's cache.
            cache_write_usd: Input written to it.
            source: Who says so.

        Raises:
            ValueError: A price is negative or not a finite number.
        """
        read = input_usd if cache_read_usd is None else cache_read_usd
        write = input_usd if cache_write_usd is None else cache_write_usd
        return cls(_pico(input_usd), _pico(output_usd), _pico(read), _pico(write), source)

    @property
    def are_zero(self) -> bool:
        """Whether nothing costs anything."""
        return not (self.input_pico or self.output_pico or self.cache_read_pico or self.cache_write_pico)

    def charge(self, usage: Usage) -> Charge:
        """Return the cost of a usage, rounded up to a millionth of a dollar; unknown usage is `Unpriced`.

        Example:
            >>> Prices.per_mtok(Decimal(5), Decimal(25)).charge(Usage(1_000, 10)).usd
            Decimal('0.00525')
        """
        if not usage.known:
            return Unpriced("no_usage")
        plain = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
        total = (
            max(plain, 0) * self.input_pico
            + usage.cache_read_tokens * self.cache_read_pico
            + usage.cache_write_tokens * self.cache_write_pico
            + usage.output_tokens * self.output_pico
        )
        return Cost(-(-total // MICRO_USD), usage.estimated)


def _pico(usd_per_mtok: Decimal) -> int:
    if not usd_per_mtok.is_finite() or usd_per_mtok < 0:
        raise ValueError("a price must be a number of US dollars, 0 or more")
    numerator, denominator = usd_per_mtok.as_integer_ratio()
    return -(-numerator * MICRO_USD // denominator)
