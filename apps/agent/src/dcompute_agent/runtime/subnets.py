"""Networks of rentals: one small subnet each, out of the configured range, since Docker's own pools end near 31."""

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator

SUBNET_PREFIX_LENGTH = 28


def free_subnets(
    network_range: ipaddress.IPv4Network, used: Iterable[ipaddress.IPv4Network], node_id: str
) -> Iterator[ipaddress.IPv4Network]:
    """Subnets of the range that overlap no used one.

    Each node begins at its own place in the range, so that agents that share an engine seldom try the same one.
    """
    taken = list(used)
    count = 1 << (SUBNET_PREFIX_LENGTH - network_range.prefixlen)
    first = int.from_bytes(hashlib.sha256(node_id.encode()).digest()[:8]) % count
    size = 1 << (32 - SUBNET_PREFIX_LENGTH)
    for step in range(count):
        address = network_range.network_address + ((first + step) % count) * size
        subnet = ipaddress.IPv4Network((address, SUBNET_PREFIX_LENGTH))
        if not any(subnet.overlaps(other) for other in taken):
            yield subnet
