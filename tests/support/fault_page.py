"""The fault table as people read it: lines for a terminal, and the page that stands under `architecture/`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from loomwire.infrastructure.providers.table import DIALECTS
from loomwire.testing import FAULTS
from support.fault_table import DEADLINE_S, LARGE_S, LATE_S, MOST_MB, Outcome

PAGE: Final = Path(__file__).parents[2] / "architecture" / "faults.md"

Told: TypeAlias = tuple[str, str, str, str]
"""Fault, mode, outcome and reason: the columns that are the same on every machine."""

FIRST: Final = next(iter(DIALECTS))
"""The dialect whose table is told whole; of the others the page tells what ends differently."""

_HEAD: Final = ("fault", "mode", "outcome", "reason", "seconds", "extra MB")
_OTHERS: Final = ("fault", "mode", "dialects", "outcome", "reason")


def lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Return the table for a terminal, a line for each case."""
    head = ("dialect", *_HEAD)
    rows = [head, *((outcome.case.dialect, *outcome.row) for outcome in outcomes)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def told(outcomes: Iterable[Outcome]) -> set[Told]:
    """Return what the page must say: plain and streamed in one row where they end alike."""
    return {row for row, _ in _merged(_of_first(outcomes))}


def told_of_others(outcomes: Sequence[Outcome]) -> set[tuple[str, ...]]:
    """Return what the page must say of the other dialects: each case that ends differently than in the first."""
    return {
        (each.case.label, each.case.mode, each.case.dialect, each.outcome, each.reason) for each in _differing(outcomes)
    }


def told_in(page: str) -> set[Told]:
    """Return what a page says."""
    return {(row[0], row[1], row[2], row[3]) for row in _rows_in(page, _HEAD)}


def told_of_others_in(page: str) -> set[tuple[str, ...]]:
    """Return what a page says of the other dialects, each case by itself."""
    return {
        (fault, mode, dialect, outcome, reason)
        for fault, modes, dialects, outcome, reason in _rows_in(page, _OTHERS)
        for mode in modes.split(", ")
        for dialect in dialects.split(", ")
    }


def _rows_in(page: str, head: Sequence[str]) -> list[list[str]]:
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in page.splitlines()]
    return [row for row in rows if len(row) == len(head) and re.match(r"[a-z]", row[1]) and row != list(head)]


def page(outcomes: Sequence[Outcome]) -> str:
    """Return the page."""
    table = [_line(_HEAD), "|" + "---|" * len(_HEAD)]
    for (label, mode, outcome, reason), group in _merged(_of_first(outcomes)):
        seconds = max(each.seconds for each in group)
        memory = max((each.extra_mb or 0.0 for each in group), default=0.0)
        used = "< 1" if memory < 1 else f"{memory:.0f}"
        table.append(_line((f"`{label}`", mode, outcome, reason, f"{seconds:.1f}", used)))
    others = [_line(_OTHERS), "|" + "---|" * len(_OTHERS)]
    others += [_line((f"`{label}`", *rest)) for label, *rest in _grouped(_differing(outcomes))]
    faults = [_line(("fault", "what it does", "strikes")), "|---|---|---|"]
    faults += [_line((f"`{kind.name}`", _sentence(kind.name), _where(kind.name))) for kind in FAULTS.values()]
    return "\n".join((_INTRODUCTION, *table, "", _ELSEWHERE, *others, "", _FAULTS, *faults, "", _DEBATABLE))


def _of_first(outcomes: Iterable[Outcome]) -> list[Outcome]:
    return [each for each in outcomes if each.case.dialect == FIRST]


def _differing(outcomes: Sequence[Outcome]) -> list[Outcome]:
    ends = {(each.case.label, each.case.mode): (each.outcome, each.reason) for each in _of_first(outcomes)}
    return [each for each in outcomes if ends[each.case.label, each.case.mode] != (each.outcome, each.reason)]


def _grouped(outcomes: Iterable[Outcome]) -> Iterable[tuple[str, str, str, str, str]]:
    """Yield rows of the page: the dialects that end alike together, and of these the modes that do."""
    alike: dict[tuple[str, str, str, str], list[str]] = {}
    for each in outcomes:
        alike.setdefault((each.case.label, each.case.mode, each.outcome, each.reason), []).append(each.case.dialect)
    modes: dict[tuple[str, str, str, str], list[str]] = {}
    for (label, mode, outcome, reason), dialects in alike.items():
        modes.setdefault((label, ", ".join(dialects), outcome, reason), []).append(mode)
    order = {name: place for place, name in enumerate(FAULTS)}
    for (label, told, outcome, reason), both in sorted(modes.items(), key=lambda row: order[row[0][0].split()[0]]):
        yield label, ", ".join(both), told, outcome, reason


def _merged(outcomes: Iterable[Outcome]) -> list[tuple[Told, list[Outcome]]]:
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for each in outcomes:
        groups.setdefault((each.case.label, each.outcome, each.reason), []).append(each)
    return [
        ((label, ", ".join(each.case.mode for each in group), outcome, reason), group)
        for (label, outcome, reason), group in groups.items()
    ]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _sentence(name: str) -> str:
    kind = FAULTS[name]
    only = " Streams only." if kind.stream_only else " Plain answers only." if kind.plain_only else ""
    setup = f" {kind.setup}" if kind.setup else ""
    return f"{kind.says}{only}{setup}"


def _where(name: str) -> str:
    return FAULTS[name].strikes


_INTRODUCTION: Final = f"""# What survives what

Every fault that `loomwire.testing.FakeProvider` can play, asked for by the real chain in every dialect, plain and
streamed, with the server in another process. Bars: the right answer or a typed error; nothing later than the deadline
({DEADLINE_S:g} s, {LARGE_S:g} s for what is large) and {LATE_S:g} s; less than {MOST_MB:g} MB of extra memory, with the
default limits; no key and no prompt in an error; and the next call right. `python3 dev.py test -k faults` plays it
again, prints it, and fails when this page says anything else; with `--write-tables` it writes the page. Seconds and
memory are of one run on one machine; faults that only wait are played side by side; their memory is what all took.

## How each ends

Over OpenAI's chat completions:
"""

_ELSEWHERE: Final = """## Where other dialects end differently

What is not here ends in every dialect as above. Some faults cannot happen to some: Converse and Ollama stream no SSE,
Ollama, Gemini and Converse have one choice, and what a server cannot say wrongly it says right.
"""

_FAULTS: Final = """## The faults

By these names `loomwire.testing.Fault` and scripts of `loomwire mock serve` play them. The names are promises. A fault
that strikes while connecting belongs to a server or to the network, and says how it is brought about.
"""

_DEBATABLE: Final = """## What can be argued about

What an honest client does where standards leave it open or nobody can know, and why.

- `foreign_answer`: cannot be detected. No vendor echoes an id of ours, and some servers make up an id for each chunk,
  so ids that change mean nothing. What was said is returned, and `request_id` and `response_id` are what the server
  said, so that a log shows it. What can be detected is an answer that nobody asked for:
- `extra_answer`: it would become the answer to the next request on that connection, so the connection is closed. One
  that arrives only after the next request was sent cannot be told from its answer in HTTP/1.1.
- `duplicate_keys`: the last one counts, as in the JSON readers of all vendors' own libraries. RFC 8259 leaves it open.
- `negative_usage`: the answer is right; the usage is clamped to 0 and marked as estimated, so that no bill believes it.
- `long_number`: an answer whose accounting cannot be read is refused, although its text could be read. Gemini's is read
  apart, with every chunk, so there the usage is unknown and the answer right.
- `lone_surrogates`: right means U+FFFD, because half a character can be written to no file and no log.
- `u2028`: right means untouched; only CR and LF end a line of SSE.
- `bad_sse`, `html_as_promised`: SSE tells readers to ignore fields they do not know. What is left has no terminal sign,
  and without one an answer is never whole.
- `same_call_id`: whole arguments tell where a call ends, so two calls with one id stay two; the second gets an id of
  ours.
- `message_in_stream`: one message in place of pieces is read; several could be pieces or repetitions, so they are
  refused.
- `same_call_index`, `stray_call_index`: a new id is a new call, and arguments without an id belong to the call at their
  index, or else to the one that was begun last.
- `trailer`: trailers are read and ignored; they may not change what the headers said.
- `no_end_sign`, `no_last_chunk`: a finish reason or the terminal sign is enough, because servers forget the rest; an
  answer that was cut has neither.
- `no_finish_reason`: the terminal sign alone ends an answer, because some servers never give a reason. A proxy that
  appends the sign to half an answer cannot be told from them; `finish` is None, so that a caller may be stricter.
- `two_documents`: what follows a stream's terminal sign is not read; a plain body with a second document is no JSON.
- `two_choices`: the choice with index 0 counts; nobody asked for another.
- `interim_flood`, `five_codings`: sixteen interim answers and two codings are believed, not more.
- `status 304`: nobody asked conditionally, so it is refused like every other 3xx.
- `Retry-After`: NaN, negative, absurd, more than a day and in the past are no wait, and never an error of their own.
- TLS renegotiation is not played by the fake provider: TLS 1.3 has none, and Python's `ssl` cannot ask for one.
  `tests/integration/test_renegotiation.py` has the program `openssl` ask for it under TLS 1.2.
"""
