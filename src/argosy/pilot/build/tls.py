"""Transport sockets: mesh mutual TLS in both directions, TLS origination, TLS termination.

Keys and certificates are never in these resources: sidecars read their own from files that the agent replaces (at the
same paths in every pod), gateways get theirs by name over ADS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.api.gateway import CIPHER_SUITES
from argosy.envoy import values as v

SDS_FOLDER = "/etc/argosy/proxy"
SYSTEM_ROOTS = f"{SDS_FOLDER}/system-roots.pem"
_SYSTEM = "system"
"""The authorities that the machine trusts, as the agent puts them beside the pod's own secrets."""
OWN_CERTIFICATE = "default"
MESH_ROOTS = "ROOTCA"
CA_SUFFIX = "-cacert"
MESH_ALPN = "istio"
MESH_HTTP_ALPN = "istio-http/1.1"
MESH_HTTP_ALPNS = ("istio-http/1.0", "istio-http/1.1", "istio-h2")
MESH_TCP_ALPNS = ("istio-peer-exchange", "istio")
MESH_ALPNS = (*MESH_TCP_ALPNS, *MESH_HTTP_ALPNS)
"""By these a server knows mesh TLS from an application's own."""

_UPSTREAM = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_DOWNSTREAM = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


def _file_source(name: str) -> dict[str, Any]:
    return {
        "path_config_source": {"path": f"{SDS_FOLDER}/{name}.json", "watched_directory": {"path": SDS_FOLDER}},
        "resource_api_version": "V3",
    }


_CERTIFICATE_FILE = _file_source("certificate")
_ROOTS_FILE = _file_source("roots")
_ADS_SOURCE: dict[str, Any] = {"ads": {}, "resource_api_version": "V3"}
# TLS 1.3 for hops inside the mesh; both ends are ours.
_MESH_PARAMS = {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"}


def mesh_client(
    *, identities: Sequence[str], sni: str, alpn: str = MESH_ALPN, trust_domains: Sequence[str] = ()
) -> dict[str, Any]:
    """A client's side of mesh mTLS; the server must prove one of `identities` (any of the mesh if there is none), or
    to be of one of `trust_domains` where those are given instead."""
    names, exact = (identities, True) if not trust_domains else ([f"spiffe://{one}/" for one in trust_domains], False)
    return v.extension(
        "envoy.transport_sockets.tls",
        _UPSTREAM,
        sni=sni,
        common_tls_context={
            "alpn_protocols": [alpn],
            "tls_params": _MESH_PARAMS,
            "tls_certificate_sds_secret_configs": [{"name": OWN_CERTIFICATE, "sds_config": _CERTIFICATE_FILE}],
            "combined_validation_context": _mesh_validation(names, exact=exact),
        },
    )


def mesh_server(*, trust_domains: Sequence[str], versions: str = "TLS_AUTO") -> dict[str, Any]:
    """A server's side of mesh mTLS: a certificate of one of these trust domains is required."""
    return v.extension(
        "envoy.transport_sockets.tls",
        _DOWNSTREAM,
        require_client_certificate={"value": True},
        common_tls_context={
            # Not the mesh's own names: chains are chosen by what a client offers, and Envoy takes a name that is agreed
            # on and is not `h2` for HTTP/1. Without one it looks at the first bytes.
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_params": _mesh_params(versions),
            "tls_certificate_sds_secret_configs": [{"name": OWN_CERTIFICATE, "sds_config": _CERTIFICATE_FILE}],
            "combined_validation_context": _mesh_validation([f"spiffe://{one}/" for one in trust_domains], exact=False),
        },
    )


def _mesh_params(least: str) -> dict[str, str]:
    return {**_MESH_PARAMS, "tls_minimum_protocol_version": "TLSv1_3"} if least == "TLSV1_3" else _MESH_PARAMS


def _mesh_validation(names: Sequence[str], *, exact: bool) -> dict[str, Any]:
    kind = "exact" if exact else "prefix"
    return {
        "default_validation_context": {
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {kind: name}} for name in names]
        },
        "validation_context_sds_secret_config": {"name": MESH_ROOTS, "sds_config": _ROOTS_FILE},
    }


def originate(
    tls: Any, *, sni: str, http: bool, http2: bool, names: Sequence[str], of_requests: bool = False
) -> dict[str, Any]:
    """TLS that the proxy adds towards an outside server, as a DestinationRule's `tls` (SIMPLE, MUTUAL) says.

    `names` are the subject alternative names that the server may have; none: any (of a trusted certificate).
    `of_requests`: the server name is each request's host; a session of one host must not be taken up for another.
    """
    sessions = {"max_session_keys": v.wrap(0)} if of_requests else {}
    common: dict[str, Any] = {"tls_params": _MESH_PARAMS}
    if http:
        common["alpn_protocols"] = ["h2"] if http2 else ["http/1.1"]
    if tls.mode == "MUTUAL":
        if tls.credential_name:
            common["tls_certificate_sds_secret_configs"] = [_by_name(tls.credential_name)]
        else:
            common["tls_certificates"] = [_files(tls.client_certificate, tls.private_key)]
    if not tls.insecure_skip_verify:
        common.update(_validation(tls, names))
    return v.extension(
        "envoy.transport_sockets.tls",
        _UPSTREAM,
        sni=sni,
        auto_host_sni=not sni,
        common_tls_context=common,
        **sessions,
    )


def _validation(tls: Any, names: Sequence[str]) -> dict[str, Any]:
    """How an outside server's certificate is checked."""
    checks: dict[str, Any] = {}
    if names:
        checks["match_typed_subject_alt_names"] = _alternative_names(names)
    if tls.ca_crl:
        checks["crl"] = {"filename": tls.ca_crl}
    if tls.credential_name:
        secret = _by_name(tls.credential_name + CA_SUFFIX)
        combined = {"default_validation_context": checks, "validation_context_sds_secret_config": secret}
        return {"combined_validation_context": combined}
    if tls.ca_certificates and tls.ca_certificates != _SYSTEM:
        checks["trusted_ca"] = {"filename": tls.ca_certificates}
    else:
        # Envoy's own `system_root_certs` cannot be had together with a check of names.
        checks["trusted_ca"] = {"filename": SYSTEM_ROOTS}
    return {"validation_context": checks}


def _alternative_names(names: Sequence[str]) -> list[dict[str, Any]]:
    return [{"san_type": kind, "matcher": {"exact": name}} for name in names for kind in ("DNS", "URI")]


def _by_name(name: str) -> dict[str, Any]:
    """A secret that comes over ADS."""
    return {"name": name, "sds_config": _ADS_SOURCE}


def terminate(tls: Any, *, trust_domains: Sequence[str], alpn: Sequence[str] = ("h2", "http/1.1")) -> dict[str, Any]:
    """TLS that a gateway ends for its clients, as a server's `tls` (SIMPLE, MUTUAL, OPTIONAL_MUTUAL) says."""
    if tls.mode == "ISTIO_MUTUAL":
        return mesh_server(trust_domains=trust_domains)
    common: dict[str, Any] = {"alpn_protocols": list(alpn), "tls_params": _versions(tls)}
    if names := certificate_names(tls):
        common["tls_certificate_sds_secret_configs"] = [_by_name(name) for name in names]
    elif tls.tls_certificates:
        common["tls_certificates"] = [_files(one.server_certificate, one.private_key) for one in tls.tls_certificates]
    else:
        common["tls_certificates"] = [_files(tls.server_certificate, tls.private_key)]
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
        common.update(_client_validation(tls))
    return v.extension(
        "envoy.transport_sockets.tls",
        _DOWNSTREAM,
        require_client_certificate={"value": tls.mode == "MUTUAL"},
        common_tls_context=common,
    )


def certificate_names(tls: Any) -> tuple[str, ...]:
    """The Secrets that hold a server's own certificates."""
    return tls.credential_names or ((tls.credential_name,) if tls.credential_name else ())


def roots_name(tls: Any) -> str:
    """Name of the SDS secret with the roots that clients' certificates are checked by; empty: files."""
    if tls.mode not in ("MUTUAL", "OPTIONAL_MUTUAL"):
        return ""
    base = tls.ca_cert_credential_name or next(iter(certificate_names(tls)), "")
    return base + CA_SUFFIX if base else ""


def _client_validation(tls: Any) -> dict[str, Any]:
    """How a server checks its clients' certificates."""
    checks: dict[str, Any] = {}
    if tls.subject_alt_names:
        checks["match_typed_subject_alt_names"] = _alternative_names(tls.subject_alt_names)
    if tls.verify_certificate_hash:
        checks["verify_certificate_hash"] = list(tls.verify_certificate_hash)
    if tls.verify_certificate_spki:
        checks["verify_certificate_spki"] = list(tls.verify_certificate_spki)
    if tls.ca_crl:
        checks["crl"] = {"filename": tls.ca_crl}
    if tls.insecure_skip_verify:
        checks["trust_chain_verification"] = "ACCEPT_UNTRUSTED"
    if name := roots_name(tls):
        secret = _by_name(name)
        return {
            "combined_validation_context": {
                "default_validation_context": checks,
                "validation_context_sds_secret_config": secret,
            }
        }
    files = [tls.ca_certificates, *(one.ca_certificates for one in tls.tls_certificates)]
    roots = next((file for file in files if file), "")
    if roots:
        checks["trusted_ca"] = {"filename": roots}
    return {"validation_context": checks}


def _versions(tls: Any) -> dict[str, Any]:
    names = {"TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}
    params: dict[str, Any] = {
        "tls_minimum_protocol_version": names.get(tls.min_protocol_version, "TLSv1_2"),
        "tls_maximum_protocol_version": names.get(tls.max_protocol_version, "TLSv1_3"),
    }
    # Of unknown ones, which Envoy would refuse with the whole listener, there is a warning.
    if suites := [suite for suite in dict.fromkeys(tls.cipher_suites) if suite in CIPHER_SUITES]:
        params["cipher_suites"] = suites
    return params


def _files(certificate: str, key: str) -> dict[str, Any]:
    return {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
