"""Base URLs: what is accepted, what is refused, and that no name or redirect leads to an inner address."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from loomwire.domain.errors import ConfigError
from loomwire.domain.policies import TransportPolicy
from loomwire.infrastructure.transport.addresses import Origin, split_base_url
from loomwire.infrastructure.transport.connections import CheckedResolver, Dialer, system_resolver
from loomwire.infrastructure.transport.failures import PrivatePeer
from loomwire.infrastructure.transport.pool import ConnectionPool
from support.wire_server import WireServer, ask


@pytest.mark.parametrize(
    ("base_url", "origin", "normal"),
    [
        ("https://api.example.com/v1", Origin("https", "api.example.com", 443), "https://api.example.com/v1"),
        ("https://API.Example.com/v1/", Origin("https", "api.example.com", 443), "https://api.example.com/v1"),
        ("http://8.8.8.8:8080", Origin("http", "8.8.8.8", 8080), "http://8.8.8.8:8080"),
        ("https://[2606:4700::1111]/x", Origin("https", "2606:4700::1111", 443), "https://[2606:4700::1111]/x"),
        ("https://bücher.example", Origin("https", "xn--bcher-kva.example", 443), "https://xn--bcher-kva.example"),
    ],
)
def test_a_base_url_is_split_into_origin_and_normal_form(base_url: str, origin: Origin, normal: str) -> None:
    assert split_base_url(base_url, allow_private=False) == (origin, normal)


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "file:///etc/passwd",
        "unix:///run/x",
        "https://",
        "https:///v1",
        "https://user:secret@api.example.com",
        "https://user@api.example.com",
        "https://@api.example.com",
        "https://api.example.com/v1?key=secret",
        "https://api.example.com/v1#secret",
        "https://resource#.openai.azure.com",
        "https://api.example.com\\@evil.example",
        "https://api.example.com /v1",
        "https://api.example.com/\r\nX: secret",
        "https://api.exa\tmple.com",
        "https://a..b",
        "https://-a-.example",
        "https://api.example.com:99999",
        "https://api.example.com:port",
        "https://[::1",
        "http://2130706433",
        "http://0x7f000001",
        "http://0x7f.1",
        "http://017700000001",
        "http://127.1",
        "http://0177.0.0.1",
        "http://8.8.2056",
    ],
)
def test_what_is_no_plain_base_url_is_refused_even_where_private_is_allowed(base_url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_base_url(base_url, allow_private=True)
    assert caught.value.reason == "out_of_range"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "x.localhost",
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:10.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:7f00:1::]",
        "[2001:0:4136:e378:8000:63bf:80ff:fffe]",
    ],
)
def test_private_addresses_need_the_policy_s_leave(host: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_base_url(f"http://{host}:80/v1", allow_private=False)
    assert caught.value.reason == "out_of_range"
    assert "allow_private" in (caught.value.hint or "")
    split_base_url(f"http://{host}:80/v1", allow_private=True)


async def test_acquire_refuses_a_private_address_before_anything_is_sent(pool: ConnectionPool) -> None:
    async with WireServer() as server:
        with pytest.raises(ConfigError):
            await pool.acquire(server.base_url)
        assert server.connections == 0


async def test_a_name_that_leads_inside_is_refused_before_connecting() -> None:
    async def rebound(host: str, port: int) -> Sequence[str]:
        return ("127.0.0.1",)

    pool = ConnectionPool(resolver=rebound)
    async with WireServer() as server:
        url = f"http://harmless.example:{server.port}"
        for _ in range(2):
            with pytest.raises(ConfigError) as caught:
                await ask(pool, url, policy=TransportPolicy())
            assert (caught.value.reason, caught.value.endpoint) == ("out_of_range", url)
            assert "allow_private" in (caught.value.hint or "")
        assert server.connections == 0
        assert await ask(pool, url, b"1") == b"1"
        await pool.aclose()


async def test_of_several_addresses_only_the_public_ones_are_tried() -> None:
    async def mixed(host: str, port: int) -> Sequence[str]:
        return ("127.0.0.1", "8.8.8.8", "::ffff:10.0.0.1", "fe80::1%lo", "2606:4700::1111", "8.8.8.8")

    found = await CheckedResolver(mixed, public_only=True).resolve("mixed.example", 443)
    assert [each["host"] for each in found] == ["8.8.8.8", "2606:4700::1111"]


async def test_the_system_s_resolver_is_checked_too(pool: ConnectionPool) -> None:
    found = await CheckedResolver(system_resolver, public_only=False).resolve("localhost", 80)
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
    with pytest.raises(PrivatePeer):
        await CheckedResolver(system_resolver, public_only=True).resolve("localhost", 80)


async def test_the_peer_that_answers_is_checked_whatever_was_resolved() -> None:
    async with WireServer() as server:
        origin = Origin("http", "127.0.0.1", server.port)
        dialer = Dialer(origin, TransportPolicy())
        with pytest.raises(PrivatePeer):
            await dialer.dial()
        await dialer.aclose()
        assert server.seen == []
