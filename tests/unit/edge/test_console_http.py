"""The console over HTTP."""

from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient, Response

from argosy.console import static_folder
from argosy.edge.console_http import ConsolePorts, GraphQuery, console_app, parse_graph_query


def graph(query: GraphQuery) -> dict[str, object]:
    return {"window": query.window_s, "namespaces": sorted(query.namespaces)}


async def get(path: str, host: str = "localhost", *, ready: str = "", method: str = "GET") -> Response:
    ports = ConsolePorts(graph=graph, metrics=lambda: b"istio_requests_total 1\n", ready=lambda: ready)
    app = console_app(ports, static_folder(), hosts=["console.example"])
    async with AsyncClient(transport=ASGITransport(app), base_url=f"http://{host}") as client:
        return await client.request(method, path)


async def test_the_page_and_all_that_it_names_are_served() -> None:
    page = await get("/")
    assert page.status_code == 200
    names = [part.split('"')[0] for part in page.text.split('"/static/')[1:]]
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


async def test_every_answer_forbids_foreign_content() -> None:
    for path in ("/", "/api/graph", "/static/app.js", "/nothing-here"):
        headers = (await get(path)).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_the_graph_gets_the_query() -> None:
    answer = await get("/api/graph?window=300&namespaces=b,a")
    assert answer.json() == {"window": 300, "namespaces": ["a", "b"]}


@pytest.mark.parametrize("window", ["0", "601", "-1", "soon", "1.5"])
async def test_a_bad_window_is_one_clear_error(window: str) -> None:
    answer = await get(f"/api/graph?window={window}")
    assert answer.status_code == 400
    assert "window must be" in answer.json()["error"]


def test_service_nodes_are_asked_for_by_1() -> None:
    assert parse_graph_query({"services": "1"}).service_nodes
    assert not parse_graph_query({}).service_nodes


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
