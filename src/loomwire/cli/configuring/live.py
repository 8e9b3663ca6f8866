"""What the demo does to its configuration while it runs: an edit in the middle of a stream, and a typo."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from loomwire.cli.output import unlogged

if TYPE_CHECKING:
    from loomwire.application.reload.results import Diff
    from loomwire.container.facade import LLMContainer
    from loomwire.domain.config import Snapshot
    from loomwire.domain.reports.problems import Problem
    from loomwire.domain.values import JSON

CLIENT: Final = "planner"
PATIENCE_S: Final = 10.0
OPENING_S: Final = 0.3
"""After the opening the watcher looks once whether anything was edited meanwhile; an edit now would wait for that."""

PAUSE_S: Final = 0.1
"""Between two edits: one that meets the watcher's look after a reading is taken for unannounced and waits 150 ms."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Words of a file and what they become.

    Attributes:
        file: Below the configuration's folder.
        old: The words, once in the file.
        new: What stands there afterwards.
    """

    file: str
    old: str
    new: str

    def save(self, folder: Path) -> float:
        """Write the file; return when that was done. Blocks."""
        path = folder / self.file
        text = path.read_text(encoding="utf-8")
        if self.old not in text:
            raise click.ClickException(f"the sample configuration is another: {self.file} lacks the words to edit")
        path.write_text(text.replace(self.old, self.new, 1), encoding="utf-8")
        return time.perf_counter()


BETTER: Final = Edit(
    "rules/demo.yaml",
    "Sunday    A slow breakfast, the tower by the water, pastries for the way home.",
    "Sunday    The train to Cascais, a swim, grilled fish, the last train home.",
)
TYPO: Final = Edit("loomwire.yaml", "timeouts: {total: 60}", "timeouts: {totel: 60}")


@dataclass(frozen=True, slots=True)
class News:
    """What came of an edit.

    Attributes:
        seconds: From the end of the save until it was in force, or known to be wrong.
        changed: The clients that answer anew.
        problems: Why it is not in force; empty when it is.
    """

    seconds: float
    changed: tuple[str, ...]
    problems: tuple[Problem, ...]


class LiveEdits:
    """Edits the folder of a container that watches it, and shows what that does to a client.

    Args:
        container: Watches the folder.
        folder: A copy of the sample configuration; its files are changed.
        title: Takes the title of a part.
        say: Takes its lines.
        patience_s: Longest wait for an edit to be noticed.
    """

    def __init__(
        self,
        container: LLMContainer,
        folder: Path,
        title: Callable[[str], None],
        say: Callable[[str], None],
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Listen for reloads; belongs to the running event loop."""
        self._container = container
        self._client = container.llm_client(CLIENT)
        self._folder = folder
        self._title = title
        self._say = say
        self._patience_s = patience_s
        self._news: asyncio.Queue[News] = asyncio.Queue()
        container.on_config_updated(self._updated)
        container.on_config_rejected(self._rejected)

    async def run(self) -> dict[str, JSON]:
        """Make both edits; return what happened as JSON.

        Raises:
            ClickException: An edit was not noticed in time, or the folder is not a copy of the sample.
        """
        await asyncio.sleep(OPENING_S)
        with unlogged():
            better = await self._better()
            await asyncio.sleep(PAUSE_S)
            return {"edit": better, "typo": await self._typo()}

    async def _better(self) -> Mapping[str, JSON]:
        from loomwire.cli.workflow import PLAN
        from loomwire.domain.requests import LLMRequest

        before = self._generation
        self._title(f"edit: {BETTER.file} is saved while `{CLIENT}` streams an answer")
        self._say(click.style(f"- {BETTER.old}\n+ {BETTER.new}", dim=True))
        async with self._client.stream(LLMRequest.of(PLAN.prompt)) as stream:
            await anext(aiter(stream))
            news = await self._saved(BETTER)
            async for _ in stream:
                pass
        under_way, after = stream.response.text, await self._ask()
        self._say(f"in force {_ms(news)} after the save: generation {before} -> {self._generation}")
        self._say(f"rebuilt, because they use these rules: {', '.join(news.changed)}")
        self._say(f"the stream that was under way ends as it began:\n  {_last(under_way)}")
        self._say(f"the next answer of the same client object:\n  {_last(after)}")
        return {
            "file": BETTER.file,
            "seconds": round(news.seconds, 4),
            "generations": [before, self._generation],
            "changed": [*news.changed],
            "stream": under_way,
            "next_answer": after,
        }

    async def _typo(self) -> Mapping[str, JSON]:
        from loomwire.cli.output import problem_json

        self._title(f"typo: {TYPO.file} is saved with a wrong key")
        news = await self._saved(TYPO)
        for problem in news.problems:
            self._say(problem.render())
        answer = await self._ask()
        self._say(f"refused {_ms(news)} after the save: generation {self._generation} stays, `{CLIENT}` answers:")
        self._say(f"  {_last(answer)}")
        return {
            "file": TYPO.file,
            "seconds": round(news.seconds, 4),
            "generation": self._generation,
            "problems": [problem_json(problem) for problem in news.problems],
            "next_answer": answer,
        }

    @property
    def _generation(self) -> int:
        return self._container.configs.generation

    async def _ask(self) -> str:
        from loomwire.cli.workflow import PLAN
        from loomwire.domain.requests import LLMRequest

        return (await self._client.generate(LLMRequest.of(PLAN.prompt))).text

    async def _saved(self, edit: Edit) -> News:
        saved = await asyncio.to_thread(edit.save, self._folder)
        try:
            news = await asyncio.wait_for(self._news.get(), self._patience_s)
        except TimeoutError:
            raise click.ClickException(f"the edit of {edit.file} was not noticed in {self._patience_s:g} s") from None
        return replace(news, seconds=news.seconds - saved)

    async def _updated(self, _old: Snapshot, _new: Snapshot, diff: Diff) -> None:
        self._news.put_nowait(News(time.perf_counter(), diff.changed, ()))

    async def _rejected(self, _kept: Snapshot, problems: tuple[Problem, ...]) -> None:
        self._news.put_nowait(News(time.perf_counter(), (), tuple(map(self._placed, problems))))

    def _placed(self, problem: Problem) -> Problem:
        # Nobody can open the temporary folder afterwards: the place is that in the sample.
        return replace(problem, file=(problem.file or "").removeprefix(f"{self._folder.parent}{os.sep}") or None)


def _ms(news: News) -> str:
    return f"{news.seconds * 1e3:.0f} ms"


def _last(text: str) -> str:
    return text.rstrip().rpartition("\n")[2]
