"""Istio's traffic management tasks, as far as no other module shows them: docs/reference/tasks.md says which does.

One mesh: Bookinfo, httpbin, one helloworld in each of four places, and a client beside the first of them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise

import pytest
from tests.e2e.calls import EARLY, applied, body, call, in_pod
from tests.e2e.harness import EXAMPLES, Mesh, running, wait_for
from tests.e2e.loads import admin
from tests.e2e.pages import NO_REVIEWS, NO_STARS, PAGE, RED, fetch, signed_in, timed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
FILES = [BOOKINFO / f"{name}.yaml" for name in ("bookinfo", "gateway", "destination-rules", "all-v1")]
PLACES = ("region1.zone1", "region1.zone2", "region2.zone3", "region3.zone4")
HTTPBIN_CLUSTER = "outbound|8000||httpbin.default.svc.cluster.local"
HELLO = "http://helloworld:5000/hello"

SERVICE = """---
apiVersion: v1
kind: Service
metadata: {name: helloworld}
spec: {selector: {app: helloworld}, ports: [{name: http, port: 5000}]}
"""
POD = """---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: {app}, version: {place}}}}}
  template:
    metadata: {{labels: {{app: {app}, version: {place}, istio-locality: {place}}}{annotations}}}
    spec: {{containers: [{{name: {app}, image: {image}}}]}}
"""
# As in the task's own client: its Envoy is to keep the statistics of clusters.
KEPT = """, annotations: {proxy.istio.io/config: "proxyStatsMatcher: {inclusionPrefixes: [cluster.outbound]}"}"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("tasks")
    pods = [pod(server(place), place, f"argosy/examples-helloworld-{place}") for place in PLACES]
    pods.append(pod("client", PLACES[0], "argosy/curl", KEPT))
    (home / "places.yaml").write_text("".join((SERVICE, *pods)))
    with running(home / "mesh", *FILES, EXAMPLES / "httpbin/httpbin.yaml", home / "places.yaml") as found:
        yield found


def pod(name: str, place: str, image: str, annotations: str = "") -> str:
    """A Deployment of one pod in a place."""
    return POD.format(name=name, app=name.partition("-")[0], place=place, image=image, annotations=annotations)


def server(place: str) -> str:
    """The Deployment of helloworld in a place."""
    return f"helloworld-{place.replace('.', '-')}"


def rules(host: str, http: str) -> str:
    """The VirtualService of a host."""
    return f"""
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}}}
spec: {{hosts: [{host}], http: [{http}]}}
"""


def policy(host: str, traffic: str, subsets: str = "[]") -> str:
    """The DestinationRule of a host."""
    return f"""
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec: {{host: {host}, trafficPolicy: {traffic}, subsets: {subsets}}}
"""


def log(mesh: Mesh, workload: str) -> str:
    """The access logs of the sidecars of a workload."""
    pods = (mesh.home / "pods" / "default").glob(f"{workload}-*/istio-proxy.log")
    return "".join(file.read_text() for file in pods)


# -- traffic shifting -----------------------------------------------------------------------------------------------


def test_half_of_the_requests_go_to_a_version_whatever_the_number_of_its_pods(mesh: Mesh) -> None:
    """50 to 50 between a version with three pods and one with one pod, then all to v3. A page asks for reviews once, so
    the shares are taken of reviews itself, by many more requests than one could load pages."""
    to = "{{destination: {{host: reviews, subset: {0}}}, weight: {1}}}"
    mesh.cli("scale", "deploy/reviews-v1", "3")
    try:
        mesh.wait_pods()
        with applied(mesh, BOOKINFO / "all-v1.yaml"):
            mesh.apply(rules("reviews", f"{{route: [{to.format('v1', 50)}, {to.format('v3', 50)}]}}"))
            bodies = body(mesh, "client", "'http://reviews:9080/reviews/0?n=[1-600]'")
            pages = fetch(mesh.gateway() + PAGE, 40)
            mesh.apply(rules("reviews", f"{{route: [{to.format('v3', 100)}]}}"))
            assert fetch(mesh.gateway() + PAGE, 40) == {RED: 40}
    finally:
        mesh.cli("scale", "deploy/reviews-v1", "1")
        mesh.wait_pods()
    assert set(pages) == {NO_STARS, RED}
    pods = Counter(re.findall(r'"podname":\s*"(reviews-v\d-[^"]+)"', bodies))
    assert pods.total() == 600
    assert sum(pod.startswith("reviews-v1-") for pod in pods) == 3
    red = sum(count for pod, count in pods.items() if pod.startswith("reviews-v3-"))
    assert red / 600 == pytest.approx(0.5, abs=0.1), "five deviations: once in a million runs"


# -- fault injection ------------------------------------------------------------------------------------------------


def test_the_access_log_tells_injected_faults(mesh: Mesh) -> None:
    to = "route: [{destination: {host: httpbin}}]"
    faults = f"""
      {{match: [{{uri: {{prefix: /anything/slow}}}}], fault: {{delay: {{fixedDelay: 0.1s}}}}, {to}}},
      {{match: [{{uri: {{prefix: /anything/none}}}}], fault: {{abort: {{httpStatus: 500}}}}, {to}}}, {{{to}}}"""
    paths = ("slow", "none", "else")
    with applied(mesh, rules("httpbin", faults)):
        codes = call(mesh, "client", *(f"http://httpbin:8000/anything/{path}" for path in paths))
    assert codes == ["200", "500", "200"]
    entry = re.compile(r'"GET /anything/(\w+) HTTP/1.1" (\d+) (\S+)')
    found = wait_for(lambda: one if len(one := entry.findall(log(mesh, "client"))) >= 3 else None, 60, "all in the log")
    assert sorted(found) == [("else", "200", "-"), ("none", "500", "FI"), ("slow", "200", "DI")]


# -- timeouts -------------------------------------------------------------------------------------------------------


def test_a_header_sets_the_timeout_of_one_request(mesh: Mesh) -> None:
    """Shorter or longer than the route's; and without either there is none at all, not even Envoy's 15 s."""
    header = "-H 'x-envoy-upstream-rq-timeout-ms: {}' http://httpbin:8000/delay/1"
    assert call(mesh, "client", header.format(300), "http://httpbin:8000/delay/1") == ["504", "200"]
    dump = json.loads(admin(mesh.envoy_pid("client"), "/config_dump?resource=dynamic_route_configs"))
    assert dump["configs"]
    hosts = [host for one in dump["configs"] for host in one["route_config"].get("virtual_hosts", [])]
    (own,) = [host for host in hosts if "httpbin.default.svc.cluster.local" in host["domains"]]
    assert {route["route"]["timeout"] for route in own["routes"]} == {"0s"}
    with applied(mesh, rules("httpbin", "{timeout: 0.3s, route: [{destination: {host: httpbin}}]}")):
        assert call(mesh, "client", "http://httpbin:8000/delay/1", header.format(50_000)) == ["504", "200"]


def test_a_timeout_above_the_applications_own_changes_nothing(mesh: Mesh) -> None:
    """The page waits for reviews twice 3 s, whether the route's timeout is none or 8 s."""
    delay = "{fault: {delay: {fixedDelay: 7s}}, route: [{destination: {host: ratings, subset: v1}}]}"
    slow = "{timeout: 8s, route: [{destination: {host: reviews, subset: v2}}]}"
    with applied(mesh, BOOKINFO / "all-v1.yaml"):
        mesh.apply(rules("reviews", slow), rules("ratings", delay))
        with signed_in(mesh, "anybody") as reader:
            seen, took_s = timed(reader)
    assert seen == NO_REVIEWS
    assert took_s >= 6 * EARLY


# -- circuit breaking -----------------------------------------------------------------------------------------------

LIMITS = """{
  connectionPool: {tcp: {maxConnections: 1}, http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1}},
  outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 3m, maxEjectionPercent: 100},
  tls: {mode: ISTIO_MUTUAL}}"""


def loaded(mesh: Mesh, connections: int, count: int) -> Counter[str]:
    """Status codes of `count` requests, sent one after another on each of some connections."""
    url = f"http://httpbin:8000/get?connection=$c&n=[1-{count // connections}]"
    numbers = " ".join(str(c) for c in range(connections))
    script = f"for c in {numbers}; do curl -s -o /dev/null -w '%{{http_code}}\\n' \"{url}\" & done; wait"
    found = Counter(in_pod(mesh, "client", "bash", "-c", script).split())
    assert found.total() == count
    return found


def overflowed(mesh: Mesh) -> int:
    """How often the caller's Envoy refused a request because the queue was full."""
    text = admin(mesh.envoy_pid("client"), "/stats?filter=upstream_rq_pending_overflow")
    return sum(int(line.rpartition(" ")[2]) for line in text.splitlines() if HTTPBIN_CLUSTER in line)


def test_what_exceeds_a_pool_is_refused_and_counted(mesh: Mesh) -> None:
    with applied(mesh, policy("httpbin", LIMITS)):
        before = overflowed(mesh)
        assert loaded(mesh, 1, 20) == {"200": 20}
        assert overflowed(mesh) == before
        two, three = loaded(mesh, 2, 100), loaded(mesh, 3, 300)
        refused = overflowed(mesh) - before
    assert set(two) == {"200", "503"}
    assert set(three) == {"200", "503"}
    assert three["503"] >= 90, "a large share"
    assert two["503"] + three["503"] == refused
    entries = re.compile(r'"GET /get\?connection=\S+ HTTP/1.1" 503 UO ')
    wait_for(lambda: len(entries.findall(log(mesh, "client"))) == refused, 60, "each of them in the log, with its flag")


# -- mirroring ------------------------------------------------------------------------------------------------------


def test_a_copy_goes_to_another_version_and_nobody_sees_its_answer(mesh: Mesh) -> None:
    one, two = PLACES[:2]
    subsets = f"[{{name: v1, labels: {{version: {one}}}}}, {{name: v2, labels: {{version: {two}}}}}]"
    to = "route: [{destination: {host: helloworld, subset: v1}}]"
    copy = "mirror: {host: helloworld, subset: v2}"

    (copied,) = mesh.pods(server(two))

    def sent(mark: str, copies: int) -> tuple[set[str], int, list[str]]:
        """Who answered ten requests, how many came to v1, and under which authorities to v2.

        Both logs are read once they hold the last request to each; the copies, which nobody waits for, may come later.
        """
        answers = set(body(mesh, "client", f"'{HELLO}?mark={mark}&n=[1-10]'").splitlines())
        ends = (f"'{HELLO}?end={mark}'", f"'http://{copied['status']['podIP']}:5000/hello?end={mark}-direct'")
        assert call(mesh, "client", *ends) == ["200", "200"]
        entry = re.compile(rf'"GET /hello\?mark={mark}&n=\d+ HTTP/1.1" 200 .*?"[\w-]{{36}}" "([^"]+)"')

        def logged() -> bool:
            first, second = log(mesh, server(one)), log(mesh, server(two))
            ended = f"end={mark} " in first and f"{mark}-direct" in second
            return ended and len(entry.findall(first)) >= 10 and len(entry.findall(second)) >= copies

        wait_for(logged, 60, "the last requests in both logs")
        return answers, len(entry.findall(log(mesh, server(one)))), entry.findall(log(mesh, server(two)))

    versions = policy("helloworld", "{loadBalancer: {simple: ROUND_ROBIN}}", subsets)
    with applied(mesh, versions, rules("helloworld", f"{{{to}}}")):
        answers, first, second = sent("before", 0)
        assert (first, second) == (10, [])
        assert len(answers) == 1
        assert f"version: {one}," in answers.pop()
        # Without a percentage: all.
        mesh.apply(rules("helloworld", f"{{{to}, {copy}}}"))
        answers, first, second = sent("all", 10)
        assert (first, second) == (10, ["helloworld-shadow:5000"] * 10)
        assert len(answers) == 1
        assert f"version: {one}," in answers.pop()
        mesh.apply(rules("helloworld", f"{{{to}, {copy}, mirrorPercentage: {{value: 0}}}}"))
        assert sent("none", 0)[1:] == (10, [])


# -- localities -----------------------------------------------------------------------------------------------------

OUTLIERS = "outlierDetection: {consecutive5xxErrors: 1, interval: 1s, baseEjectionTime: 1m}"


def answering(mesh: Mesh, count: int) -> Counter[str]:
    """Which places answered so many calls; what was no answer counts as `none`."""
    text = in_pod(mesh, "client", "sh", "-c", f"curl -s -m 60 -w '\\n' '{HELLO}?n=[1-{count}]'")
    lines = [line for line in text.splitlines() if line]
    places = [re.search(r"version: (\S+),", line) for line in lines]
    return Counter(place[1] if place else "none" for place in places)


def test_calls_are_shared_among_places_by_the_rule(mesh: Mesh) -> None:
    shares = "from: region1/zone1/*, to: {'region1/zone1/*': 70, 'region1/zone2/*': 20, 'region3/zone4/*': 10}"
    with applied(mesh, policy("helloworld", f"{{loadBalancer: {{localityLbSetting: {{distribute: [{{{shares}}}]}}}}, "
                                            f"{OUTLIERS}}}")):  # fmt: skip
        found = answering(mesh, 800)
    assert set(found) == {PLACES[0], PLACES[1], PLACES[3]}, found
    for place, share in ((PLACES[0], 0.7), (PLACES[1], 0.2), (PLACES[3], 0.1)):
        assert found[place] / 800 == pytest.approx(share, abs=0.1), found


FAILOVER = """{
  connectionPool: {http: {maxRequestsPerConnection: 1}},
  loadBalancer: {simple: ROUND_ROBIN, localityLbSetting: {enabled: true, failover: [{from: region1, to: region2}]}}
  %s}"""


def test_without_ejection_no_place_comes_before_another(mesh: Mesh) -> None:
    with applied(mesh, policy("helloworld", FAILOVER % "")):
        assert set(answering(mesh, 40)) == set(PLACES)


def test_places_take_over_in_order_as_their_servers_are_drained(mesh: Mesh) -> None:
    """The drained pods are not ready any more, so that the endpoints of the next place are all that is left."""
    client = mesh.envoy_pid("client")
    with applied(mesh, policy("helloworld", FAILOVER % f", {OUTLIERS}")):
        assert priorities(admin(client, "/config_dump?include_eds")) == dict(zip(PLACES, range(4), strict=True))
        assert answering(mesh, 20) == {PLACES[0]: 20}
        for drained, nearest in pairwise(PLACES):
            admin(mesh.envoy_pid(server(drained)), "/drain_listeners", method="POST")
            # The first calls may meet the closed port.
            wait_for(partial(answers_from, mesh, nearest), 60, f"{nearest} takes over")
            assert answering(mesh, 20) == {nearest: 20}
    for place in PLACES[:3]:
        mesh.cli("restart", f"deploy/{server(place)}")
    mesh.wait_pods()


def answers_from(mesh: Mesh, place: str) -> bool:
    """True if a call is answered from a place."""
    return answering(mesh, 1) == {place: 1}


def priorities(dump: str) -> dict[str, int]:
    """The priority of each place in what an Envoy has as helloworld's endpoints."""
    assignments = [
        one["endpoint_config"]
        for part in json.loads(dump)["configs"]
        for one in part.get("dynamic_endpoint_configs", [])
        if "helloworld" in one["endpoint_config"]["cluster_name"]
    ]
    (assignment,) = assignments
    return {
        f"{group['locality']['region']}.{group['locality']['zone']}": group.get("priority", 0)
        for group in assignment["endpoints"]
    }
