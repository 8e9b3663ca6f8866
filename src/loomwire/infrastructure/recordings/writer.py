"""Turns what was captured into files, on a thread of its own and never on an event loop."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from loomwire.domain.errors import ConfigError
from loomwire.infrastructure.recordings.capture import Captured
from loomwire.infrastructure.recordings.exchange import Answered, Asked, Exchange
from loomwire.infrastructure.recordings.folder import Stored, file_name, slug, write_exchange
from loomwire.infrastructure.recordings.matching import Key, asked_of, key_of, short, url_of
from loomwire.infrastructure.recordings.scrubbing import Scrubber, response_headers

_APIS: Final[Mapping[str, str]] = {
    "/chat/completions": "chat_completions",
    "/responses": "responses",
    "/messages": "messages",
    "/messages/count_tokens": "count_tokens",
    "/responses/input_tokens": "count_tokens",
    "/count-tokens": "count_tokens",
    "counttokens": "count_tokens",
    "generatecontent": "generate_content",
    "/v2/chat": "chat_v2",
    "/api/chat": "ollama_chat",
    "/converse": "converse",
    "/converse-stream": "converse_stream",
    "/embeddings": "embeddings",
    "/v2/embed": "embed_v2",
    "/api/embed": "ollama_embed",
    "/v2/rerank": "rerank_v2",
    "/rerank": "rerank",
    "/models": "models",
    "/api/show": "ollama_show",
    "/api/tags": "ollama_tags",
}
_ADDRESS = re.compile(r"[0-9.]+|\[?[0-9a-f:.]+\]?|localhost")

_STREAMED: Final = ("event-stream", "eventstream", "ndjson")


class RecordingWriter:
    """Writes recordings, one after the other.

    A request that the folder has recordings of takes over their files, in order; what is left of them is removed when
    the writer is closed, so that a folder recorded anew differs only where the answers do. Nothing else is removed.

    Args:
        folder: Where to.
        stored: What is there.
    """

    def __init__(self, folder: Path, stored: Iterable[Stored]) -> None:
        """Start no thread yet."""
        self._folder = folder
        self._old: dict[Key, deque[str]] = defaultdict(deque)
        self._next = 1
        for each in stored:
            self._old[key_of(each.exchange.asked)].append(each.name)
            self._next = max(self._next, each.number + 1)
        self._renewed: set[Key] = set()
        self._failure: str | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loomwire-recorder")

    def put(self, captured: Captured) -> None:
        """Have an exchange written. Never waits; from any thread."""
        # Whoever reads an answer after the end reads it unrecorded; that is no reason to fail.
        with contextlib.suppress(RuntimeError):
            self._thread.submit(self._write, captured)

    def close(self) -> None:
        """Wait until everything is written and end the thread. Idempotent; blocks.

        Raises:
            ConfigError: Something could not be written.
        """
        self._thread.shutdown()
        for name in itertools.chain.from_iterable(self._old.pop(key, ()) for key in self._renewed):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        failure, self._failure = self._failure, None
        if failure is not None:
            message = f"recordings {self._folder.name!r}: not everything could be written ({failure})"
            raise ConfigError(message, reason="recordings", hint="Check the folder's mode and the space on its disk.")

    def _write(self, captured: Captured) -> None:
        try:
            self._write_one(captured)
        except OSError as error:
            self._failure = (error.strerror or "input/output error").lower()
        except Exception as error:  # noqa: BLE001  # nobody sees the future; what failed is told when it is closed
            self._failure = type(error).__name__

    def _write_one(self, captured: Captured) -> None:
        asked, answered = _clean(captured)
        key = key_of(asked)
        self._renewed.add(key)
        provider, api = _provider(asked.url), _api(asked.url)
        old = self._old[key]
        name = old.popleft() if old else self._new_name(f"{slug(provider)}-{slug(api)}-{short(key)}")
        id_ = name.removesuffix(".json")
        write_exchange(self._folder, name, Exchange(id_, provider, api, _scenario(answered), asked, answered))

    def _new_name(self, shown: str) -> str:
        name = file_name(self._next, shown)
        # Another recorder may have written into the folder since it was read.
        while (self._folder / name).exists():
            self._next += 1
            name = file_name(self._next, shown)
        self._next += 1
        return name


def _clean(captured: Captured) -> tuple[Asked, Answered]:
    scrubber = Scrubber(captured.request.headers, url_of(captured.request, captured.base_url))
    asked = asked_of(captured.request, captured.base_url, scrubber)
    body = scrubber.data(captured.body or b"", masked=captured.status >= 400)
    headers = scrubber.headers(response_headers(captured.headers))
    return asked, Answered(captured.status, headers, body, captured.cut)


def _provider(url: str) -> str:
    host = (urlsplit(url).hostname or "").lower()
    if _ADDRESS.fullmatch(host):
        return "local"
    labels = host.split(".")
    return labels[-2] if len(labels) > 1 else host


def _api(url: str) -> str:
    path = urlsplit(url).path.lower().rstrip("/")
    ends = [end for end in _APIS if path.endswith(end)]
    return _APIS[max(ends, key=len)] if ends else "other"


def _scenario(answered: Answered) -> str:
    if answered.status >= 300:
        return f"error_{answered.status}"
    streamed = any(kind in answered.headers.get("content-type", "") for kind in _STREAMED)
    return ("stream" if streamed else "plain") + ("" if answered.cut is None else "_cut")
