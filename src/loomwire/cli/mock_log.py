"""What `loomwire mock serve` tells while it serves: for a person on stderr, or for a program as JSON lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import click

from loomwire.cli.output import show_json
from loomwire.domain.values import JSON
from loomwire.testing.script.world import Script
from loomwire.testing.server.books import Book
from loomwire.testing.server.provider import FakeProvider
from loomwire.testing.wire import ReceivedRequest

_HEADS: Final = ("model", "requests", "billed", "input", "output", "reasoning", "cached")
_LONGEST: Final = 60


class Log:
    """Tells what happens.

    Args:
        as_json: JSON lines on stdout, in place of text on stderr.
        quiet: No line per request.
        reader_left: Called when nobody reads stdout any more.
    """

    def __init__(self, *, as_json: bool, quiet: bool, reader_left: Callable[[], None]) -> None:
        """Begin to count the time."""
        self._as_json = as_json
        self._quiet = quiet
        self._reader_left = reader_left
        self._began = time.monotonic()
        self._broken = 0

    def started(self, provider: FakeProvider, script: Script, file: Path | None) -> None:
        """Say where the server is and how to point a client at it."""
        if self._as_json:
            where: dict[str, JSON] = {"base_url": provider.base_url, "elsewhere_url": provider.elsewhere_url}
            show_json(
                {
                    "schema": "loomwire/mock/1",
                    "event": "started",
                    **where,
                    "script": None if file is None else str(file),
                },
                one_line=True,
            )
            return
        url = provider.base_url
        played = "none, every request gets a right answer" if file is None else _summary(file, script)
        key = "any" if script.api_key is None else "<the script's>"
        lines = (
            "  a fake provider, no model behind it; Ctrl-C ends it",
            f"  script     {played}",
            f"  loomwire   {{type: custom, dialect: openai_chat, base_url: {url!r}, api_key: {key},",
            "              allow_private: true}",
            f"  openai     OPENAI_BASE_URL={url} OPENAI_API_KEY={key}",
            f"  redirects  lead to {provider.elsewhere_url}",
        )
        click.echo(url)
        for line in lines:
            click.echo(line, err=True)

    def request(self, request: ReceivedRequest) -> None:
        """Count a request whose answer has ended, and tell of it."""
        self._broken += request.outcome == "broken"
        if self._quiet:
            return
        try:
            self.tell(request)
        except BrokenPipeError:
            self._reader_left()

    def tell(self, request: ReceivedRequest) -> None:
        """Print the line of a request."""
        if self._as_json:
            show_json({"event": "request", **_as_json(request)}, one_line=True)
        else:
            click.echo(_line(request), err=True)

    def ended(self, provider: FakeProvider) -> None:
        """Sum up."""
        books, stats, faults = provider.books, provider.stats, provider.faults
        seconds = round(time.monotonic() - self._began, 1)
        ends = {"answered": stats.answered - self._broken, "broken": self._broken, "abandoned": stats.abandoned}
        if self._as_json:
            models: dict[str, JSON] = {
                name: {"requests": book.requests, "billed": book.billed, "usage": book.usage.to_dict()}
                for name, book in books.models.items()
            }
            summary: dict[str, JSON] = {"requests": stats.requests, "seconds": seconds, **ends}
            show_json({"event": "summary", **summary, "faults": dict(faults), "models": models}, one_line=True)
            return
        if not stats.requests:
            click.echo(f"\nno request in {seconds:,} s", err=True)
            return
        told = ", ".join(f"{count:,} {word}" for word, count in ends.items())
        click.echo(f"\n{_many(stats.requests, 'request')} in {seconds:,} s: {told}", err=True)
        played = ", ".join(f"{name} {count:,}" for name, count in sorted(faults.items()))
        click.echo(f"faults: {played or 'none'}", err=True)
        click.echo("\n".join(_table(books.models)), err=True)
        click.echo("cost: unknown, a script has no prices", err=True)


def _summary(file: Path, script: Script) -> str:
    parts = (_many(len(script.rules), "rule"), _many(len(script.replies), "reply"), f"seed {script.seed}")
    return f"{file}: {', '.join(part for part in parts if part)}"


def _many(count: int, word: str) -> str:
    plural = f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    return f"{count:,} {plural if count > 1 else word}" if count else ""


def _as_json(request: ReceivedRequest) -> dict[str, JSON]:
    return {
        "number": request.number,
        "id": request.id,
        "connection": request.connection,
        "origin": request.origin,
        "method": request.method,
        "path": _path(request),
        "model": request.model,
        "stream": request.stream,
        "status": request.status,
        "fault": request.fault,
        "outcome": request.outcome,
        "usage": None if request.billed is None else request.billed.to_dict(),
        "first_byte_ms": _ms(request, request.first_byte_at),
        "ms": _ms(request, request.ended_at),
    }


def _line(request: ReceivedRequest) -> str:
    kind = f"{_short(request.model)}{', stream' if request.stream else ''}" if request.asked is not None else ""
    billed = request.billed
    notes = (
        kind,
        f"fault {request.fault}" if request.fault is not None else "",
        request.outcome if request.outcome != "answered" else "",
        "" if billed is None else f"{billed.input_tokens}+{billed.output_tokens} tokens",
        f"{_ms(request, request.ended_at)} ms",
    )
    status = "---" if request.status is None else request.status
    told = "  ".join(note for note in notes if note)
    origin = " (elsewhere)" if request.origin == 2 else ""
    return f"{request.number:6}  {status}  {request.method} {_short(_path(request))}{origin}  {told}"


def _path(request: ReceivedRequest) -> str:
    # Some vendors take the key in the query.
    return request.path.partition("?")[0]


def _short(text: str) -> str:
    shown = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
    # A client's words must not steer the terminal.
    return shown if shown.isprintable() else ascii(shown)


def _ms(request: ReceivedRequest, at: float | None) -> float | None:
    return None if at is None else round((at - request.received_at) * 1000, 1)


def _table(models: Mapping[str, Book]) -> Iterable[str]:
    rows = [_HEADS, *(_row(_short(name) or "(none)", book) for name, book in models.items())]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        cells = (f"{cell:>{width}}" for cell, width in zip(rest, wide[1:], strict=True))
        yield "  ".join((f"{first:{wide[0]}}", *cells))


def _row(name: str, book: Book) -> tuple[str, ...]:
    usage = book.usage
    numbers = (
        book.requests,
        book.billed,
        usage.input_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.cache_read_tokens,
    )
    return (name, *(f"{number:,}" for number in numbers))
