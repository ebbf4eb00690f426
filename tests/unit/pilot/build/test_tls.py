"""Transport sockets: what each side must prove, and that no key is in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from argosy.api.destination_rule import ClientTLS
from argosy.api.gateway import ServerTLS
from argosy.envoy import api
from argosy.pilot.build import tls


def context(extension: dict[str, Any]) -> dict[str, Any]:
    return api.to_dict(extension["typed_config"])


def client_tls(text: str) -> ClientTLS:
    return msgspec.json.decode(text, type=ClientTLS)


def server_tls(text: str) -> ServerTLS:
    return msgspec.json.decode(text, type=ServerTLS)


def test_both_ends_of_the_mesh_prove_themselves_by_files_of_the_pod() -> None:
    for side in (tls.mesh_client(identities=["spiffe://td/a"], sni="s"), tls.mesh_server(trust_domains=["td"])):
        common = context(side)["common_tls_context"]
        (own,) = common["tls_certificate_sds_secret_configs"]
        assert own["sds_config"]["path_config_source"]["path"].startswith(tls.SDS_FOLDER)
        assert common["tls_params"]["tls_minimum_protocol_version"] == "TLSv1_2"


def test_a_server_asks_for_a_certificate_of_its_trust_domain() -> None:
    shown = context(tls.mesh_server(trust_domains=["td"]))
    assert shown["require_client_certificate"] is True
    validation = shown["common_tls_context"]["combined_validation_context"]["default_validation_context"]
    (name,) = validation["match_typed_subject_alt_names"]
    assert (name["san_type"], name["matcher"]) == ("URI", {"prefix": "spiffe://td/"})


def test_tls_to_outside_is_verified_by_the_systems_roots_unless_others_are_named() -> None:
    plain = context(tls.originate(client_tls('{"mode": "SIMPLE"}'), sni="", http=True, http2=False, names=()))
    assert plain["auto_host_sni"] is True
    assert plain["common_tls_context"]["validation_context"]["trusted_ca"] == {"filename": tls.SYSTEM_ROOTS}
    own = '{"mode": "SIMPLE", "caCertificates": "/roots.pem", "subjectAltNames": ["a.example"]}'
    named = context(tls.originate(client_tls(own), sni="a", http=True, http2=True, names=("a.example",)))
    validation = named["common_tls_context"]["validation_context"]
    assert validation["trusted_ca"] == {"filename": "/roots.pem"}
    assert {one["matcher"]["exact"] for one in validation["match_typed_subject_alt_names"]} == {"a.example"}
    assert named["common_tls_context"]["alpn_protocols"] == ["h2"]


def test_the_systems_roots_may_be_named() -> None:
    """Envoy looked for a file `system`, and refused the cluster."""
    asked = client_tls('{"mode": "SIMPLE", "caCertificates": "system"}')
    named = context(tls.originate(asked, sni="", http=True, http2=False, names=()))
    assert named["common_tls_context"]["validation_context"]["trusted_ca"] == {"filename": tls.SYSTEM_ROOTS}


def test_verification_is_skipped_only_when_asked() -> None:
    shown = context(
        tls.originate(
            client_tls('{"mode": "SIMPLE", "insecureSkipVerify": true}'), sni="", http=True, http2=False, names=()
        )
    )
    assert "validation_context" not in shown["common_tls_context"]


def test_a_client_certificate_to_outside_is_a_file_of_the_proxy() -> None:
    text = '{"mode": "MUTUAL", "clientCertificate": "/c.pem", "privateKey": "/k.pem", "caCertificates": "/r.pem"}'
    (own,) = context(tls.originate(client_tls(text), sni="", http=True, http2=False, names=()))["common_tls_context"][
        "tls_certificates"
    ]
    assert own["private_key"] == {"filename": "/k.pem"}


@pytest.mark.parametrize("mode,asked", [("SIMPLE", False), ("MUTUAL", True), ("OPTIONAL_MUTUAL", False)])
def test_a_gateway_ends_tls_with_a_secret_that_it_is_sent(mode: str, asked: bool) -> None:
    shown = context(tls.terminate(server_tls(f'{{"mode": "{mode}", "credentialName": "c"}}'), trust_domains=["td"]))
    common = shown["common_tls_context"]
    assert [one["name"] for one in common["tls_certificate_sds_secret_configs"]] == ["c"]
    assert shown["require_client_certificate"] is asked
    assert ("combined_validation_context" in common) is (mode != "SIMPLE")


def test_a_gateway_inside_the_mesh_speaks_its_mutual_tls() -> None:
    shown = tls.terminate(server_tls('{"mode": "ISTIO_MUTUAL"}'), trust_domains=["td"])
    assert context(shown) == context(tls.mesh_server(trust_domains=["td"]))


def test_versions_and_ciphers_are_the_servers() -> None:
    suites = '"cipherSuites": ["A", "AES128-SHA", "AES128-SHA"]'
    text = f'{{"mode": "SIMPLE", "credentialName": "c", "minProtocolVersion": "TLSV1_3", {suites}}}'
    params = context(tls.terminate(server_tls(text), trust_domains=["td"]))["common_tls_context"]["tls_params"]
    assert params["tls_minimum_protocol_version"] == "TLSv1_3"
    assert params["cipher_suites"] == ["AES128-SHA"]
