from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loomwire.application.state.pacing.line import Line
from loomwire.application.state.pacing.waiter import AGEING_S, Waiter


async def waiter(asked: float, urgency: int = 1, tokens: int = 1) -> Waiter:
    """Return one that waits in the running loop."""
    return Waiter(tokens, 100.0, urgency, asked)


async def order(line: Line) -> list[Waiter]:
    """Return the waiting ones in the order in which they are served."""
    served = []
    while (head := line.first()) is not None:
        line.remove(head)
        served.append(head)
    return served


async def test_a_class_is_served_in_the_order_in_which_it_asked() -> None:
    line = Line()
    waiters = [await waiter(float(number)) for number in range(5)]
    for one in waiters:
        line.add(one)
    assert list(line) == waiters
    assert await order(line) == waiters


async def test_the_urgent_go_first_but_not_before_those_who_waited_long_enough() -> None:
    line = Line()
    old, late = await waiter(0.0, 2), await waiter(2 * AGEING_S - 1, 0)
    normal, too_late = await waiter(AGEING_S, 1), await waiter(2 * AGEING_S + 1, 0)
    for one in (old, normal, late, too_late):
        line.add(one)
    assert await order(line) == [late, normal, old, too_late]


async def test_who_left_leaves_nothing_and_may_leave_twice() -> None:
    line = Line()
    one, other = await waiter(0.0, tokens=5), await waiter(1.0, tokens=7)
    line.add(one)
    line.add(other)
    line.remove(one)
    line.remove(one)
    assert (line.count, line.ahead_of(await waiter(2.0))) == (1, (1, 7))


@given(
    st.lists(st.tuples(st.floats(0, 30) | st.just(20.0), st.integers(0, 2), st.integers(0, 9)), max_size=20),
    st.integers(0, 2),
)
async def test_a_newcomer_is_told_exactly_who_is_served_before(
    standing: list[tuple[float, int, int]], urgency: int
) -> None:
    line = Line()
    for asked, its_urgency, tokens in sorted(standing):
        line.add(await waiter(asked, its_urgency, tokens))
    newcomer = await waiter(30.0, urgency)
    ahead = line.ahead_of(newcomer)
    line.add(newcomer)
    served = await order(line)
    before = served[: served.index(newcomer)]
    assert ahead[0] == len(before)
    assert ahead[1] == sum(one.tokens for one in before)
