"""Content codings are undone for every cut, in bounded pieces, and no bomb goes off."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loomwire.domain.policies import MIB, WireLimits
from loomwire.infrastructure.transport.decoding import PIECE, Decoder
from loomwire.infrastructure.transport.failures import Failed
from support.cuts import cut
from support.wire_server import Exchange, answer, run_script, served_by_thread

LIMITS = WireLimits()


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def decoded(parts: Sequence[bytes], *codings: str, limits: WireLimits = LIMITS) -> bytes:
    decoder = Decoder(codings, limits)
    pieces = [piece for part in parts for piece in decoder.feed(part)]
    assert all(0 < len(piece) <= PIECE for piece in pieces if codings != ("identity",))
    decoder.finish()
    return b"".join(pieces)


def pieces_of(parts: Sequence[bytes]) -> Iterator[bytes]:
    decoder = Decoder(["gzip"], LIMITS)
    for part in parts:
        yield from decoder.feed(part)


def by_one(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


@given(st.binary(max_size=400))
def test_every_coding_gives_the_bytes_back_whole_and_byte_by_byte(data: bytes) -> None:
    for coding, packed in (
        ("gzip", gzip.compress(data)),
        ("x-gzip", gzip.compress(data)),
        ("deflate", zlib.compress(data)),
        ("deflate", raw_deflate(data)),
        ("identity", data),
    ):
        assert decoded([packed], coding) == data
        assert decoded(by_one(packed), coding) == data


@given(st.binary(max_size=300))
def test_stacked_codings_are_undone_from_the_outside(data: bytes) -> None:
    packed = gzip.compress(zlib.compress(data))
    assert decoded([packed], "deflate", "gzip") == data
    assert decoded(by_one(packed), "deflate", "gzip") == data


@given(st.binary(min_size=1, max_size=3000), st.lists(st.integers(0, 5000), max_size=4), st.booleans())
def test_no_cut_changes_what_is_delivered_before_damage(data: bytes, places: list[int], noisy: bool) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    begin = packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)
    # No deflate block begins so; or all is well but for the checksum.
    body = begin + b"\x07\xff" * 40 if noisy else gzip.compress(data)[:-8] + bytes(8)
    found: list[bytes] = []
    with pytest.raises(Failed) as caught:
        found.extend(pieces_of(cut(body, places)))
    assert (b"".join(found), caught.value.reason) == (data, "protocol")


def test_what_is_flushed_is_delivered_before_the_end() -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    first = packer.compress(b"data: 1\n\n") + packer.flush(zlib.Z_SYNC_FLUSH)
    assert b"".join(Decoder(["gzip"], LIMITS).feed(first)) == b"data: 1\n\n"


def test_several_gzip_members_are_one_body_and_what_follows_is_ignored() -> None:
    packed = gzip.compress(b"one ") + gzip.compress(b"two")
    assert decoded([packed], "gzip") == b"one two"
    assert decoded([packed + b"\0\0\0garbage"], "gzip") == b"one two"


def test_endless_empty_members_are_refused() -> None:
    with pytest.raises(Failed) as caught:
        decoded([gzip.compress(b"") * 100], "gzip")
    assert caught.value.reason == "too_large"


def test_an_empty_body_needs_no_coding() -> None:
    assert decoded([], "gzip") == b""
    assert decoded([b""], "deflate") == b""


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_every_truncation_is_noticed(coding: str) -> None:
    packed = gzip.compress(b"hello" * 9) if coding == "gzip" else zlib.compress(b"hello" * 9)
    for end in range(1, len(packed)):
        with pytest.raises(Failed) as caught:
            decoded([packed[:end]], coding)
        assert caught.value.reason == "eof"


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_damaged_data_is_a_protocol_failure(coding: str) -> None:
    with pytest.raises(Failed) as caught:
        decoded([b"\xff\xff this was never compressed"], coding)
    assert caught.value.reason == "protocol"


@pytest.mark.parametrize(
    ("codings", "reason"),
    [(["br"], "protocol"), (["zstd"], "protocol"), (["gzip", "br"], "protocol"), ([""], "protocol"),
     (["gzip"] * 3, "too_large"), (["gzip"] * 5, "too_large")],
)  # fmt: skip
def test_codings_that_were_not_asked_for_or_too_many_are_refused(codings: list[str], reason: str) -> None:
    with pytest.raises(Failed) as caught:
        Decoder(codings, LIMITS)
    assert caught.value.reason == reason


def bomb(size: int) -> bytes:
    """A gzip stream of `size` zeros, made of one block over and over."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (size // MIB) + b"\x03\0" + bytes(8)


def test_growth_is_allowed_up_to_a_mebibyte_and_refused_beyond_the_ratio() -> None:
    assert decoded([gzip.compress(bytes(MIB))], "gzip") == bytes(MIB)
    packed = bomb(1024 * MIB)
    grown: list[int] = []
    with pytest.raises(Failed) as caught:
        grown.extend(len(piece) for piece in Decoder(["gzip"], LIMITS).feed(packed))
    assert caught.value.reason == "too_large"
    assert sum(grown) <= LIMITS.gzip_ratio * len(packed)


def test_a_bomb_inside_a_coding_is_refused_although_nothing_comes_out() -> None:
    # A gzip header whose file name never ends: the inner stage eats all and delivers nothing.
    inner = b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"x" * (8 * MIB)
    with pytest.raises(Failed) as caught:
        decoded([gzip.compress(inner)], "gzip", "gzip")
    assert caught.value.reason == "too_large"


def test_honest_data_grows_as_much_as_it_likes_below_the_ratio() -> None:
    dice = random.Random(3)
    text = json.dumps([dice.randrange(10**9) for _ in range(200_000)]).encode()
    assert decoded([gzip.compress(text)], "gzip", limits=replace(LIMITS, gzip_ratio=20)) == text


SCRIPT = """
import asyncio, resource, sys
from dataclasses import replace
from loomwire.domain.errors import LLMError
from loomwire.domain.ports.pool import WireRequest
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import LOCAL, ask

async def swallow(pool, url, policy, stream):
    lease = await pool.acquire(url, policy)
    try:
        reply = await lease.send(WireRequest("/bomb", (), b""))
        if stream:
            async for _ in reply.chunks(): pass
        else:
            await reply.read()
    except LLMError as error:
        print(error.reason)
    finally:
        pool.release(lease)

async def main(url):
    pool = ConnectionPool()
    await ask(pool, url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Without the ratio the sizes must hold on their own.
    loose = replace(LOCAL, limits=replace(LOCAL.limits, gzip_ratio=10**6, body=8 * 2**20))
    for policy in (LOCAL, loose):
        for stream in (False, True):
            await swallow(pool, url, policy, stream)
    await pool.aclose()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)

asyncio.run(main(sys.argv[1]))
"""


def test_a_bomb_of_a_gibibyte_costs_less_than_32_mib() -> None:
    packed = bomb(1024 * MIB)

    async def play(exchange: Exchange) -> None:
        if exchange.path == "/bomb":
            await exchange.send(answer(packed, Content_Encoding="gzip"))
        else:
            await exchange.answer()

    with served_by_thread(play) as server:
        *reasons, grown = run_script(SCRIPT, server.base_url)
    assert reasons == ["too_large"] * 4
    assert int(grown) < 32
