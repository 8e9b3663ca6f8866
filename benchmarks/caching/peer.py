"""The workload through another library, in that library's environment.

    python -m benchmarks.caching.peer NAME URL CALLS [cached]

Prints the seconds of every call as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from importlib import import_module

from benchmarks.caching.workload import asked, timed
from benchmarks.payloads import ANSWER

_Ask = Callable[[str], Awaitable[str]]


def litellm(url: str, *, cached: bool) -> _Ask:
    """Return LiteLLM's completion function, with its in-memory cache."""
    library = import_module("litellm")
    if cached:
        setattr(library, "cache", library.Cache(type="local"))  # noqa: B010  # no type checker knows the library here

    async def ask(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        place = {"model": "openai/m", "api_base": url, "api_key": "none", "caching": cached}
        completion = await library.acompletion(messages=messages, temperature=0, **place)
        said: str = completion.choices[0].message.content
        return said

    return ask


def langchain(url: str, *, cached: bool) -> _Ask:
    """Return LangChain's chat model, with its in-memory cache."""
    if cached:
        import_module("langchain_core.globals").set_llm_cache(import_module("langchain_core.caches").InMemoryCache())
    model = import_module("langchain_openai").ChatOpenAI(model="m", base_url=url, api_key="none", temperature=0)

    async def ask(text: str) -> str:
        said: str = (await model.ainvoke(text)).content
        return said

    return ask


def main(name: str, url: str, calls: int, *, cached: bool) -> None:
    """Run the workload and print."""
    maker = {"litellm": litellm, "langchain-openai": langchain}[name]

    async def run() -> list[float]:
        ask = maker(url, cached=cached)
        return await timed(ask, asked(calls), ANSWER)

    print(json.dumps(asyncio.run(run())))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), cached="cached" in sys.argv[4:])
