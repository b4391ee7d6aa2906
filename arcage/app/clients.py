"""Tell clients apart."""

from __future__ import annotations

import ipaddress


def network(host: str) -> str:
    """Return the address of a client, or its network of IPv6: there, a client has as many addresses as it
    wants."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))
