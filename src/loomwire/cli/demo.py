"""`loomwire demo`: the main job, offline: a workflow engine asks clients by name while they are reconfigured."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from loomwire.cli.output import json_flag

if TYPE_CHECKING:
    from loomwire.container.facade import LLMContainer
    from loomwire.domain.values import JSON

SHOWN = {
    "plan": "generate, client `planner`: the whole answer at once",
    "story": "stream, client `storyteller`: words as they come",
    "invoice": "typed, client `reader`: a checked Invoice object",
}


def sample_config() -> Path:
    """Return the sample configuration: packed into the wheel, or the repository's own `config/`."""
    packed = Path(__file__).parent.parent / "_config"
    return packed if packed.is_dir() else Path(__file__).parents[3] / "config"


class Stage:
    """Prints the workflow as it happens; a streamed node's words follow each other on its lines."""

    def __init__(self, *, silent: bool) -> None:
        """Say nothing when `silent`."""
        self._silent = silent
        self._titles = 0
        self.events: dict[str, int] = {}

    def show(self, node: str, text: str) -> None:
        """Print one piece of a node's answer."""
        self.events[node] = self.events.get(node, 0) + 1
        if self._silent:
            return
        if self.events[node] == 1:
            self._announce(node)
        click.echo(text, nl=False)

    def _announce(self, node: str) -> None:
        from loomwire.cli.workflow import NOTE, PLAN, STORY

        asked = {"plan": PLAN.prompt, "story": STORY.prompt, "invoice": NOTE}.get(node, "")
        self.title(f"{node}: {SHOWN.get(node, 'another node')}")
        self.say(click.style(textwrap.indent(asked, "> "), dim=True) + "\n")

    def title(self, words: str) -> None:
        """Begin the next part."""
        if not self._silent:
            self._titles += 1
            gap = "\n\n" if self._titles > 1 else ""
            click.echo(gap + click.style(f"{self._titles}. {words}", fg="cyan", bold=True), nl=False)

    def say(self, line: str) -> None:
        """Print a line below what is there."""
        if not self._silent:
            click.echo(f"\n{line}", nl=False)


@click.command(short_help="Run a small workflow offline: no key, no network.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    help="Another configuration folder with clients planner, storyteller and reader.",
)
@json_flag
def demo(config: Path | None, as_json: bool) -> None:  # noqa: FBT001  # click passes flags by name
    """Run a small workflow on the embedded offline models: no key, no network.

    Then a copy of its configuration is edited, once well and once badly, while the workflow's clients go on answering.
    With --config nothing is edited: that folder is yours.
    """
    import asyncio

    from loomwire.cli.output import show_json

    stage = Stage(silent=as_json)
    started = time.perf_counter()
    if config is None:
        with _copied(sample_config()) as copy:
            report = asyncio.run(_run(copy, stage, edits=True))
    else:
        report = asyncio.run(_run(config, stage, edits=False))
    seconds = time.perf_counter() - started
    if as_json:
        show_json({"schema": "loomwire/demo/1", "seconds": round(seconds, 3), **report})
    else:
        _summary(report, stage, seconds, config)


@contextmanager
def _copied(folder: Path) -> Generator[Path, None, None]:
    with TemporaryDirectory(prefix="loomwire-demo-") as temporary:
        copy = Path(temporary).resolve() / "config"
        shutil.copytree(folder, copy, copy_function=shutil.copyfile)
        yield copy


async def _run(folder: Path, stage: Stage, *, edits: bool) -> dict[str, JSON]:
    from loomwire.cli.configuring.live import LiveEdits
    from loomwire.cli.workflow import run
    from loomwire.container.facade import LLMContainer

    async with LLMContainer.aopen(folder) as container:
        state = await run(container, stage.show)
        live = await LiveEdits(container, folder, stage.title, stage.say).run() if edits else None
        return {
            "answers": dict(state),
            "live": live,
            "events": dict(stage.events),
            "clients": _totals(container),
            "chain": repr(container.llm_client("planner")),
        }


def _totals(container: LLMContainer) -> dict[str, JSON]:
    return {name: counts.to_dict() for name, counts in container.health().clients.items() if counts.answered}


def _summary(report: dict[str, JSON], stage: Stage, seconds: float, config: Path | None) -> None:
    clients = report["clients"]
    asked = len(clients) if isinstance(clients, dict) else 0
    home = os.path.relpath(config or sample_config())
    facts = {
        "done": f"{len(stage.events)} nodes, {asked} clients found by name, {seconds:.2f} s in all",
        "stream": f"{stage.events.get('story', 0)} pieces, printed as they came",
        "edits": "one in force, one refused; no call failed" if report["live"] else "none: the folder is yours",
        "chain": f"{report['chain']}",
        "models": f"those of {home}" if config else "offline rules: no key, no network, no cost",
        "next": f"loomwire config watch --config {home}, and edit it; or: loomwire ask planner 'Plan a weekend in "
        f"Porto' --config {home}",
    }
    click.echo("\n\n" + click.style("What happened", bold=True))
    width = max(40, min(shutil.get_terminal_size().columns, 120))
    for name, fact in facts.items():
        lines = textwrap.wrap(fact, width - 10, break_long_words=False, break_on_hyphens=False)
        click.echo(textwrap.indent("\n".join(lines), " " * 10).replace(" " * 10, f"  {name:<8}", 1))
