"""A pod's secrets as Envoy's files."""

from typing import Any

import pytest

from argosy.agent.secrets import build_sds_files, in_use
from argosy.citadel.trust import Federated, TrustState
from argosy.envoy import api

TRUST = TrustState("td", "s", ("ROOT-1", "ROOT-2"))


def files(trust: TrustState = TRUST) -> dict[str, dict[str, Any]]:
    return build_sds_files(chain_pem="CHAIN", key_pem="KEY", trust=trust)


def validation(trust: TrustState) -> dict[str, Any]:
    found: dict[str, Any] = files(trust)["roots.json"]["resources"][0]["validation_context"]
    return found


def dump(*, roots: dict[str, Any], chain: str = "CHAIN") -> dict[str, Any]:
    """Envoy's own page, as far as it matters: keys are hidden in it."""
    certificate = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": "[redacted]"}}
    return {
        "configs": [
            {"name": "default", "secret": {"name": "default", "tls_certificate": certificate}},
            {"name": "ROOTCA", "secret": {"name": "ROOTCA", "validation_context": roots}},
        ]
    }


def test_each_secret_has_a_file_of_its_own_roots_first() -> None:
    made = files()
    assert list(made) == ["roots.json", "certificate.json"]
    assert [file["resources"][0]["name"] for file in made.values()] == ["ROOTCA", "default"]
    assert validation(TRUST) == {"trusted_ca": {"inline_string": "ROOT-1ROOT-2"}}


@pytest.mark.parametrize(
    "trust",
    [
        TRUST,
        TrustState("td", "s", ("R",), crls=("L",)),
        TrustState("td", "s", ("R",), federated=(Federated("p", ("P",)),)),
    ],
    ids=["roots", "lists", "federated"],
)
def test_every_file_is_a_secret_of_envoys(trust: TrustState) -> None:
    for file in files(trust).values():
        (secret,) = file["resources"]
        kind = "envoy.extensions.transport_sockets.tls.v3.Secret"
        api.from_dict(kind, {key: value for key, value in secret.items() if key != "@type"})


def test_lists_are_given_along() -> None:
    assert validation(TrustState("td", "s", ("R",), crls=("L1", "L2")))["crl"] == {"inline_string": "L1L2"}


def test_each_of_several_trust_domains_is_checked_by_its_own_roots() -> None:
    """S15, S22."""
    made = validation(TrustState("td", "s", ("R",), federated=(Federated("partner", ("P1", "P2")),)))
    assert "trusted_ca" not in made
    validator = made["custom_validator_config"]
    assert validator["name"] == "envoy.tls.cert_validator.spiffe"
    assert validator["typed_config"]["trust_domains"] == [
        {"name": "td", "trust_bundle": {"inline_string": "R"}},
        {"name": "partner", "trust_bundle": {"inline_string": "P1P2"}},
    ]


def test_envoy_has_them_only_when_it_shows_both() -> None:
    roots = validation(TRUST)
    assert in_use(dump(roots=roots), files())
    assert not in_use(dump(roots=roots, chain="OLD"), files())
    assert not in_use(dump(roots={"trusted_ca": {"inline_string": "ROOT-1"}}), files())
    assert not in_use({"configs": dump(roots=roots)["configs"][:1]}, files())
    assert not in_use({}, files())
