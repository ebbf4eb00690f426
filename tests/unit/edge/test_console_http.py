"""The console over HTTP."""

import time
from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from argosy.app.configuration_view import Described
from argosy.console import static_folder
from argosy.core.errors import ArgosyError, Finding, Level
from argosy.edge.console_http import (
    LOCAL_HOSTS,
    ConsolePorts,
    DiffQuery,
    GraphQuery,
    console_app,
    parse_diff_query,
    parse_graph_query,
)
from argosy.graph.build import GraphType
from argosy.graph.configuration import Configuration


def graph(query: GraphQuery) -> dict[str, object]:
    return {"window": query.window_s, "namespaces": sorted(query.namespaces)}


async def past(query: GraphQuery) -> dict[str, object]:
    assert query.at is not None
    if time.time() - query.at > 86_400:
        raise ArgosyError.of("ARG0940", "no flows are kept of that time")
    return {"at": query.at, "window": query.window_s}


async def diff(query: DiffQuery) -> dict[str, object]:
    return {"apart_s": query.after - query.before}


async def get(path: str, host: str = "localhost", *, ready: str = "", method: str = "GET") -> Response:
    ports = ConsolePorts(
        graph=graph, metrics=lambda: [b"istio_requests_total 1\n"], ready=lambda: ready, past=past, diff=diff
    )
    app = console_app(ports, static_folder(), hosts=[*LOCAL_HOSTS, "console.example"])
    async with AsyncClient(transport=ASGITransport(app), base_url=f"http://{host}") as client:
        return await client.request(method, path)


async def test_the_page_and_all_that_it_names_are_served() -> None:
    page = await get("/")
    assert page.status_code == 200
    names = [part.split('"')[0] for part in page.text.split('"static/')[1:]]
    assert {"app.js", "style.css", "argosy.svg"} <= set(names)
    for name in names:
        assert (await get(f"/static/{name}")).status_code == 200


def test_the_page_names_no_other_host() -> None:
    for file in Path(static_folder()).iterdir():
        text = file.read_text().replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8080", "[::1]:80", "console.example"])
async def test_own_names_are_answered(host: str) -> None:
    assert (await get("/healthz", host)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1.nip.io"])
async def test_foreign_host_names_are_refused(host: str) -> None:
    """DNS rebinding: a foreign page's own name resolves to us."""
    for path in ("/", "/api/graph", "/metrics", "/static/app.js"):
        assert (await get(path, host)).status_code == 421


@pytest.mark.parametrize(
    "address, host, status",
    [("10.88.0.5", "graph.example", 200), ("10.88.0.6", "graph.example", 403), ("10.88.0.5", "localhost", 421)],
)
async def test_a_console_for_some_callers_answers_to_nobody_else(address: str, host: str, status: int) -> None:
    """Nor to this machine's names, which say nothing where others can call."""
    ports = ConsolePorts(graph=graph, metrics=tuple, ready=str)
    app = console_app(ports, static_folder(), ["graph.example"], lambda caller: caller == "10.88.0.5")
    transport = ASGITransport(app, client=(address, 1))
    async with AsyncClient(transport=transport, base_url=f"http://{host}") as client:
        for path in ("/", "/api/graph", "/static/app.js"):
            answer = await client.get(path)
            assert answer.status_code == status
            assert answer.headers["x-content-type-options"] == "nosniff"


async def test_every_answer_forbids_foreign_content() -> None:
    for path in ("/", "/api/graph", "/static/app.js", "/nothing-here"):
        headers = (await get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_the_graph_is_decorated_with_the_configuration_as_far_as_it_is_known() -> None:
    """While nobody tells, traffic is shown all the same; of the past nothing of now is told."""
    finding = Finding("ARG0203", Level.WARNING, "there is no Gateway", "VirtualService", "default", "web")
    known = Described(Configuration(7), (finding,))

    async def configuration() -> Described:
        if known is None:
            raise OSError("Galley does not answer")
        return known

    view = {"nodes": [], "edges": []}
    ports = ConsolePorts(
        graph=lambda query: view, metrics=tuple, ready=str, past=past, diff=diff, configuration=configuration
    )
    app = console_app(ports, static_folder())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost") as client:
        answer = (await client.get("/api/graph")).json()
        assert (answer["revision"], [one["code"] for one in answer["findings"]]) == (7, ["ARG0203"])
        assert "findings" not in (await client.get("/api/graph?at=-1m")).json()
        known = None
        assert (await client.get("/api/graph")).json() == {**view, "unknown": "Galley does not answer"}


async def test_the_graph_gets_the_query() -> None:
    answer = await get("/api/graph?window=300&namespaces=b,a")
    assert answer.json() == {"window": 300, "namespaces": ["a", "b"]}


@pytest.mark.parametrize("window", ["0", "601", "-1", "soon", "1.5"])
async def test_a_bad_window_is_one_clear_error(window: str) -> None:
    answer = await get(f"/api/graph?window={window}")
    assert answer.status_code == 400
    assert "window must be" in answer.json()["error"]


def test_service_nodes_are_asked_for_by_1() -> None:
    assert parse_graph_query({"services": "1"}, 0.0).service_nodes
    assert not parse_graph_query({}, 0.0).service_nodes


def test_a_time_of_the_past_is_asked_for_as_people_write_it() -> None:
    assert parse_graph_query({}, 1e9).at is None
    assert parse_graph_query({"at": "-1m", "window": "3600"}, 2e9) == GraphQuery(3600, at=2e9 - 60)
    wanted = parse_diff_query({"from": "-2m", "to": "now", "namespaces": "a"}, 2e9)
    assert (wanted.before, wanted.after, wanted.graph.namespaces) == (2e9 - 120, 2e9, frozenset({"a"}))


async def test_the_past_and_two_times_compared() -> None:
    past = await get("/api/graph?at=-5m&window=120")
    assert past.json() == {"at": pytest.approx(time.time() - 300, abs=30), "window": 120}
    diff = await get("/api/graph/diff?from=-5m&to=now")
    assert diff.json() == {"apart_s": pytest.approx(300, abs=1)}


@pytest.mark.parametrize(
    "path, status, error",
    [
        ("/api/graph?at=soon", 400, "'soon' is no time"),
        ("/api/graph?at=now&window=90000", 400, "window must be"),
        ("/api/graph/diff?from=now", 400, "to is missing"),
        ("/api/graph?at=-9d", 404, "no flows are kept"),
    ],
)
async def test_a_time_that_cannot_be_shown_is_one_clear_error(path: str, status: int, error: str) -> None:
    answer = await get(path)
    assert answer.status_code == status
    assert error in answer.json()["error"]


async def test_metrics_are_prometheus_text() -> None:
    answer = await get("/metrics")
    assert answer.text == "istio_requests_total 1\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_readiness_says_why_not() -> None:
    assert (await get("/readyz")).status_code == 200
    answer = await get("/readyz", ready="no configuration yet")
    assert (answer.status_code, answer.text) == (503, "no configuration yet\n")


async def test_nothing_can_be_changed() -> None:
    for path in ("/", "/api/graph", "/metrics"):
        assert (await get(path, method="POST")).status_code == 405


async def test_static_files_outside_the_folder_stay_outside() -> None:
    assert (await get("/static/..%2f__init__.py")).status_code == 404


async def test_prometheus_finds_every_program_at_the_address_it_asked(tmp_path: Path) -> None:
    async def pilot() -> bytes:
        return b"pilot_xds 3\n"

    async def citadel() -> bytes:
        raise ConnectionRefusedError("nobody there")

    ports = ConsolePorts(
        graph=graph,
        metrics=lambda: [b"istio_requests_total 1\n"],
        ready=str,
        programs=lambda: {"pilot": pilot, "citadel": citadel},
        name="mixer",
    )
    app = console_app(ports, static_folder())
    async with AsyncClient(transport=ASGITransport(app), base_url="http://localhost:7") as client:
        groups = (await client.get("/api/prometheus")).json()
        assert {tuple(one["targets"]) for one in groups} == {("localhost:7",)}
        paths = {one["labels"]["job"]: one["labels"]["__metrics_path__"] for one in groups}
        answers = {name: await client.get(path) for name, path in paths.items()}
        assert answers["mixer"].text == "istio_requests_total 1\n"
        assert answers["pilot"].text == "pilot_xds 3\n"
        assert answers["pilot"].headers["content-type"].startswith("text/plain; version=0.0.4")
        assert (answers["citadel"].status_code, "nobody there" in answers["citadel"].text) == (502, True)
        assert (await client.get("/metrics/somebody")).status_code == 404


async def test_the_type_of_graph_is_asked_for_by_kialis_names() -> None:
    assert parse_graph_query({"type": "app"}, 0.0).type is GraphType.APP
    answer = await get("/api/graph?type=boxes")
    assert answer.status_code == 400
    assert "type must be one of app, versionedApp, workload, service" in answer.json()["error"]
