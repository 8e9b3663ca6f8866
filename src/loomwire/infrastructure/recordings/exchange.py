"""One recorded exchange as a value: what was asked, and what was answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from loomwire.domain.values import JSON, FrozenDict


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it stands in a recording: no key is in it, the prompt is.

    Attributes:
        method: The HTTP method.
        url: The whole URL; a replay compares path and query only.
        headers: What is worth keeping of the headers.
        json: The body, if it is JSON other than null; else None.
        raw: The body, if it is no JSON.
    """

    method: str
    url: str
    headers: Mapping[str, str] = FrozenDict()
    json: JSON = field(default=None, repr=False)
    raw: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer as it stands in a recording; content encodings are undone.

    Attributes:
        status: The HTTP status.
        headers: Content type, retry, rate limit and request id; names in lower case.
        body: The body, as far as it was read.
        cut: Why the body is not whole, as a reason of the fault table or `abandoned`; None for a whole one.
    """

    status: int
    headers: Mapping[str, str] = FrozenDict()
    body: bytes = field(default=b"", repr=False)
    cut: str | None = None


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request and its answer.

    Attributes:
        id: Its name.
        provider: Who answered.
        api: What was spoken, such as `chat_completions`.
        scenario: What it shows, such as `stream` or `error_429`.
        asked: The request.
        answered: The answer.
        kind: `recorded`, or what a hand-made corpus calls it.
    """

    id: str
    provider: str
    api: str
    scenario: str
    asked: Asked
    answered: Answered
    kind: str = "recorded"
