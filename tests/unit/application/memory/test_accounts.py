from __future__ import annotations

import threading
from contextlib import AbstractContextManager

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from loomwire.application.memory.accounts import MOST_OPERATIONS, OTHERS, Account, Accounts, MemoryUse


class Busy(Accounts):
    """Accounts that can be in the middle of a booking."""

    def booking(self) -> AbstractContextManager[bool]:
        return self._lock


def test_a_use_counts_while_its_block_lasts() -> None:
    accounts = Accounts()
    with MemoryUse(accounts, "report", 100) as use:
        assert accounts.accounts() == {"report": Account(1, 100, 100, 1)}
        use.resize(40)
        assert (use.size, accounts.accounts()["report"]) == (40, Account(1, 40, 100, 1))
    assert (use.size, accounts.accounts()["report"]) == (0, Account(0, 0, 100, 1))


def test_a_use_is_closed_once_and_cannot_grow_afterwards() -> None:
    accounts = Accounts()
    use = MemoryUse(accounts, "report", 100)
    use.close()
    use.close()
    use.resize(500)
    assert accounts.accounts()["report"] == Account(0, 0, 100, 1)


def test_a_use_that_nobody_holds_takes_nothing() -> None:
    accounts = Accounts()
    MemoryUse(accounts, "report", 100)
    assert accounts.accounts()["report"] == Account(0, 0, 100, 1)


def test_less_than_nothing_is_nothing() -> None:
    accounts = Accounts()
    use = MemoryUse(accounts, "report", -5)
    use.resize(-1)
    assert accounts.accounts() == {"report": Account(1, 0, 0, 1)}


def test_accounts_are_bounded_and_what_takes_most_comes_first() -> None:
    accounts = Accounts()
    uses = [MemoryUse(accounts, f"operation-{number}", number) for number in range(MOST_OPERATIONS + 10)]
    found = accounts.accounts()
    assert len(found) == MOST_OPERATIONS + 1
    assert next(iter(found)) == OTHERS
    assert found[OTHERS].open == 10
    for use in uses:
        use.close()
    assert {account.held_bytes for account in accounts.accounts().values()} == {0}


def test_what_ends_while_another_is_booked_is_booked_later() -> None:
    accounts = Busy()
    use = MemoryUse(accounts, "report", 7)
    with accounts.booking():
        # As the garbage collector does it: on this very thread, in the middle of a booking.
        use.close()
    assert accounts.accounts()["report"] == Account(0, 0, 7, 1)


def test_threads_lose_nothing() -> None:
    accounts = Accounts()

    def work() -> None:
        for _ in range(500):
            with MemoryUse(accounts, "work", 3) as use:
                use.resize(5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    account = accounts.accounts()["work"]
    assert (account.open, account.held_bytes, account.begun) == (0, 0, 2000)
    assert 5 <= account.peak_bytes <= 20


def test_a_child_books_although_a_thread_of_the_parent_held_the_lock() -> None:
    accounts = Busy()
    with accounts.booking():
        accounts.after_fork()
        MemoryUse(accounts, "report", 1).close()
    assert accounts.accounts()["report"].to_dict() == {"open": 0, "held_bytes": 0, "peak_bytes": 1, "begun": 1}


class Uses(RuleBasedStateMachine):
    """The sum of what is open is what is held, whatever is opened, resized, closed and dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts = Accounts()
        self.uses: list[MemoryUse] = []

    @rule(size=st.integers(0, 1000))
    def begin(self, size: int) -> None:
        self.uses.append(MemoryUse(self.accounts, "work", size))

    @rule(place=st.integers(0, 50), size=st.integers(0, 1000))
    def resize(self, place: int, size: int) -> None:
        for use in self.uses[place : place + 1]:
            use.resize(size)

    @rule(place=st.integers(0, 50))
    def close(self, place: int) -> None:
        for use in self.uses[place : place + 1]:
            use.close()

    @rule(place=st.integers(0, 50))
    def drop(self, place: int) -> None:
        del self.uses[place : place + 1]

    @invariant()
    def sums_agree(self) -> None:
        account = self.accounts.accounts().get("work", Account())
        assert account.held_bytes == sum(use.size for use in self.uses)
        assert account.peak_bytes >= account.held_bytes


TestUses = Uses.TestCase
