"""Secrets of gateways: Kubernetes Secrets that a Gateway's `credentialName` names, as SDS resources.

Only ever built for a class of the Secret's own namespace. The content never shows in a repr, a log or a finding.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from argosy.api.destination_rule import ClientTLS
from argosy.api.gateway import ServerTLS
from argosy.api.meta import Object
from argosy.envoy.api import message
from argosy.pilot.build.resource import resource
from argosy.pilot.build.tls import CA_SUFFIX, certificate_names, roots_name
from argosy.xds.messages import Resource

_SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret"


def build_secret(name: str, secret: Object[Any]) -> Resource | None:
    """The SDS secret `name` (a certificate, or with the suffix `-cacert` the roots), or None if a part is missing."""
    if name.endswith(CA_SUFFIX):
        roots = _bytes(secret, "ca.crt") or _bytes(secret, "cacert")
        if roots is None:
            return None
        context: dict[str, Any] = {"trusted_ca": {"inline_bytes": roots}}
        if (revoked := _bytes(secret, "ca.crl") or _bytes(secret, "crl")) is not None:
            context["crl"] = {"inline_bytes": revoked}
        return resource(name, message(_SECRET)(name=name, validation_context=context))
    chain = _bytes(secret, "tls.crt") or _bytes(secret, "cert")
    key = _bytes(secret, "tls.key") or _bytes(secret, "key")
    if chain is None or key is None:
        return None
    certificate = {"certificate_chain": {"inline_bytes": chain}, "private_key": {"inline_bytes": key}}
    return resource(name, message(_SECRET)(name=name, tls_certificate=certificate))


def names_of(tls: ServerTLS) -> tuple[str, ...]:
    """The SDS secrets that a server's TLS needs."""
    roots = roots_name(tls)
    return (*certificate_names(tls), *((roots,) if roots else ()))


def client_names(tls: ClientTLS) -> tuple[str, ...]:
    """The SDS secrets that a client's TLS needs."""
    roots = tls.credential_name + CA_SUFFIX
    return (tls.credential_name, roots) if tls.mode == "MUTUAL" else (roots,)


def _bytes(secret: Object[Any], entry: str) -> bytes | None:
    plain = secret.spec.string_data.get(entry)
    if plain is not None:
        return str(plain).encode()
    coded = secret.spec.data.get(entry)
    return b64decode(coded) if coded is not None else None
