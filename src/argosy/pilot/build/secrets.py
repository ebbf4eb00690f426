"""Secrets of gateways: Kubernetes Secrets that a Gateway's `credentialName` names, as SDS resources.

Only ever built for a class of the Secret's own namespace. The content never shows in a repr, a log or a finding.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from argosy.api.meta import Object
from argosy.envoy.api import message
from argosy.pilot.build.resource import resource
from argosy.xds.messages import Resource

_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"
CA_SUFFIX = "-cacert"


def build_secret(name: str, secret: Object[Any]) -> Resource | None:
    """The SDS secret `name` (a certificate, or with the suffix `-cacert` the roots), or None if a part is missing."""
    if name.endswith(CA_SUFFIX):
        roots = _bytes(secret, "ca.crt") or _bytes(secret, "cacert")
        if roots is None:
            return None
        return resource(name, message(_SECRET)(name=name, validation_context={"trusted_ca": {"inline_bytes": roots}}))
    chain = _bytes(secret, "tls.crt") or _bytes(secret, "cert")
    key = _bytes(secret, "tls.key") or _bytes(secret, "key")
    if chain is None or key is None:
        return None
    certificate = {"certificate_chain": {"inline_bytes": chain}, "private_key": {"inline_bytes": key}}
    return resource(name, message(_SECRET)(name=name, tls_certificate=certificate))


def _bytes(secret: Object[Any], entry: str) -> bytes | None:
    plain = secret.spec.string_data.get(entry)
    if plain is not None:
        return str(plain).encode()
    coded = secret.spec.data.get(entry)
    return b64decode(coded) if coded is not None else None
