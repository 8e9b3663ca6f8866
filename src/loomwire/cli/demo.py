"""`loomwire demo`: the main job, offline: a workflow engine embeds the container and asks clients by name."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from pathlib import Path
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
        title = f"{len(self.events)}. {node}: {SHOWN.get(node, 'another node')}"
        gap = "\n\n" if len(self.events) > 1 else ""
        click.echo(gap + click.style(title, fg="cyan", bold=True))
        click.echo(click.style(textwrap.indent(asked, "> "), dim=True))


@click.command(short_help="Run a small workflow offline: no key, no network.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    default=None,
    help="Another configuration folder with clients planner, storyteller and reader.",
)
@json_flag
def demo(config: Path | None, as_json: bool) -> None:  # noqa: FBT001  # click passes flags by name
    """Run a small workflow on the embedded offline models: no key, no network."""
    import asyncio

    from loomwire.cli.output import show_json

    folder = config or sample_config()
    stage = Stage(silent=as_json)
    started = time.perf_counter()
    report = asyncio.run(_run(folder, stage))
    seconds = time.perf_counter() - started
    if as_json:
        show_json({"schema": "loomwire/demo/1", "seconds": round(seconds, 3), **report})
    else:
        _summary(report, stage, seconds, folder, offline=config is None)


async def _run(folder: Path, stage: Stage) -> dict[str, JSON]:
    from loomwire.cli.workflow import run
    from loomwire.container.facade import LLMContainer

    async with LLMContainer.aopen(folder) as container:
        state = await run(container, stage.show)
        return {
            "answers": dict(state),
            "events": dict(stage.events),
            "clients": _totals(container),
            "chain": repr(container.llm_client("planner")),
        }


def _totals(container: LLMContainer) -> dict[str, JSON]:
    return {name: counts.to_dict() for name, counts in container.health().clients.items() if counts.answered}


def _summary(report: dict[str, JSON], stage: Stage, seconds: float, folder: Path, *, offline: bool) -> None:
    clients = report["clients"]
    asked = len(clients) if isinstance(clients, dict) else 0
    home = os.path.relpath(folder)
    facts = {
        "done": f"{len(stage.events)} nodes, {asked} clients found by name, {seconds:.2f} s in all",
        "stream": f"{stage.events.get('story', 0)} pieces, printed as they came",
        "chain": f"{report['chain']}",
        "models": "offline rules: no key, no network, no cost" if offline else f"those of {home}",
        "next": f"edit {home} and run again, or: loomwire ask planner 'Plan a weekend in Porto' --config {home}",
    }
    click.echo("\n\n" + click.style("What happened", bold=True))
    width = max(40, min(shutil.get_terminal_size().columns, 120))
    for name, fact in facts.items():
        lines = textwrap.wrap(fact, width - 10, break_long_words=False, break_on_hyphens=False)
        click.echo(textwrap.indent("\n".join(lines), " " * 10).replace(" " * 10, f"  {name:<8}", 1))
