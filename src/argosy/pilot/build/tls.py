"""Transport sockets: mesh mutual TLS in both directions, TLS origination, TLS termination.

Keys and certificates are never in these resources: sidecars read their own from files that the agent replaces (at the
same paths in every pod), gateways get theirs by name over ADS.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from argosy.envoy import values as v

SDS_FOLDER = "/etc/argosy/proxy"
OWN_CERTIFICATE = "default"
MESH_ROOTS = "ROOTCA"
MESH_ALPN = "istio"

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


def mesh_client(*, identities: Sequence[str], sni: str) -> dict[str, Any]:
    """A client's side of mesh mTLS; the server must prove one of `identities` (any of the mesh if there is none)."""
    return v.extension(
        "envoy.transport_sockets.tls",
        _UPSTREAM,
        sni=sni,
        common_tls_context={
            "alpn_protocols": [MESH_ALPN],
            "tls_params": _MESH_PARAMS,
            "tls_certificate_sds_secret_configs": [{"name": OWN_CERTIFICATE, "sds_config": _CERTIFICATE_FILE}],
            "combined_validation_context": _mesh_validation(identities, exact=True),
        },
    )


def mesh_server(*, trust_domain: str) -> dict[str, Any]:
    """A server's side of mesh mTLS: a certificate of this trust domain is required."""
    return v.extension(
        "envoy.transport_sockets.tls",
        _DOWNSTREAM,
        require_client_certificate={"value": True},
        common_tls_context={
            "alpn_protocols": [MESH_ALPN, "h2", "http/1.1"],
            "tls_params": _MESH_PARAMS,
            "tls_certificate_sds_secret_configs": [{"name": OWN_CERTIFICATE, "sds_config": _CERTIFICATE_FILE}],
            "combined_validation_context": _mesh_validation([f"spiffe://{trust_domain}/"], exact=False),
        },
    )


def _mesh_validation(names: Sequence[str], *, exact: bool) -> dict[str, Any]:
    kind = "exact" if exact else "prefix"
    return {
        "default_validation_context": {
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {kind: name}} for name in names]
        },
        "validation_context_sds_secret_config": {"name": MESH_ROOTS, "sds_config": _ROOTS_FILE},
    }


def originate(tls: Any, *, sni: str, http2: bool) -> dict[str, Any]:
    """TLS that the proxy adds towards an outside server, as a DestinationRule's `tls` (SIMPLE, MUTUAL) says."""
    common: dict[str, Any] = {"tls_params": _MESH_PARAMS, "alpn_protocols": ["h2"] if http2 else ["http/1.1"]}
    if tls.mode == "MUTUAL":
        common["tls_certificates"] = [_files(tls.client_certificate, tls.private_key)]
    validation: dict[str, Any] = {}
    if tls.subject_alt_names:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": kind, "matcher": {"exact": name}} for name in tls.subject_alt_names for kind in ("DNS", "URI")
        ]
    if tls.ca_certificates:
        validation["trusted_ca"] = {"filename": tls.ca_certificates}
    elif not tls.insecure_skip_verify:
        validation["system_root_certs"] = {}
    if validation and not tls.insecure_skip_verify:
        common["validation_context"] = validation
    return v.extension(
        "envoy.transport_sockets.tls", _UPSTREAM, sni=sni, auto_host_sni=not sni, common_tls_context=common
    )


def terminate(tls: Any, *, trust_domain: str) -> dict[str, Any]:
    """TLS that a gateway ends for its clients, as a server's `tls` (SIMPLE, MUTUAL, OPTIONAL_MUTUAL) says."""
    if tls.mode == "ISTIO_MUTUAL":
        return mesh_server(trust_domain=trust_domain)
    common: dict[str, Any] = {"alpn_protocols": ["h2", "http/1.1"], "tls_params": _versions(tls)}
    if tls.credential_name:
        common["tls_certificate_sds_secret_configs"] = [{"name": tls.credential_name, "sds_config": _ADS_SOURCE}]
    else:
        common["tls_certificates"] = [_files(tls.server_certificate, tls.private_key)]
    if tls.mode in ("MUTUAL", "OPTIONAL_MUTUAL"):
        if tls.credential_name:
            common["validation_context_sds_secret_config"] = {
                "name": f"{tls.credential_name}-cacert",
                "sds_config": _ADS_SOURCE,
            }
        else:
            common["validation_context"] = {"trusted_ca": {"filename": tls.ca_certificates}}
    return v.extension(
        "envoy.transport_sockets.tls",
        _DOWNSTREAM,
        require_client_certificate={"value": tls.mode == "MUTUAL"},
        common_tls_context=common,
    )


def _versions(tls: Any) -> dict[str, Any]:
    names = {"TLSV1_0": "TLSv1_0", "TLSV1_1": "TLSv1_1", "TLSV1_2": "TLSv1_2", "TLSV1_3": "TLSv1_3"}
    params: dict[str, Any] = {
        "tls_minimum_protocol_version": names.get(tls.min_protocol_version, "TLSv1_2"),
        "tls_maximum_protocol_version": names.get(tls.max_protocol_version, "TLSv1_3"),
    }
    if tls.cipher_suites:
        params["cipher_suites"] = list(tls.cipher_suites)
    return params


def _files(certificate: str, key: str) -> dict[str, Any]:
    return {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}
