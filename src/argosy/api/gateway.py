"""`networking.istio.io` Gateway: servers and their TLS; Sidecar shares the latter.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import Literal

from argosy.api.meta import Strict, without_final_dots
from argosy.core.frozen import EMPTY, FrozenMap

CIPHER_SUITES = frozenset(
    [
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-SHA",
        "ECDHE-RSA-AES128-SHA",
        "ECDHE-ECDSA-AES256-SHA",
        "ECDHE-RSA-AES256-SHA",
        "AES128-GCM-SHA256",
        "AES256-GCM-SHA384",
        "AES128-SHA",
        "AES256-SHA",
        "DES-CBC3-SHA",
    ]
)
"""What this Envoy can be told to use below TLS 1.3."""


class TLSCertificate(Strict, frozen=True, kw_only=True):
    """One of several certificates of a server (say, RSA and ECDSA); files in the proxy."""

    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""


class ServerTLS(Strict, frozen=True, kw_only=True):
    """TLS towards a gateway's clients. Files are paths in the gateway; `credential_name` is a Secret beside it."""

    mode: Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] = (
        "PASSTHROUGH"
    )
    https_redirect: bool = False
    credential_name: str = ""
    credential_names: tuple[str, ...] = ()
    ca_cert_credential_name: str = ""
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    ca_crl: str = ""
    tls_certificates: tuple[TLSCertificate, ...] = ()
    subject_alt_names: tuple[str, ...] = ()
    verify_certificate_spki: tuple[str, ...] = ()
    verify_certificate_hash: tuple[str, ...] = ()
    insecure_skip_verify: bool | None = None
    min_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    max_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()


class ServerPort(Strict, frozen=True, kw_only=True):
    """The port of a gateway's server."""

    # The gateway's proxy binds the port itself; Istio has never used the field either.
    not_yet = frozenset({"targetPort"})
    number: int
    name: str
    protocol: str = ""


class Server(Strict, frozen=True, kw_only=True):
    """One listening port of a gateway and the hosts that it serves (`[namespace/]host`)."""

    # Requests of a gateway go where VirtualServices say; Istio has never used the field either.
    not_yet = frozenset({"defaultEndpoint"})
    port: ServerPort
    bind: str = ""
    hosts: tuple[str, ...]
    tls: ServerTLS | None = None
    name: str = ""

    def __post_init__(self) -> None:
        without_final_dots(self, "hosts")


class Gateway(Strict, frozen=True, kw_only=True):
    """Servers on the gateway pods that `selector` selects."""

    selector: FrozenMap[str, str] = EMPTY
    servers: tuple[Server, ...] = ()
