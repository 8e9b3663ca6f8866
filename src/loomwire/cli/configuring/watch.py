"""`loomwire config watch`: says what every edit does, as a running process would take it."""

from __future__ import annotations

import queue
import signal
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import click

from loomwire.cli.configuring.opening import config_option
from loomwire.cli.output import json_flag, unlogged

if TYPE_CHECKING:
    from loomwire.container.facade import LLMContainer
    from loomwire.domain.config import Snapshot
    from loomwire.domain.reports.problems import Problem
    from loomwire.domain.values import JSON

    Inbox: TypeAlias = queue.SimpleQueue[Callable[[], None] | None]


UNDONE_S: Final = 0.1
"""Between two looks whether a bad edit was undone: then nothing comes into force, and no listener is told."""

# A signal that comes just before the thread begins to wait interrupts nothing: it is seen at the next look.
_SIGNAL_S: Final = 0.25


@click.command(short_help="Say what every edit does, as it is made.")
@config_option
@click.option("--count", type=click.IntRange(min=1), default=None, help="End after so many edits.")
@click.option(
    "--history",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Keep every generation in this folder, for `config history` and `config rollback`.",
)
@json_flag
def watch(config: Path, count: int | None, history: Path | None, *, as_json: bool) -> None:
    """Follow a configuration until Ctrl-C: what each edit changes and rebuilds, or why it does not come into force.

    With --json every line is a document; that of a rejected edit names what stays as kept_generation, and that of its
    undoing is `undone`. Exit code 0 after --count edits and after SIGTERM, 130 after Ctrl-C, 3 when the configuration
    is not valid at the start.
    """
    from loomwire.container.facade import LLMContainer
    from loomwire.hosts.history import keep_history

    class Onlooker(LLMContainer):
        """Calls nobody, so that operators have nothing to ask it."""

        operable = False

    inbox: Inbox = queue.SimpleQueue()
    with Onlooker.open(config) as container, _alone(inbox):
        if history is not None:
            keep_history(container, config, history)
        # Printed here and not there: a reader that went away must end the command and not the watching.
        teller = Teller(container, as_json=as_json)
        container.on_config_updated(lambda old, new, _: inbox.put(lambda: teller.adopted(old, new)))
        container.on_config_rejected(lambda kept, problems: inbox.put(lambda: teller.rejected(kept, problems)))
        teller.began(config)
        seen = 0
        while seen != count and (tell := heard(inbox, teller)) is not None:
            tell()
            seen += 1


class Teller:
    """Prints what happens to a configuration.

    Args:
        container: Knows the generations.
        as_json: As one JSON document a line.
    """

    def __init__(self, container: LLMContainer, *, as_json: bool) -> None:
        """Print nothing yet."""
        self._container = container
        self._as_json = as_json
        self._kept: Snapshot | None = None

    @property
    def knows_bad(self) -> bool:
        """Whether the last edit that was told is bad."""
        return self._kept is not None

    @property
    def is_undone(self) -> bool:
        """Whether what it left in force stands in the files again."""
        configs = self._container.configs
        return configs.rejection is None and configs.snapshot is self._kept

    def began(self, config: Path) -> None:
        """Say what is in force at the start."""
        snapshot = self._container.configs.snapshot
        names = sorted(snapshot.clients)
        said: dict[str, JSON] = {"config": str(config), "clients": [*names]}
        if not self._document("watching", {**self._named(snapshot), **said}):
            self._line(f"{config}: {self._place(snapshot)} is in force, clients {', '.join(names)}")
            click.echo("watching; Ctrl-C ends it", err=True)

    def adopted(self, old: Snapshot, new: Snapshot) -> None:
        """Say what an edit changed."""
        self._kept = None
        from loomwire.application.reload.changes import changes
        from loomwire.cli.configuring.diff import show_changes

        found = changes(old, new)
        listed: list[JSON] = [change.to_dict() for change in found]
        if not self._document("adopted", {**self._named(new), "changes": listed}):
            said = f"{len(found)} change{'' if len(found) == 1 else 's'}" if found else "nothing means anything else"
            self._line(f"{self._place(new)} is in force: {said}")
            show_changes(found)

    def rejected(self, kept: Snapshot, problems: tuple[Problem, ...]) -> None:
        """Say why an edit is not in force."""
        self._kept = kept
        from loomwire.cli.output import problem_json

        listed: list[JSON] = [problem_json(problem) for problem in problems]
        if not self._document("rejected", {**self._named(kept, "kept_"), "problems": listed}):
            self._line(f"the edit is not in force, {self._place(kept)} stays")
            for problem in problems:
                click.echo(problem.render())

    def undone(self) -> None:
        """Say that the files hold what is in force again."""
        self._kept = None
        snapshot = self._container.configs.snapshot
        if not self._document("undone", self._named(snapshot)):
            self._line(f"the edit was undone, {self._place(snapshot)} is what the files say")

    def _document(self, event: str, more: dict[str, JSON]) -> bool:
        from loomwire.cli.output import show_json

        if self._as_json:
            when = datetime.now().astimezone().isoformat(timespec="milliseconds")
            said: dict[str, JSON] = {"schema": "loomwire/config-event/1", "event": event, "when": when}
            show_json({**said, **more}, one_line=True)
        return self._as_json

    def _named(self, snapshot: Snapshot, prefix: str = "") -> dict[str, JSON]:
        return {f"{prefix}digest": snapshot.digest, f"{prefix}generation": self._number(snapshot.digest)}

    def _line(self, text: str) -> None:
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        click.echo(f"{click.style(now, dim=True)} {text}")

    def _place(self, snapshot: Snapshot) -> str:
        return f"generation {self._number(snapshot.digest)}"

    def _number(self, digest: str) -> int | None:
        adoptions = reversed(self._container.configs.history)
        return next((adoption.number for adoption in adoptions if adoption.digest == digest), None)


def heard(inbox: Inbox, teller: Teller) -> Callable[[], None] | None:
    """Wait for what is to be told next; None at the end."""
    while True:
        try:
            return inbox.get(timeout=UNDONE_S if teller.knows_bad else _SIGNAL_S)
        except queue.Empty:
            if teller.knows_bad and teller.is_undone:
                return teller.undone


@contextmanager
def _alone(inbox: Inbox) -> Generator[None, None, None]:
    """End the reading of an inbox at SIGTERM, and keep the library's log lines out of the way."""
    before = None
    with suppress(ValueError):  # not the main thread, as in tests of hosts
        before = signal.signal(signal.SIGTERM, lambda *_: inbox.put(None))
    try:
        with unlogged():
            yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
