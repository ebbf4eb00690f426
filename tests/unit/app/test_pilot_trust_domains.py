"""Which trust domains a running Pilot lets servers accept, and what it says of one that is not in force."""

import pytest

from argosy.pilot.build.resource import LISTENER

from .shop import CART, pod
from .test_pilot import Proxy, pilot

MESH_CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "trustDomain: NAME"}
"""


def accepted_names(proxy: Proxy) -> set[str]:
    """The URI prefixes that the newest listeners accept of clients."""
    text = b"".join(one.body for one in proxy.pushes[-1][0].of(LISTENER).values() if one.body)
    return {name for name in ("spiffe://cluster.local/", "spiffe://partner/") if name.encode() in text}


async def test_a_federated_trust_domain_is_accepted_by_servers_until_it_is_not() -> None:
    made = pilot(CART, pod())
    proxy = Proxy(made)
    made.set_federated(("partner",))
    assert accepted_names(proxy) == {"spiffe://cluster.local/", "spiffe://partner/"}
    count = len(proxy.pushes)
    made.set_federated(("partner",))
    assert len(proxy.pushes) == count
    made.set_federated(())
    assert accepted_names(proxy) == {"spiffe://cluster.local/"}


@pytest.mark.parametrize("name, told", [("cluster.local", False), ("other", True)])
def test_a_trust_domain_that_is_not_in_force_is_told(name: str, told: bool) -> None:
    found = pilot(MESH_CONFIG.replace("NAME", name)).findings()
    assert [one.code for one in found] == (["ARG0530"] if told else [])
