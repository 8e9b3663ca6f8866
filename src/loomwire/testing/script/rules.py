"""One rule of a script: which requests it is about, and what they get."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import translate
from typing import Final, final

from typing_extensions import override

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.describe import reply_of
from loomwire.infrastructure.providers.offline.reply import Failure
from loomwire.testing.faults.fault import Fault
from loomwire.testing.queued import wire_reply
from loomwire.testing.script.checks import Ranges, names_of, ranges
from loomwire.testing.speakers.table import speaker_for, speaker_of
from loomwire.testing.wire import Piece, ReceivedRequest, WireReply

_SOMETHING: Final = "This answer was meant to be right."
_WORDS: Final = frozenset({"text", "tool_calls", "reasoning"})
_REASONS: Final[Mapping[int, str]] = {
    400: "invalid_request",
    401: "credentials",
    403: "denied",
    404: "model",
    409: "conflict",
    413: "request_too_large",
    429: "throttled",
    501: "unsupported",
    503: "overloaded",
    504: "gateway",
}


@final
@dataclass(frozen=True, slots=True)
class Refusal(WireReply):
    """An error in the dialect of the path that is asked.

    Args:
        failure: What it says.
        retry_after: The header's value as it stands, right or wrong; None takes it from the failure.
        delay_s: Seconds before it.
    """

    failure: Failure
    retry_after: str | None = None
    delay_s: float = 0.0

    @override
    def pieces(self, request: ReceivedRequest) -> Sequence[Piece]:
        reply = (speaker_for(request.path, request.speakers) or speaker_of("openai_chat")).refusal(self.failure)
        if self.retry_after is not None:
            reply = replace(reply, headers={**reply.headers, "retry-after": self.retry_after})
        wait: tuple[Piece, ...] = (self.delay_s,) if self.delay_s else ()
        return (*wait, *reply.pieces(request))


class Rule:
    """Counts the requests that it is about, and decides about some of them. Belongs to one server.

    Without `path` it is about the paths of the dialects only, so not about `/models`.
    Every request whose path, model and streaming fit is counted, from 1, also when an earlier rule decides about it;
    so what a rule does never depends on the others. `requests`, `every` and `chance` look at that count.

    Args:
        entry: A checked entry of `rules`.
        seed: What `chance` and the choice among several faults are drawn with.

    Attributes:
        speaks: It has words of its own; a fault of a rule without them spoils what would have been said anyway.
    """

    def __init__(self, entry: JSONObject, seed: str) -> None:
        """Read the entry; nothing is counted yet."""
        self._path = _pattern(entry.get("path"))
        self._model = _pattern(entry.get("model"))
        self._stream = entry.get("stream")
        self._requests: Ranges | None = ranges(entry["requests"]) if "requests" in entry else None
        every, chance = entry.get("every"), entry.get("chance")
        self._every = every if isinstance(every, int) else 1
        self._chance = chance if isinstance(chance, int | float) else 1.0
        # One for each question, so that the answer to one does not shift the other.
        self._luck, self._taste = random.Random(f"{seed} chance"), random.Random(f"{seed} choice")
        self._replies = replies_of(entry)
        self._count = 0
        self.speaks = bool(entry.keys() & _WORDS)

    def decision(self, request: ReceivedRequest, path: str) -> WireReply | None:
        """Count a request, and return what it gets from this rule or None."""
        if not self._is_about(request, path):
            return None
        self._count += 1
        lucky = self._chance >= 1 or self._luck.random() < self._chance
        if not lucky or self._count % self._every or not self._is_wanted():
            return None
        fitting = [reply for reply in self._replies if _happens(reply, request)]
        return self._taste.choice(fitting) if fitting else None

    def _is_wanted(self) -> bool:
        return self._requests is None or any(first <= self._count <= last for first, last in self._requests)

    def _is_about(self, request: ReceivedRequest, path: str) -> bool:
        return (
            (
                speaker_for(path, request.speakers) is not None
                if self._path is None
                else self._path.match(path) is not None
            )
            and (self._model is None or self._model.match(request.model) is not None)
            and (self._stream is None or self._stream is request.stream)
        )


def replies_of(entry: JSONObject) -> tuple[WireReply, ...]:
    """Return what a checked entry can play; more than one only where it names several faults."""
    retry_after = entry.get("retry_after")
    if "fault" in entry:
        return tuple(_faults(entry, retry_after if isinstance(retry_after, str | int | float) else None))
    reply = reply_of(_as_error(entry))
    if reply.failure is None:
        return (wire_reply(reply),)
    raw = retry_after if isinstance(retry_after, str) else None
    return (Refusal(reply.failure, raw, reply.delay_s),)


def _faults(entry: JSONObject, retry_after: str | float | None) -> Iterator[WireReply]:
    given = entry.get("status")
    status = given if isinstance(given, int) else None
    said = reply_of({key: value for key, value in entry.items() if key not in ("status", "retry_after")})
    spoken = said if said.text or said.tool_calls else replace(said, text=_SOMETHING)
    return (Fault(name, spoken, status=status, retry_after=retry_after) for name in names_of(entry["fault"]))


def _as_error(entry: JSONObject) -> JSONObject:
    status = entry.get("status")
    if "error" in entry or not isinstance(status, int):
        return entry
    reason = _REASONS.get(status, "server" if status >= 500 else "invalid_request")
    return {"message": f"scripted status {status}", **entry, "error": reason}


def _pattern(value: JSON) -> re.Pattern[str] | None:
    return re.compile(translate(value)) if isinstance(value, str) else None


def _happens(reply: WireReply, request: ReceivedRequest) -> bool:
    return not isinstance(reply, Fault) or reply.type.spoils(stream=request.stream)
