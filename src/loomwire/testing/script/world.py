"""A whole script: who may ask, which models there are, and what everybody gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest

from loomwire.domain.values import JSON, JSONObject
from loomwire.infrastructure.providers.offline.describe import reply_of
from loomwire.infrastructure.providers.offline.reply import Failure, Reply
from loomwire.testing.certificates import TLS_FAULTS, Tls
from loomwire.testing.faults.fault import Fault
from loomwire.testing.pacing import Pace
from loomwire.testing.script.checks import names_of
from loomwire.testing.script.rules import Refusal, Rule, replies_of
from loomwire.testing.speakers.table import listing_for, speaker_for
from loomwire.testing.wire import HttpReply, ReceivedRequest, WireReply

_KEYS = ("x-api-key", "api-key", "x-goog-api-key")


@dataclass(frozen=True, slots=True)
class Script:
    """A checked script, see `loomwire.testing.FakeProvider`. Immutable; every server that plays it starts anew.

    Attributes:
        seed: What `chance` is drawn with.
        pace: How fast the models speak, or None for at once.
        tls: What certificate the server shows; False for plain HTTP.
        models: The models there are; none named means any.
        api_key: The key that must be sent, or None. Not in the `repr`.
        replies: Entries that are played in order when no rule decides; the last one repeats.
        rules: Entries with conditions; the first that fits decides.
    """

    seed: int = 0
    pace: Pace | None = None
    tls: Tls = False
    models: tuple[str, ...] = ()
    api_key: str | None = field(default=None, repr=False)
    replies: tuple[JSONObject, ...] = ()
    rules: tuple[JSONObject, ...] = ()


class World:
    """A script that is being played. Belongs to one server.

    Args:
        script: What is played.
        then: What is said when the script has no `replies`.
    """

    def __init__(self, script: Script, then: WireReply) -> None:
        """Begin at the first reply."""
        self._key = script.api_key
        self._models = script.models
        self._rules = [Rule(entry, f"{script.seed} {place}") for place, entry in enumerate(script.rules)]
        self._replies = [reply for entry in script.replies for reply in replies_of(entry)[:1]] or [then]
        self._words = [_words(entry) for entry in script.replies] or [None]
        self._said = 0

    def reply(self, request: ReceivedRequest) -> WireReply:
        """Return what a request gets: refused key, first rule that decides, list of models, unknown model, replies."""
        path = request.path.partition("?")[0]
        if self._key is not None and not _shows(request.headers, self._key):
            return Refusal(Failure("credentials", "the API key is not the script's", 401))
        # All of them, not only up to the first that decides: each counts for itself.
        decisions = [(rule, rule.decision(request, path)) for rule in self._rules]
        for rule, decided in decisions:
            if decided is not None:
                return decided if rule.speaks or not isinstance(decided, Fault) else self._spoiled(decided)
        return self._by_path(request, path)

    def _by_path(self, request: ReceivedRequest, path: str) -> WireReply:
        if speaker_for(path, request.speakers) is None:
            asks = request.method == "GET"
            listing = listing_for(path, self._models or ("loopback",), request.speakers) if asks else None
            return _nothing_here() if listing is None else listing
        if request.method != "POST":
            return _nothing_here(405, f"only POST is served here, not {request.method[:20]}")
        if self._models and request.asked is not None and request.model not in self._models:
            return Refusal(Failure("model", f"the model {request.model[:80]!r} does not exist", 404))
        return self._replies[self._next()]

    def _spoiled(self, fault: Fault) -> Fault:
        words = self._words[self._next()] if fault.type.ran else None
        return fault if words is None else fault.about(words)

    def _next(self) -> int:
        place = min(self._said, len(self._replies) - 1)
        self._said += 1
        return place


def script_of(value: JSON) -> Script:
    """Return a checked value as a script."""
    entries = value if isinstance(value, Mapping) else {}
    seed, key, tls = entries.get("seed"), entries.get("api_key"), entries.get("tls")
    number = seed if isinstance(seed, int) else 0
    return Script(
        seed=number,
        pace=_pace(entries.get("pace"), number),
        tls=TLS_FAULTS[tls] if isinstance(tls, str) else tls is True,
        models=names_of(entries.get("models")),
        api_key=key if isinstance(key, str) else None,
        replies=_entries(entries.get("replies")),
        rules=_entries(entries.get("rules")),
    )


def _words(entry: JSONObject) -> Reply | None:
    reply = None if entry.keys() & {"fault", "status"} else reply_of(entry)
    return None if reply is None or reply.failure is not None else reply


def _pace(value: JSON, seed: int) -> Pace | None:
    if not isinstance(value, Mapping):
        return None
    numbers = {key: number for key, number in value.items() if isinstance(number, int | float)}
    return Pace(
        first_token_s=numbers.get("first_token_s", 0.0),
        tokens_per_s=numbers.get("tokens_per_s", float("inf")),
        jitter=numbers.get("jitter", 0.0),
        seed=seed,
    )


def _entries(value: JSON) -> tuple[JSONObject, ...]:
    return tuple(entry for entry in value if isinstance(entry, Mapping)) if isinstance(value, list | tuple) else ()


def _shows(headers: Mapping[str, str], key: str) -> bool:
    shown = [headers.get("authorization", "").removeprefix("Bearer "), *(headers.get(name, "") for name in _KEYS)]
    return any(compare_digest(text.encode(), key.encode()) for text in shown)


def _nothing_here(status: int = 404, words: str = "nothing is served here") -> HttpReply:
    return HttpReply(status, {"error": {"message": words, "type": "invalid_request_error"}})
