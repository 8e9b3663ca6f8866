"""A server that renegotiates TLS in the middle of its answer. Only OpenSSL's own server can; Python's `ssl` cannot."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import trustme

HAS_OPENSSL = shutil.which("openssl") is not None


class Renegotiating(NamedTuple):
    """Where it listens, and who trusts it."""

    base_url: str
    trusted: ssl.SSLContext
    said: bytearray


@asynccontextmanager
async def renegotiating(folder: Path, *parts: str) -> AsyncGenerator[Renegotiating]:
    """Answer one request with parts of an HTTP answer, each a line, and renegotiate TLS 1.2 between them."""
    authority = trustme.CA()
    key = folder / "server.pem"
    await asyncio.to_thread(authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path, str(key))
    trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusted)
    port = _free_port()
    words = ("s_server", "-accept", f"127.0.0.1:{port}", "-cert", key, "-key", key, "-tls1_2")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        "openssl", *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    said = bytearray()
    tasks = [asyncio.create_task(_hear(process, said)), asyncio.create_task(_play(process, parts, said))]
    try:
        await _heard(said, b"ACCEPT")
        yield Renegotiating(f"https://127.0.0.1:{port}/v1", trusted, said)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        process.kill()
        await process.communicate()


async def _play(process: asyncio.subprocess.Process, parts: tuple[str, ...], said: bytearray) -> None:
    assert process.stdin is not None
    await _heard(said, b"HTTP/1.1\r\n")
    for place, part in enumerate(parts):
        if place:
            # A line of one R is a command of s_server; it is taken for one only when it comes by itself.
            await asyncio.sleep(0.05)
            process.stdin.write(b"R\n")
            await asyncio.sleep(0.05)
        process.stdin.write(f"{part}\n".encode())


async def _hear(process: asyncio.subprocess.Process, said: bytearray) -> None:
    assert process.stdout is not None
    while data := await process.stdout.read(4096):
        said += data


async def _heard(said: bytearray, word: bytes) -> None:
    while word not in said:  # noqa: ASYNC110 - another program's output has no event
        await asyncio.sleep(0.01)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
