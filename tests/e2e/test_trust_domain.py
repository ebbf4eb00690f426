"""Istio's task "trust domain migration", and the authority of a control plane of four programs.

The mesh runs with the trust domain `new-td`, its policy still names the old one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .calls import call
from .harness import EXAMPLES, Mesh, running, wait_for
from .test_rotation import STRICT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HELLO = "http://helloworld.default:5000/hello"
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "sleep-allow", "labels": {"istio-injection": "enabled"}},
}
POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: service-only, namespace: default}
spec:
  rules: [{from: [{source: {principals: [old-td/ns/sleep-allow/sa/sleep]}}]}]
"""
CONFIG = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{trustDomain: new-td%s}"}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("td")
    allowed = (EXAMPLES / "sleep" / "sleep.yaml").read_text()
    (folder / "config.yaml").write_text(CONFIG % "")
    files = [EXAMPLES / "sleep" / "sleep.yaml", *sorted((EXAMPLES / "helloworld").glob("*.yaml"))]
    with running(folder / "mesh", folder / "config.yaml", *files, split=True) as found:
        found.apply(NAMESPACE, STRICT)
        (folder / "allowed.yaml").write_text(allowed)
        found.cli("apply", "-n", "sleep-allow", "-f", str(folder / "allowed.yaml"))
        found.wait_pods()
        found.apply(POLICY)
        yield found


def answers(mesh: Mesh) -> dict[str, str]:
    return {name: call(mesh, "sleep", HELLO, namespace=name)[0] for name in ("default", "sleep-allow")}


def test_the_mesh_configuration_chooses_the_trust_domain_at_the_start(mesh: Mesh) -> None:
    found = json.loads(mesh.cli("ca", "status", "-o", "json").stdout)
    assert found["trust_domain"] == "new-td"
    assert found["roots"][0]["subject"] == "CN=Root CA new-td,O=Argosy"


def test_a_policy_of_the_old_trust_domain_holds_again_with_an_alias(mesh: Mesh) -> None:
    """Task authz-td-migration: 403 and 403 without the alias; 403 and 200 with it, the policy's text unchanged."""
    assert answers(mesh) == {"default": "403", "sleep-allow": "403"}
    mesh.apply(CONFIG % ", trustDomainAliases: [old-td]")
    assert answers(mesh) == {"default": "403", "sleep-allow": "200"}


def test_another_trust_domain_waits_for_the_next_start_and_says_so(mesh: Mesh) -> None:
    mesh.apply(CONFIG.replace("new-td", "newer-td") % ", trustDomainAliases: [old-td]")
    assert "not yet with newer-td" in mesh.cli("analyze", check=False).stdout
    assert answers(mesh)["sleep-allow"] == "200"
    mesh.apply(CONFIG % ", trustDomainAliases: [old-td]")


def test_four_programs_turn_with_the_root(mesh: Mesh) -> None:
    mesh.cli("ca", "rotate")
    found = json.loads(mesh.cli("ca", "status", "-o", "json").stdout)
    names = {one["name"] for one in found["holders"]}
    assert {"galley", "pilot", "mixer", "citadel", "agent local"} < names
    assert found["laggards"] == []
    mesh.cli("ca", "drop-root", "--yes")
    assert answers(mesh)["sleep-allow"] == "200"
    assert mesh.apply(POLICY.replace("service-only", "another"))["laggards"] == []
    wait_for(lambda: all(one["state"] == "SYNCED" for one in mesh.proxies()), 60, "every proxy runs all")
