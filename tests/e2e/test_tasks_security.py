"""Istio's tasks of mutual TLS between foo, bar and legacy, done as their pages do them.

The layout is the pages' own: httpbin and sleep in `foo` and `bar` with sidecars, and in `legacy` without. Sources:
istio.io/docs/tasks/security, pages authn-policy, mtls-migration, workload-min-tls-version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.e2e.calls import applied, body, capture, in_pod, is_tls, streams
from tests.e2e.harness import EXAMPLES, Mesh, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMESPACES = ("foo", "bar", "legacy")
PAIRS = [(source, server) for source in NAMESPACES for server in NAMESPACES]
RESET = ("000", "56")
"""What curl says of a connection that the server resets: no status, and exit code 56."""
OK = ("200", "0")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("tasks-security")
    samples = [EXAMPLES / "httpbin" / "httpbin.yaml", EXAMPLES / "sleep" / "sleep.yaml"]
    objects = [one for sample in samples for one in yaml.safe_load_all(sample.read_text())]
    documents = [{"apiVersion": "v1", "kind": "Namespace", "metadata": _labelled(name)} for name in NAMESPACES]
    for name in NAMESPACES:
        documents += [{**one, "metadata": {**one["metadata"], "namespace": name}} for one in objects]
    (folder / "pages.yaml").write_text(yaml.safe_dump_all(documents))
    with running(folder / "mesh", folder / "pages.yaml") as found:
        yield found


def _labelled(name: str) -> dict[str, object]:
    return {"name": name, "labels": {"istio-injection": "disabled" if name == "legacy" else "enabled"}}


def pairs(mesh: Mesh) -> dict[tuple[str, str], tuple[str, str]]:
    """Status and curl's exit code of every pair, `(from, to)`; nine of them."""
    curl = "curl -s -o /dev/null -m 60 -w '%{http_code} %{exitcode}\\n' http://httpbin.TO:8000/ip"
    script = "; ".join(curl.replace("TO", server) for server in NAMESPACES)
    found = {}
    for source in NAMESPACES:
        lines = in_pod(mesh, "sleep", "sh", "-c", script, namespace=source).splitlines()
        for server, line in zip(NAMESPACES, lines, strict=True):
            status, code = line.split()
            found[source, server] = (status, code)
    return found


def certificates(mesh: Mesh, source: str, server: str) -> list[str]:
    """What the server is told of its caller's certificate."""
    answer = body(mesh, "sleep", f"http://httpbin.{server}:8000/headers", namespace=source)
    found: list[str] = json.loads(answer)["headers"].get("X-Forwarded-Client-Cert", [])
    return found


def refused(*failing: tuple[str, str]) -> dict[tuple[str, str], tuple[str, str]]:
    """What `pairs` gives when these are reset, and all others are answered."""
    return {pair: RESET if pair in failing else OK for pair in PAIRS}


def peer_authentication(namespace: str, spec: str, *, name: str = "default") -> str:
    """One PeerAuthentication."""
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
"""


STRICT = "{mtls: {mode: STRICT}}"
MESH_STRICT = peer_authentication("istio-system", STRICT)
FOO_STRICT = peer_authentication("foo", STRICT)
HTTPBIN = "selector: {matchLabels: {app: httpbin}}"


# -- authn-policy ---------------------------------------------------------------------------------------------------


def test_nine_pairs_talk_and_mutual_tls_is_between_sidecars_by_itself(mesh: Mesh) -> None:
    """Auto mutual TLS: the header that tells the client's certificate is there exactly where both have a sidecar."""
    assert pairs(mesh) == refused()
    told = {pair: certificates(mesh, *pair) for pair in PAIRS}
    with_sidecar = [pair for pair in PAIRS if "legacy" not in pair]
    assert [pair for pair in PAIRS if told[pair]] == with_sidecar
    for source, server in with_sidecar:
        (header,) = told[source, server]
        assert header.startswith(f"By=spiffe://cluster.local/ns/{server}/sa/httpbin;")
        assert f";URI=spiffe://cluster.local/ns/{source}/sa/sleep;" in header


def test_mesh_wide_strict_resets_those_without_a_sidecar(mesh: Mesh) -> None:
    with applied(mesh, MESH_STRICT):
        assert pairs(mesh) == refused(("legacy", "foo"), ("legacy", "bar"))
    assert pairs(mesh) == refused()


def test_a_namespace_a_workload_and_a_port_have_policies_of_their_own(mesh: Mesh) -> None:
    """The page's steps in its order: foo STRICT; bar's httpbin STRICT; its port without TLS; foo's httpbin without."""
    bar_strict = peer_authentication("bar", f"{{{HTTPBIN}, mtls: {{mode: STRICT}}}}", name="httpbin")
    ports = "portLevelMtls: {8080: {mode: DISABLE}}"
    bar_port = peer_authentication("bar", f"{{{HTTPBIN}, mtls: {{mode: STRICT}}, {ports}}}", name="httpbin")
    foo_workload = peer_authentication("foo", f"{{{HTTPBIN}, mtls: {{mode: DISABLE}}}}", name="overwrite-example")
    with applied(mesh, FOO_STRICT):
        assert pairs(mesh) == refused(("legacy", "foo"))
        with applied(mesh, bar_strict):
            assert pairs(mesh) == refused(("legacy", "foo"), ("legacy", "bar"))
            mesh.apply(bar_port)
            assert pairs(mesh) == refused(("legacy", "foo"))
            with applied(mesh, foo_workload):
                assert pairs(mesh) == refused()
    assert pairs(mesh) == refused()


# -- mtls-migration -------------------------------------------------------------------------------------------------


def test_the_migration_goes_by_namespace_and_then_by_mesh(mesh: Mesh) -> None:
    assert pairs(mesh) == refused()
    with applied(mesh, FOO_STRICT):
        assert pairs(mesh) == refused(("legacy", "foo"))
        with applied(mesh, MESH_STRICT):
            assert pairs(mesh) == refused(("legacy", "foo"), ("legacy", "bar"))


def test_on_the_link_legacy_is_read_and_foo_is_not(mesh: Mesh, tmp_path: Path) -> None:
    """The page's tcpdump at the server: what legacy sends is plain text while it is let in, foo's is ciphertext."""
    (server,) = (one for one in mesh.pods("httpbin") if one["metadata"]["namespace"] == "foo")
    address = server["status"]["podIP"]
    callers = {
        pod["status"]["podIP"]: pod["metadata"]["namespace"]
        for pod in mesh.pods("sleep")
        if pod["metadata"]["namespace"] in ("foo", "legacy")
    }
    with capture(mesh, address, tmp_path / "link.pcap"):
        for namespace in callers.values():
            assert "gzip" not in body(mesh, "sleep", "http://httpbin.foo:8000/ip?marked", namespace=namespace)
    seen = {
        callers[key[0]]: (is_tls(stream), b"GET /ip?marked" in stream)
        for key, stream in streams(tmp_path / "link.pcap").items()
        if key[0] in callers
    }
    assert seen == {"foo": (True, False), "legacy": (False, True)}
    with applied(mesh, FOO_STRICT), capture(mesh, address, tmp_path / "strict.pcap"):
        assert pairs(mesh)["legacy", "foo"] == RESET
        assert pairs(mesh)["foo", "foo"] == OK
    answered = {key: stream for key, stream in streams(tmp_path / "strict.pcap").items() if key[0] == address}
    legacy = next(ip for ip, namespace in callers.items() if namespace == "legacy")
    assert {stream for key, stream in answered.items() if key[2] == legacy} == {b""}
    assert all(is_tls(stream) for stream in answered.values())


# -- workload-min-tls-version ---------------------------------------------------------------------------------------

MINIMUM = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "meshMTLS: {minProtocolVersion: TLSV1_3}"}
"""


def cipher(mesh: Mesh, version: str) -> str:
    """What openssl agrees on with foo's httpbin, `<protocol>, <cipher>`, or the `(NONE)` of no agreement."""
    command = f"openssl s_client -alpn istio -{version} -connect httpbin.foo:8000 </dev/null 2>/dev/null"
    said = in_pod(mesh, "sleep", "sh", "-c", command, namespace="legacy")
    (found,) = re.findall(r"^New, (.*), Cipher is (.*)$", said, re.MULTILINE)
    return ", ".join(found)


def test_an_older_tls_than_the_meshs_minimum_is_not_agreed_on(mesh: Mesh) -> None:
    with applied(mesh, FOO_STRICT):
        assert cipher(mesh, "tls1_2").startswith("TLSv1.2, ECDHE")
        with applied(mesh, MINIMUM):
            assert pairs(mesh) == refused(("legacy", "foo"))
            assert cipher(mesh, "tls1_2") == "(NONE), (NONE)"
            assert cipher(mesh, "tls1_3").startswith("TLSv1.3, TLS_")
        assert cipher(mesh, "tls1_2").startswith("TLSv1.2, ECDHE")
