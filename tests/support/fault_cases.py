"""The cases of the fault table: every fault, plain and streamed, and what a right answer to each would be."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import product
from typing import Final

from loomwire.domain.pricing import Usage
from loomwire.domain.values import ToolCall
from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import FAULTS, FakeProvider, Fault, ReceivedRequest, Reply
from loomwire.testing.certificates import Tls

AGAIN: Final = "And now the right answer."
"""What a case's path says from the second request on."""

_STATUSES: Final[tuple[tuple[int, str | float | None], ...]] = (
    *((status, None) for status in (204, 304, 400, 401, 402, 403, 404, 408, 409, 413, 422, 425, 429, 499)),
    *((status, None) for status in (500, 501, 502, 503, 504, 505, 524, 529, 799)),
    *((429, wait) for wait in (2, 0.5, float("nan"), -1, 1e308, "soon", "")),
    (503, "Wed, 21 Oct 2015 07:28:00 GMT"),
    (503, "Fri, 31 Dec 9999 23:59:59 GMT"),
    (503, "Fri, 99 Foo 0000 25:61:61 XYZ"),
)
_CALLS: Final = ("no_call_id", "same_call_id", "same_call_index", "stray_call_index")
_PATH: Final = re.compile(r"/(\d+)/(\d+)/")


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table.

    Attributes:
        number: Its place, which is in the path of its requests.
        dialect: In which it is asked.
        fault: The fault's name.
        stream: Whether the answer is streamed.
        status: The status of faults that take one.
        retry_after: The header's value.
    """

    number: int
    dialect: str
    fault: str
    stream: bool
    status: int | None = None
    retry_after: str | float | None = None

    @property
    def label(self) -> str:
        """How the table calls it."""
        wait = "" if self.retry_after is None else f", Retry-After {self.retry_after!r}"
        return self.fault if self.status is None else f"{self.fault} {self.status}{wait}"

    @property
    def mode(self) -> str:
        """The table's word for how the answer was asked for."""
        return "stream" if self.stream else "plain"

    def reply(self) -> Reply:
        """Return what the model says to this case and to no other."""
        usage = Usage(1000 + self.number, 100 + self.number)
        if self.fault in _CALLS:
            calls = [ToolCall(f"call_{name}", name, {"case": self.number, "of": name}) for name in ("first", "second")]
            return Reply(tool_calls=tuple(calls), usage=usage)
        return Reply(f"Case {self.number}: the harbour opens at seven, the market at eight, as ever.", usage=usage)

    def made(self) -> Fault:
        """Return the fault as the server plays it."""
        return Fault(self.fault, self.reply(), status=self.status, retry_after=self.retry_after)


def _cases() -> Iterator[tuple[str, str, bool, int | None, str | float | None]]:
    for dialect, kind in product(DIALECTS, FAULTS.values()):
        modes = [stream for stream in (False, True) if kind.spoils(stream=stream)]
        for status, wait in _STATUSES if kind.name == "status" else ((None, None),):
            yield from ((dialect, kind.name, stream, status, wait) for stream in modes)


CASES: Final = tuple(Case(number, *rest) for number, rest in enumerate(_cases()))
"""Every case of every dialect, in the table's order."""


class FaultyWorld:
    """Decides what the server says: a case's fault to its first request, the right answer to all that follow."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self._asked: Counter[str] = Counter()

    def __call__(self, request: ReceivedRequest) -> Fault | str:
        """Return what to play."""
        found = _PATH.match(request.path)
        if found is None:
            return "This is what the other origin says, with your key in its log."
        self._asked[found.group()] += 1
        return CASES[int(found[1])].made() if self._asked[found.group()] == 1 else AGAIN


async def serve() -> None:
    """Serve all cases until standard input ends; says where, as one line of JSON."""
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(FakeProvider(then=FaultyWorld()))
        said = {"plain": provider.base_url, "dns_unknown": "http://llm.invalid/v1", "dns_slow": "http://llm.invalid/v1"}
        modes: dict[str, Tls] = {"tls_expired": "expired", "tls_wrong_host": "wrong_host", "tls_aborted": "aborts"}
        authorities: list[str] = []
        for name, mode in modes.items():
            server = await stack.enter_async_context(FakeProvider(tls=mode))
            said[name] = server.base_url
            authorities += [b64encode(each).decode() for each in server.trusted.get_ca_certs(binary_form=True)]
        async with FakeProvider() as gone:
            said["refused"] = gone.base_url
        sys.stdout.write(json.dumps({"urls": said, "authorities": authorities}) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
