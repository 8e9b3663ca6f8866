"""`loomwire demo`: the main job, offline: a workflow engine asks clients by name while they are reconfigured."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
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


class Flow:
    """Breaks a text that comes in pieces into lines of so many columns. A word is kept back until it is whole.

    Args:
        wide: The columns.
    """

    def __init__(self, wide: int) -> None:
        """Begin at the start of a line."""
        self._wide = wide
        self._column = 0
        self._gap = ""
        self._word = ""

    def more(self, text: str) -> str:
        """Return what can be printed now that `text` has come."""
        return "".join(map(self._next, text))

    def rest(self) -> str:
        """Return the last word, and begin at the start of a line again."""
        said = self._whole()
        self._column, self._gap = 0, ""
        return said

    def _next(self, sign: str) -> str:
        if not sign.isspace():
            self._word += sign
            return ""
        said = self._whole()
        if sign == "\n":
            self._column, self._gap = 0, ""
            return f"{said}\n"
        self._gap += sign
        return said

    def _whole(self) -> str:
        said = self._gap + self._word
        if not self._word:
            return ""
        if self._column and self._column + len(said) > self._wide:
            self._column, said = 0, f"\n{self._word}"
        self._column += len(said.lstrip("\n"))
        self._gap = self._word = ""
        return said


class Stage:
    """Prints the workflow as it happens; a streamed node's words follow each other on lines that fit.

    Args:
        silent: Say nothing.
        wide: How many columns a line has.
    """

    def __init__(self, *, silent: bool, wide: int) -> None:
        """Print nothing yet."""
        self._silent = silent
        self._wide = wide
        self._flow = Flow(wide)
        self._titles = 0
        self.events: dict[str, int] = {}

    def show(self, node: str, text: str) -> None:
        """Print one piece of a node's answer."""
        self.events[node] = self.events.get(node, 0) + 1
        if self._silent:
            return
        if self.events[node] == 1:
            self._announce(node)
        click.echo(self._flow.more(text), nl=False)

    def end(self) -> None:
        """Print what is kept back of the answer that is being shown."""
        click.echo(self._flow.rest(), nl=False)

    def _announce(self, node: str) -> None:
        from loomwire.cli.workflow import NOTE, PLAN, STORY

        told = STORY.prompt.format(plan="(the answer of 1)")
        asked = {"plan": PLAN.prompt, "story": told, "invoice": NOTE}.get(node, "")
        self.title(f"{node}: {SHOWN.get(node, 'another node')}")
        self.say(click.style(textwrap.indent(asked, "> "), dim=True) + "\n")

    def title(self, words: str) -> None:
        """Begin the next part."""
        if not self._silent:
            self.end()
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

    from loomwire.cli.configuring.words import width
    from loomwire.cli.output import show_json

    stage = Stage(silent=as_json, wide=width())
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
        stage.end()
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
    from loomwire.cli.configuring.words import width

    clients = report["clients"]
    asked = len(clients) if isinstance(clients, dict) else 0
    home = os.path.relpath(config or sample_config())
    facts = {
        "done": f"{len(stage.events)} nodes, {asked} clients found by name, {seconds:.2f} s in all",
        "stream": f"{stage.events.get('story', 0)} pieces, printed as they came",
        "edits": "one in force, one refused; no call failed" if report["live"] else "none: the folder is yours",
        "chain": f"{report['chain']}",
        "models": f"those of {home}" if config else "offline rules: no key, no network, no cost",
    }
    click.echo("\n\n" + click.style("What happened", bold=True))
    for name, fact in facts.items():
        lines = textwrap.wrap(fact, width() - 10, break_long_words=False, break_on_hyphens=False)
        click.echo(f"  {name:<8}" + f"\n{'':10}".join(lines))
    where = "" if home == "config" else f" --config {shlex.quote(home)}"
    click.echo("\n" + click.style("What to do next", bold=True))
    # Each on a line of its own, however long, so that it can be copied.
    click.echo(f"  {command()} config watch{where}  # and edit a file of {home} meanwhile")
    click.echo(f"  {command()} ask planner 'Plan a weekend in Porto'{where}")
    click.echo(f"  {command()} --help")


def command() -> str:
    """Return how a reader starts `loomwire` from this folder: dev.py's environment is on nobody's PATH."""
    script = shutil.which("loomwire", path=str(Path(sys.executable).parent))
    here = Path.cwd()
    return str(Path(script).relative_to(here)) if script and Path(script).is_relative_to(here) else "loomwire"
