import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from argosy.agent.pod import PodPlan

DUMP = {
    "configs": [
        {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar~1"}}},
        {
            "@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump",
            "static_clusters": [{"cluster": {"name": "argosy-pilot", "type": "STATIC"}}],
            "dynamic_active_clusters": [
                {"version_info": "1", "cluster": {"name": "outbound|80|v1|web.default.svc", "type": "EDS"}}
            ],
            "dynamic_warming_clusters": [{"cluster": {"name": "not yet"}}],
        },
        {
            "@type": "type.googleapis.com/envoy.admin.v3.SecretsConfigDump",
            "dynamic_active_secrets": [
                {"secret": {"name": "default", "tls_certificate": {"private_key": {"inline_string": "hunter2"}}}}
            ],
        },
    ]
}


@pytest.fixture
def envoy(mesh) -> Iterator[list[str]]:
    """An admin page that answers every request with `DUMP`; the paths that were asked for."""
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + json.dumps(DUMP).encode())
        writer.close()

    async def start() -> Any:
        return await asyncio.start_unix_server(answer, str(mesh.home / "admin.sock"))

    server = mesh.call(start())
    yield asked
    mesh.loop.call_soon_threadsafe(server.close)
    with contextlib.suppress(FileNotFoundError):
        (mesh.home / "admin.sock").unlink()


def test_proxy_status_tells_state_and_refusals(mesh, pod: PodPlan):
    assert "no proxy is connected" in mesh.run("proxy-status").stderr
    mesh.add_pod(pod)
    proxy = mesh.connect(pod)
    assert mesh.run("proxy-status").stdout.splitlines()[1].split()[:4] == [
        "default",
        "web-v1-abc-xyz",
        "sidecar",
        "SYNCED",
    ]
    proxy.refuse("outbound|80||web", "no such thing")
    result = mesh.run("proxy-status")
    assert "REJECTED" in result.stdout
    assert "default/web-v1-abc-xyz refuses Cluster outbound|80||web: no such thing" in result.stderr
    told = mesh.json("proxy-status")[0]
    assert told["rejected"] == [{"type": "Cluster", "names": ["outbound|80||web"], "error": "no such thing"}]


def test_proxy_config_is_what_envoy_has(mesh, pod: PodPlan, envoy):
    mesh.add_pod(pod)
    result = mesh.run("proxy-config", "clusters", "deploy/web-v1")
    assert envoy == ["/config_dump?include_eds"]
    assert "as its Envoy has it" in result.stderr
    assert [line.split()[:4] for line in result.stdout.splitlines()[1:]] == [
        ["argosy-pilot", "-", "-", "-"],
        ["web.default.svc", "80", "v1", "outbound"],
    ]


def test_proxy_config_as_json_is_envoys_own_without_private_keys(mesh, pod: PodPlan, envoy):
    mesh.add_pod(pod)
    assert mesh.json("proxy-config", "secrets", "deploy/web-v1") == [
        {"name": "default", "tls_certificate": {"private_key": "[redacted]"}}
    ]
    assert mesh.json("proxy-config", "bootstrap", "deploy/web-v1") == {"node": {"id": "sidecar~1"}}
    assert set(mesh.json("proxy-config", "all", "deploy/web-v1")) == {
        "bootstrap",
        "clusters",
        "endpoints",
        "listeners",
        "routes",
        "secrets",
    }


def test_proxy_config_can_be_what_pilot_offers(mesh, pod: PodPlan, service, route):
    mesh.apply(f"{service}---\n{route}")
    mesh.add_pod(pod)
    mesh.connect(pod)
    result = mesh.run("proxy-config", "all", "deploy/web-v1", "--source", "pilot")
    assert "as Pilot offers it" in result.stderr
    assert "VirtualService default/web (<stdin>" in result.stdout
    assert "10.88.0.5:8080" in result.stdout
    assert mesh.run("proxy-config", "bootstrap", "deploy/web-v1", "--source", "pilot").exit_code == 1


RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web}
spec: {host: web, trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}}
"""


def test_what_holds_for_calls_of_a_host_is_told_with_who_set_it(mesh, pod: PodPlan, service, route):
    mesh.apply(f"{service}---\n{route}")
    mesh.add_pod(pod)
    mesh.connect(pod)
    words = ("effective", "deploy/web-v1", "web", "--source", "pilot")
    result = mesh.run(*words)
    assert "made from VirtualService default/web (<stdin>" in result.stdout
    assert ["retries", "2"] in [line.split()[:2] for line in result.stdout.splitlines()]
    assert {one["name"] for one in mesh.json(*words)[0]["settings"]} >= {"timeout", "max_connections", "mutual TLS"}
    mesh.apply(RULE)
    protocol = {one["name"]: one["set_by"] for one in mesh.json(*words)[0]["settings"]}["protocol"]
    assert protocol.startswith("Service default/web (<stdin>")
    unknown = mesh.run("effective", "deploy/web-v1", "nobody:80", "--source", "pilot")
    assert (unknown.exit_code, "knows no host nobody:80" in unknown.stderr) == (1, True)
    assert mesh.run("effective", "deploy/web-v1", "web:http").exit_code == 2


def test_proxy_config_of_a_pod_without_proxy_is_an_error(mesh, pod: PodPlan):
    mesh.add_pod(pod)
    mesh.access.rows[0]["sidecar"] = False
    assert "has no istio-proxy" in mesh.run("proxy-config", "clusters", pod.name).stderr
    result = mesh.run("proxy-config", "clusters", pod.name, "--source", "pilot")
    assert "no proxy of this pod is connected" in result.stderr
    assert mesh.run("proxy-config", "cluster", pod.name).exit_code == 2


def test_explain_tells_why_a_resource_was_computed(mesh, pod: PodPlan, service):
    mesh.apply(service)
    mesh.add_pod(pod)
    mesh.connect(pod)
    assert "clusters" in mesh.run("explain").stdout
    result = mesh.run("explain", "clusters", "--key", "web.default")
    assert "computed in commit" in result.stdout
    assert "reads " in result.stdout
    assert "1 of 1 matching keys" in result.stderr
    assert mesh.json("explain", "clusters", "--key", "zzz")["matching"] == 0
    assert "hint: collections: " in mesh.run("explain", "nothing").stderr
