"""What Mixer has done to headers of answers, by a real Envoy that asks: each operation, and each after another."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from tests.conformance.authz_envoy.rig import free_ports

from argosy.core.names import MIXER_CLUSTER
from argosy.edge.mixer_server import encode_decision, parse_check_request
from argosy.envoy import api
from argosy.envoy import values as v
from argosy.envoy.api import encode, envoy_binary, message, pack
from argosy.mixer.check import Decision
from argosy.mixer.headers import HeaderEdit
from argosy.mixer.telemetry import parse_node_id
from argosy.pilot.build import check, filters
from argosy.pilot.build.cluster_policy import HTTP_OPTIONS_KEY
from argosy.pilot.checking import Checking, Concern
from argosy.pilot.mesh import MeshSettings

BEFORE = {"x-one": "a", "x-two": "b"}
CASES: dict[str, tuple[tuple[HeaderEdit, ...], dict[str, str]]] = {
    "nothing": ((), BEFORE),
    "remove": ((HeaderEdit("REMOVE", "x-one"),), {"x-two": "b"}),
    "remove-all": ((HeaderEdit("REMOVE", "x-one"), HeaderEdit("REMOVE", "x-two")), {}),
    "remove-what-is-not-there": ((HeaderEdit("REMOVE", "x-three"),), BEFORE),
    "append": ((HeaderEdit("APPEND", "x-one", ("c", "d")),), {**BEFORE, "x-one": "a,c,d"}),
    "append-what-is-not-there": ((HeaderEdit("APPEND", "x-three", ("c",)),), {**BEFORE, "x-three": "c"}),
    "replace": ((HeaderEdit("REPLACE", "x-one", ("c", "d")),), {**BEFORE, "x-one": "c,d"}),
    "replace-what-is-not-there": ((HeaderEdit("REPLACE", "x-three", ("c",)),), {**BEFORE, "x-three": "c"}),
    "remove-then-append": (
        (HeaderEdit("REMOVE", "x-one"), HeaderEdit("APPEND", "x-one", ("c",))),
        {**BEFORE, "x-one": "c"},
    ),
    "append-then-remove": ((HeaderEdit("APPEND", "x-one", ("c",)), HeaderEdit("REMOVE", "x-one")), {"x-two": "b"}),
    "append-then-replace": (
        (HeaderEdit("APPEND", "x-one", ("c",)), HeaderEdit("REPLACE", "x-one", ("d",))),
        {**BEFORE, "x-one": "d"},
    ),
}


def decide(data: bytes, _context: Any) -> bytes:
    """Mixer, as far as it is of interest here: the case is named by a header."""
    request = api.decode("envoy.service.auth.v3.CheckRequest", data)
    asker = parse_node_id("sidecar~10.88.0.2~app-1.default~default.svc.cluster.local")
    assert asker is not None
    if request.attributes.request.http.headers["x-case"] == "told":
        facts = parse_check_request(request, asker, 0.0)
        said = HeaderEdit("REPLACE", "x-told", (f"{facts.service} {facts.fail_open}",))
        return encode_decision(Decision(response_headers=(said,)))
    case = request.attributes.request.http.headers["x-case"]
    if case == "elsewhere":
        headers = (("location", "/login"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-one", "c"))
        return encode_decision(Decision(16, 302, "over there", answer_headers=headers))
    if case == "refused":
        return encode_decision(Decision(7, 403, "no", response_headers=(HeaderEdit("REMOVE", "x-one"),)))
    return encode_decision(Decision(response_headers=CASES[case][0]))


@contextlib.contextmanager
def mixer() -> Iterator[int]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    handlers = {"Check": grpc.unary_unary_rpc_method_handler(decide)}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", handlers)]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None)


@dataclass(frozen=True)
class Proxy:
    """A proxy that asks about what is to the host `asked`, and where it logs what came of that."""

    port: int
    log: Path
    fail_open: bool


@pytest.fixture(scope="module", params=[False, True], ids=["closed", "open"])
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("checks")
    port, app = free_ports(2)
    checking = Checking(Concern(http=True, answers=True), fail_open=request.param)
    with mixer() as asked:
        (folder / "envoy.pb").write_bytes(encode(bootstrap(port, app, asked, checking, folder / "access.log")))
        with (folder / "envoy.log").open("w") as log:
            argv = [str(envoy_binary()), "-c", str(folder / "envoy.pb"), "--concurrency", "1", "--disable-hot-restart"]
            argv += ["-l", "error", "--file-flush-interval-msec", "50"]
            process = subprocess.Popen(argv, stdout=log, stderr=log)
            try:
                deadline = time.monotonic() + 60
                while not answers(port):
                    assert process.poll() is None, (folder / "envoy.log").read_text()[-3000:]
                    assert time.monotonic() < deadline, "Envoy does not answer"
                    time.sleep(0.05)
                yield Proxy(port, folder / "access.log", request.param)
            finally:
                process.terminate()
                process.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return get(port, "nothing", host="unasked")[0] == 200
    return False


def get(port: int, case: str, host: str = "asked") -> tuple[int, dict[str, str]]:
    """The status, and the headers that are of interest."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.request("GET", "/", headers={"host": host, "x-case": case})
    found = line.getresponse()
    found.read()
    headers: dict[str, str] = {}
    for name, value in found.getheaders():
        if name.startswith("x-") and not name.startswith("x-envoy"):
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    line.close()
    return found.status, headers


def bootstrap(port: int, app: int, asked: int, checking: Checking, log: Path) -> Any:
    noted = "envoy.filters.http.ext_authz:argosy.check"
    text = f"%REQ(x-case)% %DYNAMIC_METADATA({noted}:code)% %DYNAMIC_METADATA({noted}:message)%\n"
    logger = {"path": str(log), "log_format": {"text_format_source": {"inline_string": text}}}
    log_to = v.extension("log", "envoy.extensions.access_loggers.file.v3.FileAccessLog", **logger)
    http2 = message(HTTP_OPTIONS_KEY)(explicit_http_config={"http2_protocol_options": {}})
    of_mixer = {**cluster(MIXER_CLUSTER, asked), "typed_extension_protocol_options": {HTTP_OPTIONS_KEY: pack(http2)}}
    to_app: dict[str, Any] = {"match": {"prefix": "/"}, "route": {"cluster": "app"}}
    told = [{"header": {"key": name, "value": value}} for name, value in BEFORE.items()]
    answer = {"match": {"prefix": "/"}, "direct_response": {"status": 200}, "response_headers_to_add": told}
    hosts = [
        {
            "name": "asked",
            "domains": ["asked"],
            "routes": [to_app],
            "typed_per_filter_config": check.route_settings(checking, "app.example.com"),
        },
        {"name": "unasked", "domains": ["unasked"], "routes": [to_app]},
    ]
    return message("envoy.config.bootstrap.v3.Bootstrap")(
        static_resources={
            "listeners": [
                listener(port, hosts, check.check_filters(), [log_to]),
                listener(app, [{"name": "app", "domains": ["*"], "routes": [answer]}], []),
            ],
            "clusters": [cluster("app", app), of_mixer],
        }
    )


def cluster(name: str, port: int) -> dict[str, Any]:
    host = {"lb_endpoints": [{"endpoint": {"address": v.socket_address("127.0.0.1", port)}}]}
    return {"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": [host]}}


def listener(port: int, hosts: list[dict[str, Any]], http_filters: list[Any], log: Sequence[Any] = ()) -> Any:
    manager = filters.http_connection_manager(
        stat_prefix="x",
        access_log=list(log),
        settings=MeshSettings(),
        route_config=message("envoy.config.route.v3.RouteConfiguration")(virtual_hosts=hosts),
        http_filters=http_filters,
    )
    address = v.socket_address("127.0.0.1", port)
    return {"name": f"l{port}", "address": address, "filter_chains": [{"filters": [manager]}]}


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_changed_as_the_operations_say(proxy: Proxy, case: str) -> None:
    assert get(proxy.port, case) == (200, CASES[case][1])


def test_who_is_not_asked_about_and_what_is_refused_is_left_alone(proxy: Proxy) -> None:
    assert get(proxy.port, "remove-all", host="unasked") == (200, BEFORE)
    assert get(proxy.port, "refused")[0] == 403


def test_a_refusal_is_told_as_an_adapter_wants_it(proxy: Proxy) -> None:
    line = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=60)
    line.request("GET", "/", headers={"host": "asked", "x-case": "elsewhere"})
    found = line.getresponse()
    assert (found.status, found.read(), found.getheader("location")) == (302, b"over there", "/login")
    assert (found.headers.get_all("set-cookie"), found.getheader("x-one")) == (["a=1", "b=2"], "c")
    line.close()


def test_mixer_is_told_whether_the_request_passes_if_nobody_can_decide(proxy: Proxy) -> None:
    assert get(proxy.port, "told")[1]["x-told"] == f"app.example.com {proxy.fail_open}"


@pytest.mark.parametrize("case, noted", [("append", "0"), ("refused", "7 no")])
def test_what_came_of_a_check_is_in_what_the_proxy_reports(proxy: Proxy, case: str, noted: str) -> None:
    get(proxy.port, case)
    deadline = time.monotonic() + 60
    while f"{case} {noted}" not in map(str.rstrip, proxy.log.read_text().splitlines()):
        assert time.monotonic() < deadline, proxy.log.read_text()
        time.sleep(0.05)
