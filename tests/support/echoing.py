"""A model server on a thread of its own that says who asked what, so that a foreign or a lost answer is seen."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from loomwire.domain.values import JSON
from loomwire.testing import FakeProvider
from loomwire.testing.wire import ReceivedRequest
from support.folders import folder


def echo(request: ReceivedRequest) -> str:
    """Answer with the model that was asked and the words that were said last."""
    body = json.loads(request.body)
    return f"{body['model']} {body['messages'][-1]['content']}"


@contextmanager
def echoing() -> Iterator[FakeProvider]:
    """Serve until the end of the block."""
    ready, done = threading.Event(), threading.Event()
    provider = FakeProvider(then=echo, keep=1)
    failures: list[BaseException] = []

    async def serve() -> None:
        async with provider:
            ready.set()
            await asyncio.to_thread(done.wait)

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:  # noqa: BLE001  # raised by the test
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name="echo", daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield provider
    finally:
        done.set()
        thread.join(10)
        if failures:
            raise failures[0]


def echoed(where: Path, urls: Mapping[str, str], models: Mapping[str, str], keepalive: int = 20) -> Path:
    """Write a configuration with a client per model.

    Args:
        where: The folder.
        urls: Base URLs by provider.
        models: By client, `provider/model`.
        keepalive: Idle connections kept per origin; another number is another pool.
    """
    common: dict[str, JSON] = {"type": "custom", "dialect": "openai_chat", "allow_private": True, "free": True}
    pool: JSON = {"keepalive": keepalive}
    targets = {client: model.partition("/") for client, model in models.items()}
    return folder(
        where,
        providers={name: {**common, "base_url": url, "pool": pool} for name, url in urls.items()},
        models={client: {"provider": provider, "model": model} for client, (provider, _, model) in targets.items()},
        clients={client: {"models": [client]} for client in targets},
    )
