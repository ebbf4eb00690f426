"""`networking.istio.io` Gateway: servers and their TLS; Sidecar shares the latter.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from argosy.api.meta import Strict
from argosy.api.ports import Port
from argosy.core.frozen import EMPTY, FrozenMap


class ServerTLS(Strict, frozen=True, kw_only=True):
    """TLS towards a gateway's clients. Files are paths in the gateway; `credential_name` is a Secret beside it."""

    not_yet = frozenset(
        {
            "caCertCredentialName",
            "caCrl",
            "credentialNames",
            "insecureSkipVerify",
            "subjectAltNames",
            "tlsCertificates",
            "verifyCertificateHash",
            "verifyCertificateSpki",
        }
    )
    not_yet_values: ClassVar[dict[str, frozenset[str]]] = {"mode": frozenset({"AUTO_PASSTHROUGH"})}
    mode: Literal["PASSTHROUGH", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL", "OPTIONAL_MUTUAL"] = "PASSTHROUGH"
    https_redirect: bool = False
    credential_name: str = ""
    server_certificate: str = ""
    private_key: str = ""
    ca_certificates: str = ""
    min_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    max_protocol_version: Literal["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"] = "TLS_AUTO"
    cipher_suites: tuple[str, ...] = ()


class Server(Strict, frozen=True, kw_only=True):
    """One listening port of a gateway and the hosts that it serves (`[namespace/]host`)."""

    not_yet = frozenset({"bind", "defaultEndpoint"})
    port: Port
    hosts: tuple[str, ...]
    tls: ServerTLS | None = None
    name: str = ""


class Gateway(Strict, frozen=True, kw_only=True):
    """Servers on the gateway pods that `selector` selects."""

    selector: FrozenMap[str, str] = EMPTY
    servers: tuple[Server, ...] = ()
