"""Usage and money against exact arithmetic: nothing is invented, nothing is charged below what it costs."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from decimal import ROUND_DOWN, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.pricing import FREE, NO_USAGE, Charge, Cost, Prices, Unpriced, Usage

TOKENS = st.integers(0, 10**7)
MICRO = st.decimals(0, 10**4, places=6)
ANY_PRICE = st.decimals(0, 10**6, allow_nan=False, allow_infinity=False)
COUNTS = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    """Usages as providers report them: the parts lie within their totals."""
    read, write, plain = draw(TOKENS), draw(TOKENS), draw(TOKENS)
    output = draw(TOKENS)
    return Usage(
        input_tokens=plain + read + write,
        output_tokens=output,
        cache_read_tokens=read,
        cache_write_tokens=write,
        reasoning_tokens=draw(st.integers(0, output)),
        estimated=draw(st.booleans()),
        reported_total=draw(st.none() | TOKENS),
        known=draw(st.booleans()),
    )


CHARGES = st.builds(Cost, TOKENS, st.booleans()) | st.builds(Unpriced, st.sampled_from(["no_price", "no_usage"]))


def exact_usd(usage: Usage, given_prices: tuple[Decimal, Decimal, Decimal, Decimal]) -> Fraction:
    """Return what a usage costs to the last digit, written apart from the code."""
    price_in, price_out, price_read, price_write = (Fraction(price) / 10**6 for price in given_prices)
    fresh = usage.input_tokens - usage.cache_read_tokens - usage.cache_write_tokens
    return (
        fresh * price_in
        + usage.output_tokens * price_out
        + usage.cache_read_tokens * price_read
        + usage.cache_write_tokens * price_write
    )


@given(usages(), st.tuples(MICRO, MICRO, MICRO, MICRO))
def test_a_charge_is_the_exact_cost_rounded_up_to_a_millionth_once(
    usage: Usage, given_prices: tuple[Decimal, Decimal, Decimal, Decimal]
) -> None:
    usage = replace(usage, known=True)
    micro = math.ceil(exact_usd(usage, given_prices) * 10**6)
    assert Prices.per_mtok(*given_prices).charge(usage) == Cost(micro, usage.estimated)


@given(usages(), st.tuples(ANY_PRICE, ANY_PRICE, ANY_PRICE, ANY_PRICE), st.integers(1, 6))
def test_a_charge_is_never_below_the_cost_whatever_decimal_context_the_host_has(
    usage: Usage, given_prices: tuple[Decimal, Decimal, Decimal, Decimal], precision: int
) -> None:
    usage = replace(usage, known=True)
    with localcontext(prec=precision, rounding=ROUND_DOWN):
        charge = Prices.per_mtok(*given_prices).charge(usage)
        assert isinstance(charge, Cost)
        usd = charge.usd
    exact = exact_usd(usage, given_prices)
    assert Fraction(usd) == Fraction(charge.micro_usd, 10**6)
    # Prices are kept to a millionth of a millionth a token, so the whole error stays below that and one rounding.
    assert exact <= Fraction(usd) < exact + Fraction(1, 10**6) + Fraction(usage.total_tokens, 10**12)


def test_reasoning_is_part_of_the_output_and_is_not_paid_twice() -> None:
    prices = Prices.per_mtok(Decimal(1), Decimal(10))
    assert prices.charge(Usage(0, 100, reasoning_tokens=90)) == prices.charge(Usage(0, 100)) == Cost(1000)


def test_cached_input_is_paid_at_its_own_price_and_not_at_the_plain_one() -> None:
    prices = Prices.per_mtok(Decimal(10), Decimal(0), Decimal(1), Decimal("12.5"))
    assert prices.charge(Usage(300, 0, cache_read_tokens=100, cache_write_tokens=100)) == Cost(1000 + 100 + 1250)


def test_more_cached_than_input_is_a_servers_mistake_that_earns_nobody_money() -> None:
    prices = Prices.per_mtok(Decimal(10), Decimal(0), Decimal(1))
    assert prices.charge(Usage(10, 0, cache_read_tokens=100)) == Cost(100)


def test_a_missing_cache_price_is_the_input_price() -> None:
    five, one = Decimal(5), Decimal(1)
    assert Prices.per_mtok(five, one) == Prices(5_000_000, 1_000_000, 5_000_000, 5_000_000)
    assert Prices.per_mtok(five, one, Decimal(0), Decimal(2)) == Prices(5_000_000, 1_000_000, 0, 2_000_000)


@pytest.mark.parametrize("price", ["-0.000001", "NaN", "sNaN", "Infinity", "-Infinity"])
def test_a_price_below_nothing_or_without_a_number_is_refused(price: str) -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Prices.per_mtok(Decimal(1), Decimal(price))


def test_unknown_usage_has_no_cost_and_zero_usage_costs_nothing() -> None:
    prices = Prices.per_mtok(Decimal(5), Decimal(25))
    assert prices.charge(NO_USAGE) == Unpriced("no_usage")
    assert prices.charge(Usage()) == FREE == Cost(0)


def test_an_estimate_stays_marked_as_one() -> None:
    assert Prices.per_mtok(Decimal(5), Decimal(25)).charge(Usage(1, estimated=True)) == Cost(5, estimated=True)


@given(st.integers(0, 10**20))
def test_dollars_are_exact_and_never_in_powers_of_ten(micro: int) -> None:
    usd = Cost(micro).usd
    assert usd * 1 == Decimal(micro).scaleb(-6)
    assert "E" not in str(usd)


@given(usages(), usages())
def test_a_sum_of_usages_counts_every_token_once_and_forgets_no_doubt(left: Usage, right: Usage) -> None:
    total = left + right
    for name in COUNTS:
        assert getattr(total, name) == getattr(left, name) + getattr(right, name)
    assert total.total_tokens == left.total_tokens + right.total_tokens
    assert total.estimated is (left.estimated or right.estimated)
    assert total.known is (left.known and right.known)
    assert total.reported_total is None


@given(usages(), usages(), usages())
def test_the_order_of_adding_usages_does_not_matter(a: Usage, b: Usage, c: Usage) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)


@given(usages())
def test_no_usage_adds_no_token_but_makes_the_sum_uncertain(usage: Usage) -> None:
    assert usage + NO_USAGE == replace(usage, known=False, reported_total=None)
    assert usage + Usage() == replace(usage, reported_total=None)


@given(usages())
def test_a_usage_is_json_without_the_providers_own_total(usage: Usage) -> None:
    assert usage.to_dict() == {f.name: getattr(usage, f.name) for f in fields(usage) if f.name != "reported_total"}


@given(CHARGES, CHARGES)
def test_an_unknown_part_makes_the_sum_unknown_and_never_nothing(left: Charge, right: Charge) -> None:
    total = left + right
    if isinstance(left, Cost) and isinstance(right, Cost):
        assert total == Cost(left.micro_usd + right.micro_usd, left.estimated or right.estimated)
    else:
        assert total == (left if isinstance(left, Unpriced) else right)


def test_a_usage_without_a_price_can_not_be_taken_for_a_free_one() -> None:
    assert not hasattr(Unpriced("no_price"), "usd")
    assert not isinstance(Unpriced("no_price"), Cost)
