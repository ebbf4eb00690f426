"""Golden cases: what manifests become, as Envoy's own JSON by type, and that Envoy takes it.

A case is a folder with `input.yaml`, whose first line names the proxies to show, and one JSON file for each of them.
`pytest tests/golden --update-golden` writes the files anew; read the difference before you commit it.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from argosy.edge.system_roots import system_roots
from argosy.envoy import api
from argosy.pilot.build.resource import CLUSTER, ENDPOINT, LISTENER, ORDER, ROUTE, VIRTUAL_HOST
from argosy.pilot.build.tls import SDS_FOLDER, SYSTEM_ROOTS
from argosy.pilot.mesh import MeshSettings
from argosy.testing.worlds import MeshWorld, as_json

HERE = Path(__file__).parent
CASES = sorted(path.parent.name for path in HERE.glob("*/input.yaml"))
PROXIES = [
    (case, proxy) for case in CASES for proxy in (HERE / case / "input.yaml").read_text().split("\n", 1)[0].split()[2:]
]

Shown = dict[str, dict[str, Any]]


@cache
def world(case: str) -> MeshWorld:
    return MeshWorld((HERE / case / "input.yaml").read_text(), settings=MeshSettings(access_log=False))


def shown(case: str, proxy: str) -> Shown:
    """All resources of one proxy by type and name."""
    namespace, _slash, pod = proxy.partition("/")
    snapshot = world(case).snapshot(pod, namespace)
    return {
        url.rpartition(".")[2]: {name: as_json(snapshot.of(url)[name]) for name in sorted(snapshot.of(url))}
        for url in ORDER
    }


def short(type_url: str) -> str:
    return type_url.rpartition(".")[2]


@pytest.mark.parametrize("case,proxy", PROXIES)
def test_manifests_become_what_they_became_before(case: str, proxy: str, request: pytest.FixtureRequest) -> None:
    file = HERE / case / f"{proxy.replace('/', '.')}.json"
    text = json.dumps(shown(case, proxy), indent=1, sort_keys=True) + "\n"
    if request.config.getoption("--update-golden", default=False):
        file.write_text(text)
    assert json.loads(text) == json.loads(file.read_text())


@pytest.mark.parametrize("case,proxy", PROXIES)
def test_nothing_refers_to_what_is_not_there(case: str, proxy: str) -> None:
    namespace, _slash, pod = proxy.partition("/")
    snapshot = world(case).snapshot(pod, namespace)
    lost = [
        (resource.name, ref.name)
        for resources in snapshot.resources.values()
        for resource in resources.values()
        for ref in (*resource.requires, *resource.companions)
        if ref.name not in snapshot.of(ref.type_url)
    ]
    assert lost == []


@pytest.mark.parametrize("case", CASES)
def test_nothing_failed_to_be_built(case: str) -> None:
    made = world(case)
    for one, proxy in PROXIES:
        if one == case:
            made.snapshot(*reversed(proxy.split("/")))
    assert dict(made.world.engine.findings) == {}


# Envoy 1.40 crashes over shared scopes when it only validates; when it runs it takes them (see the end-to-end tests).
_SHARED_SCOPE = re.compile(r'(, )?"sharing_name": "[^"]*"')


@pytest.mark.timeout(300)
def test_envoy_takes_all_of_it(tmp_path: Path) -> None:
    """In one batch: every cluster, listener and route of every proxy, as static configuration."""
    for name in ("certificate", "roots"):
        (tmp_path / f"{name}.json").write_text('{"resources": []}')
    (tmp_path / Path(SYSTEM_ROOTS).name).write_text(system_roots())
    files = []
    for number, (case, proxy) in enumerate(PROXIES):
        file = tmp_path / f"{number}.json"
        text = json.dumps(bootstrap(shown(case, proxy))).replace(SDS_FOLDER, str(tmp_path))
        file.write_text(_SHARED_SCOPE.sub("", text))
        files.append(file)
    failed = {}
    for file, proxy in zip(files, PROXIES, strict=True):
        command = [str(api.envoy_binary()), "--mode", "validate", "-c", str(file), "-l", "error"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed[proxy] = done.stdout[-500:] + done.stderr[-1500:]
    assert failed == {}


def bootstrap(resources: Shown) -> dict[str, Any]:
    """A static configuration of the same content: routes inline, for a mode that contacts nobody."""
    resources = copy.deepcopy(resources)
    routes = resources[short(ROUTE)]
    for name, virtual_host in resources[short(VIRTUAL_HOST)].items():
        routes[name.partition("/")[0]].setdefault("virtual_hosts", []).append(virtual_host)
    for route in routes.values():
        route.pop("vhds", None)
    for listener in resources[short(LISTENER)].values():
        for chain in (*listener.get("filter_chains", []), *[listener.get("default_filter_chain", {})]):
            for one in chain.get("filters", []):
                config = one["typed_config"]
                if "rds" in config:
                    config["route_config"] = routes[config.pop("rds")["route_config_name"]]
    stub = {"load_assignment": {"endpoints": []}, "type": "STATIC", "connect_timeout": "1s"}
    clusters = [*resources[short(CLUSTER)].values()]
    clusters += [{"name": name, **stub, "load_assignment": {"cluster_name": name}, **HTTP2} for name in STATIC]
    assert set(resources) >= {short(ENDPOINT)}
    return {
        "node": {"id": "golden", "cluster": "golden"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": STATIC[0]}}],
            }
        },
        "static_resources": {"clusters": clusters, "listeners": [*resources[short(LISTENER)].values()]},
    }


STATIC = ("argosy-pilot", "argosy-mixer")
HTTP2 = {
    "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }
}
