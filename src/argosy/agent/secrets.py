"""A pod's secrets as files that Envoy watches, and whether Envoy has taken them.

Given PEM texts and whom to believe; gives one SDS file for each secret. Of one trust domain Envoy's own validator
takes care, with revocation lists if there are any; of several its SPIFFE validator, which checks each workload by the
roots of its own trust domain. Source: envoy.extensions.transport_sockets.tls.v3.Secret, SPIFFECertValidatorConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from argosy.agent.bootstrap import IDENTITY_SECRET, ROOT_SECRET, SDS_FILES

_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


class FederatedRoots(Protocol):
    """The roots of another trust domain."""

    @property
    def trust_domain(self) -> str:
        """Its name."""
        ...

    @property
    def roots(self) -> tuple[str, ...]:
        """PEM texts."""
        ...


class Trusted(Protocol):
    """Whom to believe; `citadel.trust.TrustState` is one. PEM texts."""

    @property
    def trust_domain(self) -> str:
        """The mesh's own."""
        ...

    @property
    def roots(self) -> tuple[str, ...]:
        """The own trust domain's roots."""
        ...

    @property
    def crls(self) -> tuple[str, ...]:
        """Revocation lists, one of every authority, or none."""
        ...

    @property
    def federated(self) -> tuple[FederatedRoots, ...]:
        """Other trust domains."""
        ...


def build_sds_files(*, chain_pem: str, key_pem: str, trust: Trusted) -> dict[str, dict[str, Any]]:
    """The pod's secrets by file name, in the order in which the files must be replaced."""
    identity = {
        "certificate_chain": {"inline_string": chain_pem},
        "private_key": {"inline_string": key_pem},
    }
    content = {
        ROOT_SECRET: {"validation_context": _validation(trust)},
        IDENTITY_SECRET: {"tls_certificate": identity},
    }
    return {
        file: {"resources": [{"@type": f"{_TLS}.Secret", "name": name, **content[name]}]}
        for name, file in SDS_FILES.items()
    }


def _validation(trust: Trusted) -> dict[str, Any]:
    if trust.federated:
        assert not trust.crls, "the SPIFFE validator does not look at lists: citadel refuses the two together"
        domains = [(trust.trust_domain, trust.roots), *((one.trust_domain, one.roots) for one in trust.federated)]
        config = {
            "@type": f"{_TLS}.SPIFFECertValidatorConfig",
            "trust_domains": [
                {"name": name, "trust_bundle": {"inline_string": "".join(roots)}} for name, roots in domains
            ],
        }
        return {"custom_validator_config": {"name": "envoy.tls.cert_validator.spiffe", "typed_config": config}}
    context: dict[str, Any] = {"trusted_ca": {"inline_string": "".join(trust.roots)}}
    if trust.crls:
        context["crl"] = {"inline_string": "".join(trust.crls)}
    return context


def in_use(dump: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]) -> bool:
    """True if Envoy's dump of its secrets shows what `files` hold (keys aside, which it does not show)."""
    wanted = {one["name"]: one for file in files.values() for one in file["resources"]}
    found = {entry["name"]: entry.get("secret", {}) for entry in dump.get("configs", ()) if entry.get("name") in wanted}
    if len(found) < len(wanted):
        return False
    for name, secret in wanted.items():
        certificate = secret.get("tls_certificate", {}).get("certificate_chain")
        if certificate is not None:
            if found[name].get("tls_certificate", {}).get("certificate_chain") != certificate:
                return False
        elif found[name].get("validation_context") != secret["validation_context"]:
            return False
    return True
