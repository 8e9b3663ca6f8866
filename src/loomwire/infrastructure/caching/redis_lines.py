"""RedisLine: one connection to a Redis server on one event loop, on which all callers share round trips."""

from __future__ import annotations

import asyncio
import contextlib
import re
import weakref
from abc import abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from typing import Final, Protocol, TypeAlias

from loomwire.domain.values import Secret

Command: TypeAlias = tuple[str | bytes | int, ...]
"""What is sent: the name of a command and what it takes."""

_A_DAY_S: Final = 86_400.0
_CONNECT_S: Final = 5.0
# What is lost keeps everybody behind it waiting for so long; looks themselves are given up much earlier.
_ANSWER_S: Final = 1.0
_AT_ONCE: Final = 64
_MOST_WAITING: Final = 10_000
_WORD: Final = re.compile(r"[A-Z]{3,20}\b")


class LineError(Exception):
    """The server could not be asked, or refused.

    Attributes:
        word: What it was, without anything the server or the configuration said about it.
    """

    def __init__(self, word: str) -> None:
        """Keep the word."""
        super().__init__(word)
        self.word = word


class Connection(Protocol):
    """What is used of a connection of redis-py."""

    @abstractmethod
    async def connect(self) -> None:
        """Connect, and log in."""

    @abstractmethod
    def pack_commands(self, commands: Iterable[Command], /) -> list[bytes]:
        """Return commands as they are sent."""

    @abstractmethod
    async def send_packed_command(self, command: Iterable[bytes], check_health: bool = True) -> None:  # noqa: FBT001, FBT002  # theirs
        """Send them."""

    @abstractmethod
    async def read_response(self, disable_decoding: bool = False) -> object:  # noqa: FBT001, FBT002  # theirs
        """Return the next answer, or raise what the server said."""

    @abstractmethod
    async def disconnect(self, nowait: bool = False) -> None:  # noqa: FBT001, FBT002  # theirs
        """Close."""


Dial: TypeAlias = Callable[[], Connection]
"""Makes a connection that is not open yet; may block, so it is called on a thread."""


def dialling(url: Secret) -> Dial:
    """Return what makes connections to a server.

    Args:
        url: redis://, rediss:// or unix://, with the password in it.
    """

    def dial() -> Connection:
        from redis.asyncio.connection import ConnectionPool
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        # The line tries again by itself, once and at once; what the library does by itself takes seconds.
        options = {"protocol": 2, "retry": Retry(NoBackoff(), 0), "socket_timeout": None}
        pool: ConnectionPool = ConnectionPool.from_url(url.reveal(), **options)
        make: Callable[[], Connection] = pool.make_connection
        connection = make()
        # Reads the system's authorities from files, which must not happen on a loop.
        context = getattr(connection, "ssl_context", None)
        if context is not None and hasattr(context, "get"):
            context.get()
        return connection

    return dial


class _Asked:
    """Commands of one caller, and where their answers go."""

    __slots__ = ("commands", "told")

    def __init__(self, commands: Sequence[Command], told: asyncio.Future[Sequence[object] | str]) -> None:
        self.commands = commands
        self.told = told

    def tell(self, answer: Sequence[object] | str) -> None:
        if not self.told.done():
            self.told.set_result(answer)


class RedisLine:
    """Asks one server on the running event loop; only to be used there.

    What several callers want at the same moment travels together. A caller that is cancelled leaves its answer to be
    read and dropped, so the line stays in step and open. No task lives while nobody asks. The loop owns the line, and
    closes it when it is shut down properly; whoever made it may only point at it weakly.

    Args:
        dial: Makes a connection.

    Attributes:
        loop: The loop it belongs to.
        left: It is closed.
    """

    def __init__(self, dial: Dial) -> None:
        """Bind to the running loop; connect nowhere yet."""
        self.loop = asyncio.get_running_loop()
        self.left = False
        self._dial = dial
        self._waiting: list[_Asked] = []
        self._pump: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._is_trusted = True
        self._anchor = self.loop.call_later(_A_DAY_S, self._stay)
        self._closer: AsyncGenerator[None, None] | None = _close_with_loop(weakref.ref(self))
        _first_step(self._closer)

    async def ask(self, *commands: Command) -> Sequence[object]:
        """Send commands in one go and return their answers.

        Raises:
            LineError: The server could not be reached in 5 s, took longer than 1 s, or refused one of them.
        """
        if self.left:
            raise LineError("closed")
        if len(self._waiting) >= _MOST_WAITING:
            raise LineError("busy")
        asked = _Asked(commands, self.loop.create_future())
        self._waiting.append(asked)
        if self._pump is None:
            self._pump = self.loop.create_task(self._run())
        answer = await asked.told
        if isinstance(answer, str):
            raise LineError(answer)
        return answer

    def distrust(self) -> None:
        """Take a new connection for what is asked next: an answer was none to its command."""
        self._is_trusted = False

    async def aclose(self) -> None:
        """Close the connection; who waits is told. Idempotent."""
        if self._closer is not None:
            await self._closer.aclose()

    def leave(self) -> None:
        """Close soon; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop closed first
            self.loop.call_soon_threadsafe(self._leave)

    async def close_with_loop(self) -> None:
        """Do it. Called by the closer."""
        # The generator's hook holds the loop, so it must go for the loop to go.
        self._closer = None
        self.left = True
        self._anchor.cancel()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait([self._pump])
        await self._hang_up()

    async def _run(self) -> None:
        try:
            while batch := self._next():
                await self._serve(batch)
        finally:
            self._pump = None
            for asked in self._waiting:
                asked.tell("closed")
            self._waiting.clear()

    def _next(self) -> list[_Asked]:
        # Who was cancelled meanwhile wants nothing any more.
        waiting = [asked for asked in self._waiting if not asked.told.done()]
        self._waiting = waiting[_AT_ONCE:]
        return waiting[:_AT_ONCE]

    async def _serve(self, batch: Sequence[_Asked]) -> None:
        commands = [command for asked in batch for command in asked.commands]
        why = "closed"
        try:
            answers = await self._exchanged(commands)
        except Exception as error:  # noqa: BLE001  # whatever a server or a library does is a line that does not work
            # The library says ConnectionError also of a wrong password or certificate; what it was stands behind that.
            why = type(error.__cause__ or error.__context__ or error).__name__
        else:
            why = ""
            _deliver(batch, answers)
        finally:
            if why:
                for asked in batch:
                    asked.tell(why)
                await self._hang_up()

    async def _exchanged(self, commands: Sequence[Command]) -> list[object]:
        if not self._is_trusted:
            await self._hang_up()
        known = self._connection
        if known is None:
            return await self._exchange(await self._connected(), commands)
        try:
            return await self._exchange(known, commands)
        except TimeoutError:
            raise
        except Exception:  # noqa: BLE001  # a server may close what nobody used; only a new connection can tell
            await self._hang_up()
            return await self._exchange(await self._connected(), commands)

    async def _connected(self) -> Connection:
        connection = await self.loop.run_in_executor(None, self._dial)
        # From now on it is closed whatever happens.
        self._connection, self._is_trusted = connection, True
        async with asyncio.timeout(_CONNECT_S):
            await connection.connect()
        return connection

    @staticmethod
    async def _exchange(connection: Connection, commands: Sequence[Command]) -> list[object]:
        async with asyncio.timeout(_ANSWER_S):
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            return [await _answer(connection) for _ in commands]

    async def _hang_up(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    def _leave(self) -> None:
        self._leaving = self.loop.create_task(self.aclose())

    def _stay(self) -> None:
        self._anchor = self.loop.call_later(_A_DAY_S, self._stay)


async def _answer(connection: Connection) -> object:
    from redis.exceptions import ResponseError

    try:
        return await connection.read_response(disable_decoding=True)
    except ResponseError as error:
        found = _WORD.match(str(error))
        return LineError(found.group() if found and type(error) is ResponseError else type(error).__name__)


def _deliver(batch: Sequence[_Asked], answers: Sequence[object]) -> None:
    at = 0
    for asked in batch:
        own = answers[at : at + len(asked.commands)]
        at += len(asked.commands)
        refused = next((answer.word for answer in own if isinstance(answer, LineError)), None)
        asked.tell(own if refused is None else refused)


async def _close_with_loop(line: weakref.ref[RedisLine]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        living = line()
        if living is not None:
            await living.close_with_loop()


def _first_step(closer: AsyncGenerator[None, None]) -> None:
    # It never waits, so one step runs it to its yield; that step is what the loop's hook notices.
    try:
        closer.__anext__().__await__().__next__()
    except StopIteration:
        return
