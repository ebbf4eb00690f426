"""Where a service of the mesh can be reached without a proxy, for what Mixer itself calls: handlers' servers.

Given pods and Services; gives for `name.namespace` and a port the address of one ready pod and the port there. Hosts
that are no Service of the mesh stay as they are, for the machine's own resolver. Source: Kubernetes Services.
"""

from __future__ import annotations

from collections.abc import Iterable

from argosy.api.kubernetes import Pod, Service
from argosy.api.meta import Object
from argosy.core.hosts import called_service, resolve_host, service_host, service_of_host
from argosy.core.labels import selects
from argosy.core.names import ObjectKey


class MeshAddresses:
    """One state of the registry."""

    def __init__(self, pods: Iterable[Object[Pod]], services: Iterable[Object[Service]]) -> None:
        self._pods = sorted(pods, key=lambda pod: (pod.namespace, pod.name))
        self._services = {service.key: service for service in services}

    def find(self, host: str, port: int, namespace: str) -> tuple[str, int]:
        """Where `host:port` is, as it stands in an object of `namespace`; raises OSError if no pod is ready."""
        service = self._service(host, namespace)
        if service is None:
            return host, port
        target = next((one.target_port or one.port for one in service.spec.ports if one.port == port), port)
        for pod in self._pods:
            if pod.namespace != service.namespace or not pod.spec.ready or not pod.spec.pod_ip:
                continue
            if service.spec.selector and selects(service.spec.selector, pod.labels):
                found = target if isinstance(target, int) else _named(pod.spec, target)
                if found is not None:
                    return pod.spec.pod_ip, found
        raise OSError(f"no pod of {service_host(service.name, service.namespace)} is ready")

    def _service(self, host: str, namespace: str) -> Object[Service] | None:
        whole = called_service(host) or resolve_host(host.lower(), namespace)
        known = service_of_host(whole)
        return self._services.get(ObjectKey(*known)) if known is not None else None


def _named(pod: Pod, name: str) -> int | None:
    ports = (port for container in pod.spec.containers for port in container.ports)
    return next((port.container_port for port in ports if port.name == name), None)
