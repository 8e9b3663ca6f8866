"""An address is public or private however it is written."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from loomwire.infrastructure.transport.public import is_public


@given(st.ip_addresses(v=4))
def test_an_address_inside_an_ipv6_address_is_judged_like_the_address(ip: ipaddress.IPv4Address) -> None:
    public = is_public(str(ip))
    assert is_public(f"::ffff:{ip}") == public
    assert is_public(str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + int(ip)))) == public
    assert is_public(str(ipaddress.IPv6Address((0x2002 << 112) + (int(ip) << 80)))) == public
