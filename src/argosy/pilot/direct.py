"""Which pods are called under mutual TLS when they are called by their address; see `build/direct.py`.

Given tracked reads. Who wants plaintext (PeerAuthentication DISABLE) is looked for only where somebody may.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from argosy.api.meta import Object
from argosy.core.names import ROOT_NAMESPACE
from argosy.incr import Reader
from argosy.pilot import policy, registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.build.direct import Direct
from argosy.pilot.classes import stable_labels
from argosy.pilot.scopes import ServerKey
from argosy.pilot.selecting import about_all

if TYPE_CHECKING:
    from argosy.pilot.model import Model


def build_direct(read: Reader, model: Model) -> Direct | None:
    """The addresses that are called under mutual TLS; None if none are."""
    settings = registry.settings(read, model.mesh, Aspect.CLUSTERS)
    if not settings.captured_network or not settings.config.enable_auto_mtls:
        return None
    moving = read.all_keys(model.mesh.moving_modes)
    root = about_all(read, model.mesh.peer_authentications, ROOT_NAMESPACE)[:1]
    if not moving and any(one.spec.mtls is not None and one.spec.mtls.mode == policy.DISABLE for one in root):
        # All but a few want plaintext: a list of all of them would change with every pod.
        return None
    places = {*_disabling(read, model), *(key.namespace for key in moving)}
    return Direct(settings.captured_network, tuple(_plain(read, model, settings.captured_network, places)))


def _disabling(read: Reader, model: Model) -> Iterator[str]:
    """The namespaces with an object that has some port of some workload take no mutual TLS; all for the root's."""
    policies = model.mesh.kinds["PeerAuthentication"]
    for key in read.all_keys(policies):
        one = read.get(policies, key)
        modes = [] if one is None else [one.spec.mtls, *one.spec.port_level_mtls.values()]
        if any(mode is not None and mode.mode == policy.DISABLE for mode in modes):
            yield key.namespace


def _plain(read: Reader, model: Model, network: str, namespaces: set[str]) -> Iterator[str]:
    if not namespaces:
        return
    everywhere, range_ = ROOT_NAMESPACE in namespaces, ip_network(network)
    for key in sorted(read.all_keys(model.mesh.pods)):
        if not everywhere and key.namespace not in namespaces:
            continue
        pod = read.get(model.mesh.pods, key)
        address = pod.spec.pod_ip if pod is not None else ""
        if pod is not None and address and ip_address(address) in range_ and _wants_plaintext(read, model, pod):
            yield address


def _wants_plaintext(read: Reader, model: Model, pod: Object[Any]) -> bool:
    """True if some port of the pod is called without mutual TLS."""
    labels = stable_labels(pod.labels)
    ports = (0, *policy.mtls_ports(read, model.mesh, pod.namespace, labels))
    keys = (ServerKey(pod.namespace, labels, port) for port in ports)
    return any(read.get(model.called_by_tls, key) is False for key in keys)
