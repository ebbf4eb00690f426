"""Virtual addresses: which address a Service or a service entry's host gets, stable over restarts and re-creation.

Given the name and the addresses in use, gives an address: the first choice is a hash of the name, so that the same
name gets the same address on every machine; taken ones are stepped over. Pure. Addresses live in the objects
themselves (`spec.clusterIP`, `status.addresses`), so a revision brings its own back.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container
from ipaddress import IPv4Address, IPv4Network

SERVICE_RANGE = IPv4Network("10.96.0.0/16")
ENTRY_RANGE = IPv4Network("240.240.0.0/16")

_RESERVED_LOW = 2  # the network's own address and .0.1, by custom the API server's


def allocate_address(name: str, taken: Container[str], network: IPv4Network = SERVICE_RANGE) -> str | None:
    """A free address of `network` for `name`, or None if there is none."""
    size = network.num_addresses - _RESERVED_LOW - 1
    start = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") % size
    for step in range(size):
        address = str(network[_RESERVED_LOW + (start + step) % size])
        if address not in taken:
            return address
    return None


def is_service_address(text: str) -> bool:
    """True if a Service may ask for this address."""
    try:
        address = IPv4Address(text)
    except ValueError:
        return False
    return address in SERVICE_RANGE and _RESERVED_LOW <= int(address) - int(SERVICE_RANGE[0]) < 65535
