"""The node's side of pod links: addresses, links, routes, through netlink.

There is no bridge. Each pod has a point-to-point link to the node, and the node routes: one host route a pod.
The pod's own side is set by its holder process (`agent.sandbox`). Works in the network of the calling process only.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pyroute2 import AsyncIPRoute, IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_IPV4 = Path("/proc/sys/net/ipv4")
_LINK_SCOPE = 253


def prepare_node_network(address: str, service_cidrs: Sequence[str]) -> None:
    """Bring up loopback with the node's address and forward between pods. Needs CAP_NET_ADMIN over the network.

    Service addresses get a route, although nothing has them: without one, packets would be refused as unreachable
    before the rules that lead them to a pod, or answer that there is none, have seen them.
    """
    with IPRoute() as netlink:
        loopback = netlink.link_lookup(ifname="lo")[0]
        netlink.link("set", index=loopback, state="up")
        netlink.addr("replace", index=loopback, address=address, prefixlen=32)
        for cidr in service_cidrs:
            netlink.route("replace", dst=cidr, oif=loopback, prefsrc=address, family=socket.AF_INET)
    settings = {"ip_forward": "1", "conf/all/rp_filter": "0", "conf/default/rp_filter": "0"}
    for name, value in {**settings, "ip_unprivileged_port_start": "0", "conf/all/send_redirects": "0"}.items():
        (_IPV4 / name).write_text(value)


class NodeNetwork:
    """Adds, lists and removes the node's ends of pod links. One instance per agent."""

    def __init__(self, node_address: str) -> None:
        self._address = node_address

    async def connect_pod(self, link: str, pod_ip: str) -> None:
        """Bring the node's end `link` up and route `pod_ip` through it."""
        async with AsyncIPRoute() as netlink:
            (index,) = await netlink.link_lookup(ifname=link)
            await netlink.link("set", index=index, state="up")
            await netlink.route(
                "replace",
                dst=f"{pod_ip}/32",
                oif=index,
                scope=_LINK_SCOPE,
                prefsrc=self._address,
                family=socket.AF_INET,
            )

    async def remove_link(self, link: str) -> None:
        """Remove the link, both ends and its route. No error if it is gone already (its network may have died)."""
        async with AsyncIPRoute() as netlink:
            found = await netlink.link_lookup(ifname=link)
            if not found:
                return
            try:
                await netlink.link("del", index=found[0])
            except NetlinkError as error:
                if error.code != 19:  # ENODEV: went away between the two calls
                    raise

    async def links(self) -> list[str]:
        """Names of all links but loopback."""
        async with AsyncIPRoute() as netlink:
            return [_name(message) async for message in await netlink.link("dump") if _name(message) != "lo"]


def _name(message: Any) -> str:
    return str(message.get_attr("IFLA_IFNAME"))


def link_name(ip: str) -> str:
    """The node's end of the link to the pod at `ip`: unique, as the last two bytes of the address are."""
    third, fourth = ip.split(".")[2:]
    return f"pod-{third}-{fourth}"
