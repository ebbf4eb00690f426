"""Each field of a VirtualService's `http` does what it says: matches, answers, changes, time, faults and copies.

Almost all of it at the gateway, which builds its routes with the same code as sidecars; what only a sidecar can tell
(who calls, and that no gateway is passed) is tried from the pod `sleep`.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import yaml
from tests.e2e.calls import EARLY, applied, body
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.pages import fetch, settled

from argosy.api.routing import HTTPMatch
from argosy.galley.validate.substitution import HEADER_COMMANDS, PLAIN_COMMANDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

HOST, OTHER = "fields.example.com", "other.example.com"
GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: fields}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}
  - {port: {number: 31400, name: http-other, protocol: HTTP}, hosts: ["*"]}
"""
SUBSETS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: helloworld}
spec:
  host: helloworld
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
"""
HTTPBIN = {"destination": {"host": "httpbin", "port": {"number": 8000}}}


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("fields")
    (home / "gateway.yaml").write_text(f"{GATEWAY}---{SUBSETS}")
    files = [EXAMPLES / f"{name}/{name}.yaml" for name in ("httpbin", "helloworld", "sleep")]
    with running(home / "mesh", *files, home / "gateway.yaml") as found:
        yield found


def rules(*http: Mapping[str, Any], hosts: tuple[str, ...] = (HOST,), gateways: tuple[str, ...] = ("fields",)) -> str:
    """A VirtualService with these rules; one without `route`, `redirect` or `directResponse` goes to httpbin."""
    answers = {"route", "redirect", "directResponse"}
    filled = [one if answers & set(one) else {**one, "route": [HTTPBIN]} for one in http]
    return yaml.safe_dump(
        {
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": "fields"},
            "spec": {"hosts": list(hosts), "gateways": list(gateways), "http": filled},
        }
    )


def told(text: str, *match: Mapping[str, Any]) -> dict[str, Any]:
    """A rule that answers with its name."""
    return {"match": list(match), "directResponse": {"status": 200, "body": {"string": text}}}


def ask(
    mesh: Mesh, path: str, *, method: str = "GET", host: str = HOST, port: int = 8080, **more: str
) -> httpx.Response:
    """One request through the gateway; `more` are headers, with `_` for `-`."""
    headers = {"host": host, **{name.replace("_", "-"): value for name, value in more.items()}}
    return httpx.request(method, f"{mesh.gateway(port)}{path}", headers=headers, timeout=60)


def seen(response: httpx.Response) -> dict[str, str]:
    """The headers that httpbin says it got, lower case; `:method` and `:url` besides."""
    assert response.status_code == 200, response.text
    document = response.json()
    headers = {name.lower(): ",".join(values) for name, values in document["headers"].items()}
    return {**headers, ":method": document.get("method", ""), ":url": document.get("url", "")}


# One object with all kinds of matches; the first rule that holds answers with its name.
MATCHES = (
    told("exact", {"uri": {"exact": "/exact"}}),
    told("prefix", {"uri": {"prefix": "/prefix"}}),
    told("regex", {"uri": {"regex": "/re[0-9]+"}}),
    told("any case", {"uri": {"exact": "/Any/Case"}, "ignoreUriCase": True}),
    told("any case prefix", {"uri": {"prefix": "/Any-"}, "ignoreUriCase": True}),
    told("put", {"uri": {"exact": "/method"}, "method": {"exact": "PUT"}}),
    told("p or d", {"uri": {"exact": "/method"}, "method": {"regex": "P.*|DELETE"}}),
    told("other host", {"uri": {"exact": "/authority"}, "authority": {"prefix": "other."}}),
    told("https", {"uri": {"exact": "/scheme"}, "scheme": {"exact": "https"}}),
    told("http", {"uri": {"exact": "/scheme"}, "scheme": {"exact": "http"}}),
    told("port 31400", {"uri": {"exact": "/port"}, "port": 31400}),
    told("port 8080", {"uri": {"exact": "/port"}, "port": 8080}),
    told("exact header", {"uri": {"exact": "/header"}, "headers": {"x-a": {"exact": "one"}}}),
    told("prefix header", {"uri": {"exact": "/header"}, "headers": {"x-a": {"prefix": "tw"}}}),
    told("regex header", {"uri": {"exact": "/header"}, "headers": {"x-a": {"regex": "[0-9]{3}"}}}),
    told("any header", {"uri": {"exact": "/header"}, "headers": {"x-a": {}}}),
    told("two headers", {"uri": {"exact": "/header"}, "headers": {"x-b": {"exact": "1"}, "x-c": {"exact": "2"}}}),
    told("without", {"uri": {"exact": "/without"}, "withoutHeaders": {"x-a": {}}}),
    told("not one", {"uri": {"exact": "/without"}, "withoutHeaders": {"x-a": {"exact": "one"}}}),
    told("exact query", {"uri": {"exact": "/query"}, "queryParams": {"a": {"exact": "1"}}}),
    told("prefix query", {"uri": {"exact": "/query"}, "queryParams": {"a": {"prefix": "b"}}}),
    told("regex query", {"uri": {"exact": "/query"}, "queryParams": {"a": {"regex": "[x-z]+"}}}),
    told("not one or absent", {"uri": {"exact": "/unlike"}, "withoutHeaders": {"x-a": {"exact": "one"}}}),
    told("never", {"uri": {"exact": "/whatever"}, "withoutHeaders": {"x-a": {"regex": ".*"}}}),
    told("absent", {"uri": {"exact": "/whatever"}, "withoutHeaders": {"x-a": {"regex": "*"}}}),
    told("either", {"uri": {"exact": "/either"}}, {"uri": {"exact": "/or"}, "headers": {"x-a": {"exact": "1"}}}),
    told("from mesh only", {"uri": {"exact": "/gateways"}, "gateways": ["mesh"]}),
    told("from the gateway", {"uri": {"exact": "/gateways"}, "gateways": ["fields"]}),
    told("else"),
)
REQUESTS = [
    ("/exact", {}, "exact"),
    ("/exact?a=1", {}, "exact"),
    ("/exact/more", {}, "else"),
    ("/prefix", {}, "prefix"),
    ("/prefixed/more", {}, "prefix"),
    ("/Prefix", {}, "else"),
    ("/re12", {}, "regex"),
    ("/re12?a=1", {}, "regex"),
    ("/re12x", {}, "else"),
    ("/aNY/cASE", {}, "any case"),
    ("/aNY-thing", {}, "any case prefix"),
    ("/method", {"method": "PUT"}, "put"),
    ("/method", {"method": "POST"}, "p or d"),
    ("/method", {"method": "DELETE"}, "p or d"),
    ("/method", {"method": "GET"}, "else"),
    ("/authority", {"host": OTHER}, "other host"),
    ("/authority", {}, "else"),
    ("/scheme", {}, "http"),
    ("/port", {}, "port 8080"),
    ("/port", {"port": 31400}, "port 31400"),
    ("/header", {"x_a": "one"}, "exact header"),
    ("/header", {"X_A": "two"}, "prefix header"),
    ("/header", {"x_a": "123"}, "regex header"),
    ("/header", {"x_a": "1234"}, "any header"),
    ("/header", {"x_b": "1", "x_c": "2"}, "two headers"),
    ("/header", {"x_b": "1"}, "else"),
    ("/without", {}, "without"),
    ("/without", {"x_a": "two"}, "not one"),
    ("/without", {"x_a": "one"}, "else"),
    ("/unlike", {}, "not one or absent"),
    ("/unlike", {"x_a": "one"}, "else"),
    ("/whatever", {}, "absent"),
    ("/whatever", {"x_a": "one"}, "else"),
    ("/query?a=1", {}, "exact query"),
    ("/query?b=2&a=bcd", {}, "prefix query"),
    ("/query?a=xyz", {}, "regex query"),
    ("/query?a=xyz1", {}, "else"),
    ("/query", {}, "else"),
    ("/either", {}, "either"),
    ("/or", {"x_a": "1"}, "either"),
    ("/or", {}, "else"),
    ("/gateways", {}, "from the gateway"),
]


def test_every_kind_of_match(mesh: Mesh) -> None:
    with applied(mesh, rules(*MATCHES, hosts=(HOST, OTHER))):
        answers = [(path, how, ask(mesh, path, **how).text) for path, how, _ in REQUESTS]
    assert answers == REQUESTS


def test_a_host_that_no_rule_names_is_not_found(mesh: Mesh) -> None:
    with applied(mesh, rules(told("here"))):
        assert ask(mesh, "/", host="unknown.example.com").status_code == 404
        assert ask(mesh, "/", host=f"{HOST}:8080").text == "here"


@pytest.mark.parametrize(
    "redirect, code, location",
    [
        ({"uri": "/there"}, 301, f"http://{HOST}/there"),
        ({"authority": OTHER}, 301, f"http://{OTHER}/here?a=1"),
        ({"scheme": "https"}, 301, f"https://{HOST}/here?a=1"),
        ({"port": 9000}, 301, f"http://{HOST}:9000/here?a=1"),
        ({"port": 80}, 301, f"http://{HOST}/here?a=1"),
        ({"uri": "/there", "redirectCode": 302}, 302, f"http://{HOST}/there"),
        ({"uri": "/there", "redirectCode": 303}, 303, f"http://{HOST}/there"),
        ({"uri": "/there", "redirectCode": 307}, 307, f"http://{HOST}/there"),
        ({"uri": "/there", "redirectCode": 308}, 308, f"http://{HOST}/there"),
    ],
)
def test_redirects(mesh: Mesh, redirect: dict[str, Any], code: int, location: str) -> None:
    with applied(mesh, rules({"redirect": redirect})):
        answer = ask(mesh, "/here?a=1")
    assert answer.status_code == code
    assert answer.headers["location"].removesuffix("?a=1") == location.removesuffix("?a=1")


def test_direct_responses_and_their_headers(mesh: Mesh) -> None:
    rule = {
        "directResponse": {"status": 418, "body": {"string": "tea"}},
        "headers": {"response": {"set": {"x-a": "1"}}},
    }
    with applied(mesh, rules(rule)):
        answer = ask(mesh, "/")
    assert (answer.status_code, answer.text, answer.headers["x-a"]) == (418, "tea", "1")


@pytest.mark.parametrize(
    "rewrite, match, path, host, url",
    [
        ({"uri": "/anything"}, {"uri": {"prefix": "/old"}}, "/old/deep?a=1", HOST, "/anything/deep?a=1"),
        ({"uri": "/anything/"}, {"uri": {"prefix": "/old/"}}, "/old/deep", HOST, "/anything/deep"),
        ({"uri": "/"}, {"uri": {"prefix": "/old/"}}, "/old/anything/deep", HOST, "/anything/deep"),
        ({"uri": "/anything/new"}, {"uri": {"exact": "/old"}}, "/old?a=1", HOST, "/anything/new?a=1"),
        ({"uri": "/anything/new"}, {"uri": {"regex": "/o[a-z]+"}}, "/old", HOST, "/anything/new"),
        ({"authority": OTHER}, {"uri": {"prefix": "/"}}, "/anything", OTHER, "/anything"),
    ],
)
def test_rewrites(mesh: Mesh, rewrite: dict[str, str], match: dict[str, Any], path: str, host: str, url: str) -> None:
    with applied(mesh, rules({"match": [match], "rewrite": rewrite})):
        got = seen(ask(mesh, path))
    assert (got["host"], got[":url"].partition(got["host"])[2]) == (host, url)


@pytest.mark.parametrize("at_destination", [False, True])
def test_header_changes(mesh: Mesh, at_destination: bool) -> None:
    """`set` overwrites, `add` appends, `remove` removes; for a route and for one destination of it."""
    changes = {
        "request": {"set": {"x-set": "new"}, "add": {"x-add": "more"}, "remove": ["x-remove"]},
        "response": {"set": {"x-a": "new"}, "add": {"x-b": "more"}, "remove": ["x-c"]},
    }
    route = {"route": [{**HTTPBIN, "headers": changes}]} if at_destination else {"headers": changes}
    with applied(mesh, rules(route)):
        got = seen(ask(mesh, "/anything", x_set="old", x_add="old", x_remove="old", x_kept="old"))
        answer = ask(mesh, "/response-headers?x-a=old&x-b=old&x-c=old")
    assert {name: value for name, value in got.items() if name in ("x-set", "x-add", "x-remove", "x-kept")} == {
        "x-set": "new",
        "x-add": "old,more",
        "x-kept": "old",
    }
    assert (answer.headers["x-a"], answer.headers["x-b"], answer.headers.get("x-c")) == ("new", "old, more", None)


@pytest.mark.parametrize("name", ["host", "Host", ":authority"])
def test_the_host_can_be_set_as_a_header(mesh: Mesh, name: str) -> None:
    with applied(mesh, rules({"headers": {"request": {"set": {name: OTHER}}}})):
        assert seen(ask(mesh, "/anything"))["host"] == OTHER


def test_values_of_headers_can_name_what_the_proxy_knows(mesh: Mesh) -> None:
    """Every command that Galley accepts, at once: Envoy would refuse all routes for one that it does not know."""
    plain = {f"x-{name.lower().replace('_', '-')}": f"%{name}%" for name in PLAIN_COMMANDS}
    more = {f"x-{name.lower()}": f"%{name}(x-a?:authority):5%" for name in HEADER_COMMANDS}
    changes = {"response": {"set": {**plain, **more, "x-percent": "100%% %REQ(x-b)%"}}}
    with applied(mesh, rules({"headers": changes})):
        answer = ask(mesh, "/status/200", x_b="b")
    found = {name: answer.headers[f"x-{name}"] for name in ("protocol", "req", "percent", "upstream-cluster")}
    assert found == {
        "protocol": "HTTP/1.1",
        "req": HOST[:5],
        "percent": "100% b",
        "upstream-cluster": "outbound|8000||httpbin.default.svc.cluster.local",
    }


def test_weights_are_shares_of_requests_and_each_destination_has_its_own_headers(mesh: Mesh) -> None:
    """Relative weights: 3 to 1, and a destination of weight 0 gets nothing."""

    def to(subset: str, weight: int) -> dict[str, Any]:
        headers = {"response": {"set": {"x-subset": subset}}}
        return {"destination": {"host": "helloworld", "subset": subset}, "weight": weight, "headers": headers}

    def read(response: httpx.Response) -> str:
        assert f"version: {response.headers['x-subset']}," in response.text
        return response.headers["x-subset"]

    with applied(mesh, rules({"route": [to("v1", 3), to("v2", 1)]})):
        shares = fetch(f"{mesh.gateway()}/hello", 1000, read, headers={"host": HOST})
    assert set(shares) == {"v1", "v2"}
    assert shares["v2"] == pytest.approx(250, abs=70), "five deviations: once in two million runs"
    with applied(mesh, rules({"route": [to("v1", 0), to("v2", 1)]})):
        assert fetch(f"{mesh.gateway()}/hello", 100, read, headers={"host": HOST}) == {"v2": 100}


def test_a_timeout_ends_a_slow_request(mesh: Mesh) -> None:
    with applied(mesh, rules({"timeout": "0.5s"})):
        started = time.monotonic()
        answer = ask(mesh, "/delay/5")
        took_s = time.monotonic() - started
        assert ask(mesh, "/delay/0").status_code == 200
    assert (answer.status_code, answer.text) == (504, "upstream request timeout")
    assert took_s >= 0.5 * EARLY


def rule_for(case: int, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A rule for the requests that carry the number of a case."""
    return {"match": [{"headers": {"x-case": {"exact": str(case)}}}], **fields}


# A status of its own for each case, so that the metrics tell them apart.
RETRIES: list[tuple[dict[str, Any], str, int, int]] = [
    ({"retries": {"attempts": 3, "retryOn": "5xx"}}, "/status/510", 510, 4),
    ({"retries": {"attempts": 2, "retryOn": "gateway-error"}}, "/status/502", 502, 3),
    ({"retries": {"attempts": 2, "retryOn": "connect-failure,429"}}, "/status/429", 429, 3),
    ({"retries": {"attempts": 2, "retryOn": "5xx"}}, "/status/410", 410, 1),
    ({"retries": {"attempts": 0}}, "/status/505", 505, 1),
    # By default nothing is repeated that the application may have worked on.
    ({}, "/status/503", 503, 1),
]


def test_retries(mesh: Mesh) -> None:
    """As many tries as the server's proxy counts; the caller's proxy counts one request."""
    arrived = {"reporter": "destination", "destination_workload": "httpbin"}
    sent = {"reporter": "source", "source_workload": "istio-ingressgateway"}
    with applied(mesh, rules(*(rule_for(case, one[0]) for case, one in enumerate(RETRIES)))):
        for case, (_, path, code, _) in enumerate(RETRIES):
            assert ask(mesh, path, x_case=str(case)).status_code == code
        assert ask(mesh, "/status/299", x_case="3").status_code == 299
    for labels in (arrived, sent):  # with the last request, all before it have been counted
        settled(mesh, 1, response_code="299", **labels)
    codes = [str(code) for _, _, code, _ in RETRIES]
    assert [mesh.count(response_code=code, **sent) for code in codes] == [1] * len(RETRIES)
    assert [mesh.count(response_code=code, **arrived) for code in codes] == [tries for _, _, _, tries in RETRIES]


def test_each_try_has_its_own_timeout(mesh: Mesh) -> None:
    retries = {"attempts": 2, "perTryTimeout": "0.4s", "retryOn": "gateway-error"}
    with applied(mesh, rules({"retries": retries})):
        started = time.monotonic()
        assert ask(mesh, "/delay/5").status_code == 504
        assert time.monotonic() - started >= 3 * 0.4 * EARLY


ABORTS: list[tuple[dict[str, Any], float]] = [
    ({"httpStatus": 418}, 1.0),
    ({"httpStatus": 418, "percentage": {"value": 100}}, 1.0),
    ({"httpStatus": 418, "percentage": {"value": 0}}, 0.0),
    ({"httpStatus": 418, "percentage": {"value": 30}}, 0.3),
    ({"httpStatus": 418, "percent": 30}, 0.3),
]


def test_aborts_concern_their_share_of_requests(mesh: Mesh) -> None:
    """Of 600 requests a tenth is five deviations: once in two million runs by chance."""
    count = 600
    url = f"{mesh.gateway()}/status/200"
    with applied(mesh, rules(*(rule_for(case, {"fault": {"abort": one[0]}}) for case, one in enumerate(ABORTS)))):
        for case, (_, share) in enumerate(ABORTS):
            codes = fetch(url, count, lambda one: str(one.status_code), headers={"host": HOST, "x-case": str(case)})
            assert codes.total() == codes["418"] + codes["200"] == count
            assert codes["418"] / count == pytest.approx(share, abs=0.1 if 0 < share < 1 else 0), case


@pytest.mark.parametrize(
    "percent, delayed", [({}, True), ({"percentage": {"value": 0}}, False), ({"percent": 100}, True)]
)
def test_delays(mesh: Mesh, percent: dict[str, Any], delayed: bool) -> None:
    with applied(mesh, rules({"fault": {"delay": {"fixedDelay": "1.5s" if delayed else "300s", **percent}}})):
        started = time.monotonic()
        assert ask(mesh, "/status/200").status_code == 200
        assert not delayed or time.monotonic() - started >= 1.5 * EARLY


# The share, the path (whose status tells the copies apart in the metrics), and how many copies of 200 there may be.
# Where chance decides: five and a half deviations, which it leaves once in twenty million runs.
MIRRORS: list[tuple[dict[str, Any], int, int, int]] = [
    ({}, 230, 200, 200),
    ({"mirrorPercentage": {"value": 0}}, 231, 0, 0),
    ({"mirrorPercentage": {"value": 50}}, 232, 60, 140),
    ({"mirrorPercent": 50}, 233, 60, 140),
]


def test_mirroring_copies_requests_and_drops_the_copies_answers(mesh: Mesh) -> None:
    """helloworld answers 404 to what httpbin, which gets the copies, answers with 230."""
    to = {"route": [{"destination": {"host": "helloworld", "subset": "v1"}}], "mirror": HTTPBIN["destination"]}
    paths = [f"/status/{status}" for _, status, _, _ in MIRRORS]
    made = [{"match": [{"uri": {"exact": path}}], **to, **one[0]} for path, one in zip(paths, MIRRORS, strict=True)]
    with applied(mesh, rules(*made, {})):
        for path in paths:
            answers = fetch(mesh.gateway() + path, 200, lambda one: str(one.status_code), headers={"host": HOST})
            assert answers == {"404": 200}, "the copy's answer is dropped"
        assert ask(mesh, "/status/298").status_code == 298
    arrived = {"reporter": "destination", "destination_workload": "httpbin"}
    settled(mesh, 1, response_code="298", **arrived)
    for _, status, least, most in MIRRORS:
        # Nobody waits for a copy, so that the last ones may come later than what was sent after them.
        settled(mesh, least, response_code=str(status), **arrived)
        assert mesh.count(response_code=str(status), **arrived) <= most, status
    (log,) = (mesh.home / "pods" / "default").glob("httpbin-*/istio-proxy.log")
    shadow = re.compile(rf'"GET /status/230 .*"{re.escape(HOST)}-shadow"')
    wait_for(lambda: shadow.search(log.read_text()), 60, "a copy in the server's log")


def test_a_sidecar_knows_who_calls(mesh: Mesh) -> None:
    """`sourceLabels`, `sourceNamespace`, `port` and `gateways` seen from the pod `sleep`."""
    here = rules(
        told("other labels", {"uri": {"prefix": "/labels"}, "sourceLabels": {"app": "another"}}),
        told("my labels", {"uri": {"prefix": "/labels"}, "sourceLabels": {"app": "sleep"}}),
        told("other namespace", {"uri": {"prefix": "/namespace"}, "sourceNamespace": "another"}),
        told("my namespace", {"uri": {"prefix": "/namespace"}, "sourceNamespace": "default"}),
        told("other port", {"uri": {"prefix": "/port"}, "port": 80}),
        told("this port", {"uri": {"prefix": "/port"}, "port": 8000}),
        told("gateway", {"uri": {"prefix": "/gateways"}, "gateways": ["fields"]}),
        told("mesh", {"uri": {"prefix": "/gateways"}, "gateways": ["mesh"]}),
        {"match": [{"uri": {"prefix": "/old"}}], "rewrite": {"uri": "/anything"}, "timeout": "5s"},
        hosts=("httpbin",),
        gateways=("mesh", "fields"),
    )
    with applied(mesh, here):
        paths = ("labels", "namespace", "port", "gateways")
        answers = [body(mesh, "sleep", f"http://httpbin:8000/{path}") for path in paths]
        rewritten = json.loads(body(mesh, "sleep", "http://httpbin.default:8000/old/deep"))
        unmatched = body(mesh, "sleep", "-w '%{http_code}' http://httpbin:8000/other")
    assert answers == ["my labels", "my namespace", "this port", "mesh"]
    assert rewritten["url"].endswith("/anything/deep")
    assert unmatched == "404"


def test_whom_no_rule_is_about_gets_what_there_was_before(mesh: Mesh) -> None:
    """They got 404: match blocks that name another port or other clients left no route at all."""
    here = rules(
        told("other labels", {"sourceLabels": {"app": "another"}}),
        told("other port", {"port": 80}),
        told("gateway", {"gateways": ["./fields"]}),
        hosts=("httpbin",),
        gateways=("mesh", "./fields"),
    )
    with applied(mesh, here):
        url = json.loads(body(mesh, "sleep", "http://httpbin:8000/anything/as-ever"))["url"]
        from_outside = ask(mesh, "/anything", host="httpbin.default.svc.cluster.local").text
    assert (url, from_outside) == ("http://httpbin:8000/anything/as-ever", "gateway")


def test_a_host_that_nobody_declares_is_led_elsewhere_within_the_mesh(mesh: Mesh) -> None:
    here = rules({"rewrite": {"uri": "/anything/led"}}, hosts=("Shop.example.com",), gateways=("mesh",))
    with applied(mesh, here):
        request = "--connect-to shop.example.com:80:httpbin:80 http://shop.example.com/"
        answer = json.loads(body(mesh, "sleep", request))
    assert answer["url"].endswith("/anything/led")


def test_the_tables_use_every_field_of_a_match() -> None:
    """A field that is added to the language must be added to the tables above."""
    used = Counter(field for rule in MATCHES for match in rule["match"] for field in match)
    used.update(["sourceLabels", "sourceNamespace"])
    assert set(used) == set(HTTPMatch.__struct_encode_fields__) - {"name", "statPrefix"}
