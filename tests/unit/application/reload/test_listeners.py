from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from loomwire.application.reload.listeners import Listeners
from loomwire.application.reload.telling import Teller
from loomwire.domain.errors import LLMValidationError

Listener = Callable[[str], Awaitable[None] | None]


class Told(Listeners[Listener]):
    """Listeners that are told words."""

    def __init__(self) -> None:
        self.teller = Teller()
        super().__init__(self.teller)

    def say(self, word: str) -> None:
        """Tell every listener a word."""
        self.tell(lambda listener: listener(word))
        self.teller.run()


def test_what_a_listener_raises_is_logged_by_type_and_the_next_is_told(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Told()
    told: list[str] = []

    def failing(word: str) -> None:
        raise ValueError(f"canary {word}")

    listeners.add(failing)
    listeners.add(told.append)
    listeners.say("x")
    assert told == ["x"]
    assert "a listener of reloads failed: ValueError" in caplog.text
    assert "canary" not in caplog.text


def test_a_listener_that_was_removed_is_not_told_and_one_added_twice_is_told_twice() -> None:
    listeners = Told()
    told: list[str] = []
    forget = listeners.add(told.append)
    listeners.add(told.append)
    listeners.say("x")
    forget()
    forget()
    listeners.say("y")
    assert told == ["x", "x", "y"]


async def test_an_async_listener_runs_in_the_loop_it_was_registered_in() -> None:
    listeners = Told()
    told: asyncio.Queue[tuple[str, threading.Thread]] = asyncio.Queue()

    async def listener(word: str) -> None:
        await asyncio.sleep(0)
        told.put_nowait((word, threading.current_thread()))

    class Object:
        """Called like a function."""

        async def __call__(self, word: str) -> None:
            await listener(word)

    listeners.add(listener)
    listeners.add(Object())
    await asyncio.to_thread(listeners.say, "x")
    assert [await told.get(), await told.get()] == [("x", threading.current_thread())] * 2


async def test_what_an_async_listener_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Told()
    done = asyncio.Event()

    async def failing(word: str) -> None:
        done.set()
        raise ValueError(word)

    listeners.add(failing)
    await asyncio.to_thread(listeners.say, "x")
    await done.wait()
    await asyncio.sleep(0)
    assert "a listener of reloads failed: ValueError" in caplog.text


def test_an_async_listener_needs_a_loop() -> None:
    async def listener(word: str) -> None:
        """Do nothing."""

    with pytest.raises(LLMValidationError, match="inside the event loop that shall run it"):
        Told().add(listener)


def test_what_is_no_function_is_no_listener() -> None:
    with pytest.raises(LLMValidationError, match="a listener is a function, not NoneType"):
        Listeners[Listener | None](Teller()).add(None)


def test_a_listener_whose_loop_is_closed_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Told()

    async def listener(word: str) -> None:
        """Do nothing."""

    async def register() -> None:
        listeners.add(listener)

    asyncio.run(register())
    listeners.say("x")
    assert not caplog.text


def test_a_plain_function_that_returns_a_coroutine_is_told_off(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Told()

    async def inner(word: str) -> None:
        """Do nothing."""

    listeners.add(lambda word: inner(word + "!"))
    listeners.say("x")
    assert "write it as `async def`" in caplog.text


async def test_an_async_object_may_return_nothing_to_wait_for() -> None:
    listeners = Told()
    told = asyncio.Event()

    async def registered(word: str) -> None:
        """Only for its kind."""

    listeners.add(registered)
    listeners.tell(lambda _: told.set())
    await asyncio.to_thread(listeners.teller.run)
    await told.wait()
