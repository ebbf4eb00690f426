"""Does Envoy take what Pilot makes? One Envoy, to which world after world is pushed; nothing is bound or called.

Listeners are taken off their ports, names are looked up nowhere, and the mesh's certificates come from a folder of the
test's own; everything else is what a proxy would get.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from argosy.app.pilot import ENVOY_RULES
from argosy.edge.tls import Material
from argosy.envoy.api import decode, encode, typed
from argosy.pilot.build.resource import CLUSTER, LISTENER, SECRET, resource_of_bytes
from argosy.pilot.build.tls import CA_SUFFIX, MESH_ROOTS, OWN_CERTIFICATE, SDS_FOLDER, SYSTEM_ROOTS
from argosy.xds.messages import Resource
from argosy.xds.server import Nacked, Settled

from .rig import Rig, running

_DNS = ("STRICT_DNS", "LOGICAL_DNS")


class Acceptance:
    """Pushes resources and says what is refused. Secrets are given real certificates, and those that are asked for are
    there: `secrets` names them."""

    def __init__(self, rig: Rig, certificates: str, secrets: Iterable[str] = ()) -> None:
        self._rig = rig
        self._certificates = certificates.encode()
        self._secrets = [_secret(name, rig.server_side.material) for name in secrets]

    async def refusals(self, resources: Iterable[Resource]) -> list[str]:
        """Offer exactly these; gives what Envoy says about those that it refuses."""
        script = self._rig.script
        script.forget()
        wanted = [self._prepared(one) for one in resources if one.type_url != SECRET]
        number = script.offer(*wanted, *self._secrets)
        await script.until(lambda: Settled(number) in script.events or script.of(Nacked), f"an answer to {number}")
        return [f"{', '.join(event.names)}: {event.detail.message}" for event in script.of(Nacked)]

    def _prepared(self, one: Resource) -> Resource:
        body = (one.body or b"").replace(SDS_FOLDER.encode(), self._certificates)
        if one.type_url == LISTENER:
            listener = decode("envoy.config.listener.v3.Listener", body)
            listener.bind_to_port.value = False
            body = encode(listener)
        elif one.type_url == CLUSTER:
            cluster = decode("envoy.config.cluster.v3.Cluster", body)
            if cluster.DiscoveryType.Name(cluster.type) in _DNS:
                cluster.typed_dns_resolver_config.CopyFrom(_nowhere())
                body = encode(cluster)
        return resource_of_bytes(
            one.type_url,
            one.name,
            body,
            clusters=[ref.name for ref in one.requires],
            companion=next(iter(one.companions), None),
        )


def _secret(name: str, material: Material) -> Resource:
    made = decode("envoy.extensions.transport_sockets.tls.v3.Secret", b"")
    made.name = name
    if name.endswith(CA_SUFFIX):
        made.validation_context.trusted_ca.inline_bytes = material.roots
    else:
        made.tls_certificate.certificate_chain.inline_bytes = material.chain
        made.tls_certificate.private_key.inline_bytes = material.key
    return resource_of_bytes(SECRET, name, encode(made))


def _nowhere() -> Any:
    resolver = {"resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": 1}}]}
    config = typed("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", **resolver)
    made = decode("envoy.config.core.v3.TypedExtensionConfig", b"")
    made.name = "envoy.network.dns_resolver.cares"
    made.typed_config.CopyFrom(config)
    return made


@asynccontextmanager
async def accepting(folder: Path, secrets: Iterable[str] = ()) -> AsyncIterator[Acceptance]:
    """Envoy against a scripted server, ready for worlds."""
    # Worlds here follow one another without a connection: nothing of one is worth keeping in the next.
    async with running("delta", folder, replace(ENVOY_RULES, patient=frozenset())) as rig:
        with _certificates(rig.server_side.material) as place:
            rig.script.offer()
            yield Acceptance(rig, place, secrets)


@contextmanager
def _certificates(material: Material) -> Iterator[str]:
    """A folder with a pod's secrets; its path is as long as the one that it stands for: bytes are replaced in place."""
    with TemporaryDirectory(prefix="asds", dir="/tmp") as place:
        assert len(place) == len(SDS_FOLDER)
        _write(Path(place), material)
        yield place


def _write(folder: Path, material: Material) -> None:
    kind = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    own = {
        "@type": kind,
        "name": OWN_CERTIFICATE,
        "tls_certificate": {
            "certificate_chain": {"inline_string": material.chain.decode()},
            "private_key": {"inline_string": material.key.decode()},
        },
    }
    roots = {
        "@type": kind,
        "name": MESH_ROOTS,
        "validation_context": {"trusted_ca": {"inline_string": material.roots.decode()}},
    }
    for name, secret in (("certificate", own), ("roots", roots)):
        (folder / f"{name}.json").write_text(json.dumps({"resources": [secret]}))
    (folder / Path(SYSTEM_ROOTS).name).write_bytes(material.roots)


__all__ = ["Acceptance", "accepting"]
