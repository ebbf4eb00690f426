"""Secrets that a Gateway's servers name: are they beside the gateway's pods, with all that is needed of them?

Given the Gateway, the namespaces of its pods and all Secrets, gives warnings; Secrets may come later. Pilot reads only
those of the pods' own namespace (`pilot/build/secrets.py`). Nothing of a Secret but names of entries is looked at.
Source: Istio's Gateway API, ServerTLSSettings; IST0101.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from argosy.api.gateway import Gateway, ServerTLS
from argosy.api.kubernetes import Secret
from argosy.api.meta import Object
from argosy.core.errors import Finding, Level
from argosy.core.names import ObjectKey

MISSING_SECRET = "ARG0212"
_ROOTS = "-cacert"
# Either name of each part: those of Kubernetes' TLS Secrets, and Istio's generic ones.
_CERTIFICATE = (("tls.crt", "cert"), ("tls.key", "key"))
_AUTHORITIES = (("ca.crt", "cacert"),)
_Parts = tuple[tuple[str, str], ...]


def analyze_gateway_secrets(
    gateway: Object[Gateway], namespaces: Iterable[str], secrets: Mapping[ObjectKey, Secret]
) -> Iterator[Finding]:
    """Warnings about names that lead to no usable Secret in some of `namespaces`, those of the gateway's pods."""
    spaces = sorted(namespaces)
    for index, server in enumerate(gateway.spec.servers):
        for at, name, parts in _wanted(server.tls) if server.tls is not None else ():
            for namespace in spaces:
                problem, hint = _problem(ObjectKey(namespace, name), parts, secrets)
                if problem:
                    field = f"spec.servers[{index}].tls.{at}"
                    yield _warning(gateway, field, f"{problem}: clients of the server are cut off", hint)


def _wanted(tls: ServerTLS) -> Iterator[tuple[str, str, _Parts]]:
    """(field, the name in it, what the Secret must have) of one server."""
    if tls.mode not in ("SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"):
        return
    for number, name in enumerate(tls.credential_names):
        yield f"credentialNames[{number}]", name, _CERTIFICATE
    if tls.credential_name and not tls.credential_names:
        yield "credentialName", tls.credential_name, _CERTIFICATE
    if tls.mode == "SIMPLE":
        return
    if tls.ca_cert_credential_name:
        yield "caCertCredentialName", tls.ca_cert_credential_name, _AUTHORITIES
    elif tls.credential_names:
        yield "credentialNames[0]", tls.credential_names[0], _AUTHORITIES
    elif tls.credential_name:
        yield "credentialName", tls.credential_name, _AUTHORITIES


def _problem(key: ObjectKey, parts: _Parts, secrets: Mapping[ObjectKey, Secret]) -> tuple[str, str]:
    """(what is wrong, what helps), or empty texts."""
    found = secrets.get(key)
    beside = secrets.get(ObjectKey(key.namespace, key.name + _ROOTS)) if parts is _AUTHORITIES else None
    if found is None and beside is None:
        elsewhere = sorted(one.namespace for one in secrets if one.name == key.name)
        hint = f"that of {elsewhere[0]} is not used: it must stand beside the gateway's pods" if elsewhere else ""
        return (
            f"there is no Secret {key}",
            hint or f"make it in namespace {key.namespace}, where the gateway's pods are",
        )
    entries = {entry for one in (found, beside) if one is not None for entry in (*one.data, *one.string_data)}
    lacking = [names[0] for names in parts if not entries & set(names)]
    return (f"Secret {key} has no {' and no '.join(lacking)}", "") if lacking else ("", "")


def _warning(obj: Object[Gateway], at: str, message: str, hint: str) -> Finding:
    return Finding(MISSING_SECRET, Level.WARNING, message, obj.kind, obj.namespace, obj.name, at, obj.origin, hint)
