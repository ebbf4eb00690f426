"""Pilot's world from YAML, for tests and for looking at what a manifest becomes: no process, no socket.

Given manifests as text; gives what each pod's proxy would hold, and what a change did. Deployments become one ready pod
each (`<name>-0`) and Services get addresses, as a platform and Galley would do. Pods have a sidecar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from argosy.api import Document, Object, decode_object, parse_documents
from argosy.core.names import ObjectKey
from argosy.envoy import api
from argosy.incr import Change, Engine
from argosy.pilot.checking import NO_CONCERN, CalledPort, Concern, OwnAnswers
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import SETTINGS_KEY, Destination, Mesh, MeshSettings
from argosy.pilot.model import Model
from argosy.pilot.world import Outcome, World
from argosy.xds.messages import Resource, Snapshot

GATEWAY = ObjectKey("istio-system", "istio-ingressgateway-0")


class Manifests:
    """Turns manifests into the objects that Pilot would be given; addresses go by the order of first appearance."""

    def __init__(self) -> None:
        self._addresses: dict[tuple[str, ObjectKey], int] = {}

    def read(self, text: str, file: str = "") -> list[Object[Any]]:
        """The objects in `text`; raises `ArgosyError` for what cannot be decoded."""
        return [made for document in parse_documents(text, file) for made in self._complete(decode_object(document))]

    def _complete(self, one: Object[Any]) -> Iterator[Object[Any]]:
        if one.kind == "Service" and not one.spec.cluster_ip:
            yield replace(one, spec=msgspec.structs.replace(one.spec, cluster_ip=self._address("10.96", one)))
            return
        yield one
        if one.kind == "Deployment":
            yield self._pod(one)

    def _pod(self, one: Object[Any]) -> Object[Any]:
        template = one.spec.template
        containers = [
            {"name": c.name, "ports": [{"containerPort": p.container_port, "name": p.name} for p in c.ports]}
            for c in template.spec.containers
        ]
        metadata = {
            "name": f"{one.name}-0",
            "namespace": one.namespace,
            "labels": dict(template.metadata.labels),
            "annotations": {**template.metadata.annotations, "argosy.io/sidecar": "true"},
            "ownerReferences": [{"kind": "Deployment", "name": one.name}],
        }
        spec = {"serviceAccountName": template.spec.service_account_name, "containers": containers}
        ready = [{"type": "Ready", "status": "True"}]
        status = {"podIP": self._address("10.88", one), "phase": "Running", "conditions": ready}
        data = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status}
        return decode_object(Document(data))

    def _address(self, network: str, one: Object[Any]) -> str:
        number = self._addresses.setdefault((one.kind, one.key), len(self._addresses) + 1)
        return f"{network}.{number // 250}.{number % 250 + 1}"


def gateway_manifest(labels: str = "istio: ingressgateway") -> str:
    """A Deployment whose pod is a gateway, with `labels` written as in YAML."""
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: istio-ingressgateway, namespace: istio-system}}
spec:
  template:
    metadata: {{labels: {{{labels}}}, annotations: {{inject.istio.io/templates: gateway}}}}
    spec: {{serviceAccountName: istio-ingressgateway, containers: [{{name: istio-proxy}}]}}
"""


class _AnyRule:
    """Mixer's port of a world: as soon as there is any rule, all sidecars ask."""

    def policy(self, objects: Sequence[Object[Any]]) -> bool:
        """Is there a rule?"""
        return any(one.kind == "rule" for one in objects)

    def concerns(self, policy: bool, destination: Destination) -> Concern:
        """Whoever it is."""
        return Concern(http=policy) if not destination.gateway else NO_CONCERN

    def answers(self, policy: bool, destination: Destination, port: CalledPort) -> OwnAnswers:
        """Everything is asked about."""
        return OwnAnswers()


class MeshWorld:
    """One Pilot without its server."""

    def __init__(self, *texts: str, settings: MeshSettings | None = None) -> None:
        self.manifests = Manifests()
        self.mesh = Mesh(Engine(), _AnyRule())
        self.model = Model(self.mesh)
        self.world = World(self.model)
        self.world.commit([Change(self.mesh.settings, SETTINGS_KEY, settings or MeshSettings())])
        if texts:
            self.apply(*texts)

    def apply(self, *texts: str) -> Outcome:
        """Set all objects in `texts` as one step."""
        return self.set([one for text in texts for one in self.manifests.read(text)])

    def set(self, objects: Iterable[Object[Any]]) -> Outcome:
        """Set objects as one step."""
        known = self.mesh.kinds
        return self.world.commit([Change(known[one.kind], one.key, one) for one in objects if one.kind in known])

    def delete(self, kind: str, namespace: str, name: str) -> Outcome:
        """Delete one object."""
        return self.world.commit([Change(self.mesh.kinds[kind], ObjectKey(namespace, name), None)])

    def connect(self, pod: str, namespace: str = "default") -> ProxyClass:
        """Have a proxy follow its pod's class, as if it had connected; KeyError if there is no such pod."""
        found = self.world.class_of(ObjectKey(namespace, pod))
        if found is None:
            raise KeyError(f"{namespace}/{pod}")
        self.world.join(found)
        return found

    def snapshot(self, pod: str, namespace: str = "default") -> Snapshot:
        """What the pod's proxy should hold now."""
        return self.world.current(self.connect(pod, namespace))

    def resources(self, type_url: str, pod: str, namespace: str = "default") -> dict[str, dict[str, Any]]:
        """The pod's resources of one type by name, in Envoy's JSON form."""
        found = self.snapshot(pod, namespace).of(type_url)
        return {name: as_json(found[name]) for name in sorted(found)}


def as_json(one: Resource) -> dict[str, Any]:
    """A resource's body in Envoy's JSON form."""
    return api.to_dict(api.decode(one.type_url.removeprefix(api.TYPE_PREFIX), one.body or b""))


__all__ = ["GATEWAY", "Manifests", "MeshWorld", "as_json", "gateway_manifest"]
