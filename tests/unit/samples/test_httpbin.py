"""The httpbin sample."""

from typing import Any

import pytest

from argosy.samples.httpbin import build_app

LISTS = {"HTTPBIN_VALUES": "list", "HOSTNAME": "pod-7"}
STRINGS = {"HTTPBIN_VALUES": "string"}


@pytest.mark.parametrize("env, values", [(LISTS, ["a", "b"]), (STRINGS, "a,b")])
async def test_headers_are_shown_as_the_original_does(open_client: Any, env: dict[str, str], values: object) -> None:
    async with open_client(build_app(env)) as client:
        shown = (await client.get("/headers", headers=[("x-some-name", "a"), ("x-some-name", "b")])).json()["headers"]
    assert shown["X-Some-Name"] == values
    assert shown["Host"] == (["sample"] if env is LISTS else "sample")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_a_request_is_described(open_client: Any, method: str) -> None:
    async with open_client(build_app(STRINGS)) as client:
        for path in (f"/{method.lower()}", "/anything", "/anything/a/b"):
            answer = await client.request(method, f"{path}?q=1&q=2", headers={"x-forwarded-for": "192.0.2.1, 10.0.0.1"})
            body = answer.json()
            assert (answer.status_code, body["method"], body["args"]) == (200, method, {"q": "1,2"})
            assert (body["origin"], body["url"]) == ("192.0.2.1", f"http://sample{path}?q=1&q=2")


async def test_a_body_is_described_as_text_and_json(open_client: Any) -> None:
    async with open_client(build_app(STRINGS)) as client:
        body = (await client.post("/post", json={"a": 1})).json()
        assert (body["json"], body["data"]) == ({"a": 1}, '{"a":1}')
        assert (await client.post("/post", content=b"plain")).json()["json"] is None
        assert (await client.post("/post", content=b"x" * (1024 * 1024 + 1))).status_code == 400


@pytest.mark.parametrize("code", [200, 204, 301, 304, 404, 418, 429, 500, 503])
async def test_the_status_is_the_one_asked_for(open_client: Any, code: int) -> None:
    async with open_client(build_app(LISTS)) as client:
        answer = await client.get(f"/status/{code}")
    assert answer.status_code == code
    assert ("location" in answer.headers) == (code == 301)
    assert ("teapot" in answer.text) == (code == 418)


@pytest.mark.parametrize(
    "path",
    [
        "/status/100", "/status/600", "/delay/11", "/delay/-1", "/delay/x", "/delay/nan", "/bytes/999999",
        "/stream/101", "/redirect-to", "/redirect-to?url=/get&status_code=200",
        "/response-headers?a:b=1", "/response-headers?a=%0a",
    ],
)  # fmt: skip
async def test_what_is_not_on_offer_is_a_bad_request_with_a_reason(open_client: Any, path: str) -> None:
    async with open_client(build_app(LISTS)) as client:
        answer = await client.get(path)
    assert answer.status_code == 400
    assert answer.json()["error"]


async def test_answers_are_made_to_order(open_client: Any) -> None:
    async with open_client(build_app(LISTS)) as client:
        assert len((await client.get("/bytes/1000")).content) == 1000
        assert len((await client.get("/stream/3")).text.splitlines()) == 3
        assert (await client.get("/delay/0")).status_code == 200
        assert (await client.get("/response-headers?x-a=1")).headers["x-a"] == "1"
        assert (await client.get("/cookies", headers={"cookie": "a=b"})).json() == {"cookies": {"a": "b"}}
        assert (await client.get("/user-agent", headers={"user-agent": "u"})).json() == {"user-agent": "u"}
        assert (await client.get("/hostname")).json() == {"hostname": "pod-7"}
        assert (await client.get("/uuid")).json() != (await client.get("/uuid")).json()
        assert "text/html" in (await client.get("/html")).headers["content-type"]
        assert "slideshow" in (await client.get("/json")).json()
        assert (await client.get("/ip")).json()["origin"]


@pytest.mark.parametrize("query, code", [("url=/get", 302), ("url=http://other/&status_code=307", 307)])
async def test_a_redirect_goes_where_it_was_told(open_client: Any, query: str, code: int) -> None:
    async with open_client(build_app(LISTS)) as client:
        answer = await client.get(f"/redirect-to?{query}")
    assert (answer.status_code, answer.headers["location"]) == (code, query.split("&")[0].removeprefix("url="))


async def test_basic_auth_takes_exactly_the_user_and_password_of_the_path(open_client: Any) -> None:
    async with open_client(build_app(LISTS)) as client:
        assert (await client.get("/basic-auth/u/p", auth=("u", "p"))).status_code == 200
        refused = await client.get("/basic-auth/u/p", auth=("u", "q"))
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Basic realm="sample"')
