"""Which addresses are the same client."""

from __future__ import annotations

from arcage.app.clients import network


def test_a_network_of_ipv6_is_one_client() -> None:
    assert network("192.168.1.7") == network("::ffff:192.168.1.7") == "192.168.1.7"
    assert network("192.168.1.8") != network("192.168.1.7")
    assert network("2001:db8::1") == network("2001:db8::ffff:0:0:1") == "2001:db8::/64"
    assert network("2001:db8:0:1::1") != network("2001:db8::1")
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == ""
