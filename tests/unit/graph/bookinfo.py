"""Synthetic flows of a busy Bookinfo mesh: what the graph's tests and the page's screenshot draw."""

from __future__ import annotations

from bisect import bisect_left

from argosy.core.frozen import FrozenMap
from argosy.flow.histogram import BOUNDS, Histogram
from argosy.flow.record import FlowCounters, FlowKey, FlowWindow, Outcome
from argosy.flow.workload import NO_SERVICE, UNKNOWN, ServiceRef, WorkloadRef, workload_ref

SECONDS = 60.0
OK = Outcome("200", "-", "")


def workload(app: str, version: str = "v1", namespace: str = "default", *, sidecar: bool = True) -> WorkloadRef:
    labels = FrozenMap({"app": app, "version": version} if version else {"app": app})
    return workload_ref(namespace, f"{app}-{version}" if version else app, labels, sidecar=sidecar)


def service(name: str, namespace: str = "default") -> ServiceRef:
    return ServiceRef(f"{name}.{namespace}.svc.cluster.local", name, namespace)


INGRESS = workload_ref(
    "istio-system", "istio-ingressgateway", FrozenMap({"app": "istio-ingressgateway", "istio": "ingressgateway"})
)
PRODUCTPAGE, DETAILS, RATINGS = workload("productpage"), workload("details"), workload("ratings")
REVIEWS = tuple(workload("reviews", version) for version in ("v1", "v2", "v3"))
LEGACY = workload("sleep", "", "legacy", sidecar=False)


def latency(bound: float, count: float) -> Histogram:
    found = Histogram()
    counts = [0.0] * (len(BOUNDS) + 1)
    for limit, share in ((bound, 0.9), (bound * 4, 0.1)):
        counts[bisect_left(BOUNDS, limit)] += count * share
    found.add_counts(counts, count=count, total=bound * count * 0.7)
    return found


def both_sides(
    source: WorkloadRef, target: WorkloadRef, called: ServiceRef, rps: float, ms: float, **outcomes: float
) -> list[tuple[FlowKey, FlowCounters]]:
    """A meshed call as both proxies report it; `outcomes` are shares by `code_<code>`, the rest is 200."""
    count = rps * SECONDS
    requests = {Outcome(code[5:], "-", ""): count * share for code, share in outcomes.items()}
    requests[OK] = count - sum(requests.values())
    return [
        (
            FlowKey(reporter, source, target, called, "http", "mutual_tls"),
            FlowCounters(dict(requests), latency(ms, count), request_bytes=count * 120, response_bytes=count * 900),
        )
        for reporter in ("source", "destination")
    ]


def bookinfo_window() -> FlowWindow:
    """Two minutes into a demo: reviews v3 fails now and then, somebody calls without a sidecar, one host is unknown."""
    flows = [
        *both_sides(INGRESS, PRODUCTPAGE, service("productpage"), 12.4, 50),
        *both_sides(PRODUCTPAGE, DETAILS, service("details"), 12.4, 5),
        *both_sides(PRODUCTPAGE, REVIEWS[0], service("reviews"), 4.2, 10),
        *both_sides(PRODUCTPAGE, REVIEWS[1], service("reviews"), 4.1, 25),
        *both_sides(PRODUCTPAGE, REVIEWS[2], service("reviews"), 4.1, 25, code_503=0.04),
        *both_sides(REVIEWS[1], RATINGS, service("ratings"), 4.1, 5),
        *both_sides(REVIEWS[2], RATINGS, service("ratings"), 4.1, 5, code_403=0.5),
        (
            FlowKey("destination", LEGACY, DETAILS, service("details"), "http", "none"),
            FlowCounters({OK: 0.8 * SECONDS}, latency(5, 48)),
        ),
        (
            FlowKey("destination", UNKNOWN, PRODUCTPAGE, service("productpage"), "http", "none", "10.88.0.9"),
            FlowCounters({OK: 0.2 * SECONDS}, latency(50, 12)),
        ),
        (
            FlowKey("source", DETAILS, UNKNOWN, ServiceRef("www.googleapis.com", "www.googleapis.com", "default")),
            FlowCounters({OK: 1.5 * SECONDS}, latency(100, 90)),
        ),
        (
            FlowKey("source", RATINGS, workload("mysqldb"), service("mysqldb"), "tcp", "mutual_tls"),
            FlowCounters(sent_bytes=180_000, received_bytes=64_000, opened=60, closed=59),
        ),
        (
            FlowKey("source", RATINGS, UNKNOWN, ServiceRef("", "PassthroughCluster", "")),
            FlowCounters({Outcome("0", "UF", ""): 3.0}),
        ),
    ]
    return FlowWindow(SECONDS, 1_700_000_000.0, tuple(flows))


__all__ = ["NO_SERVICE", "bookinfo_window", "both_sides", "service", "workload"]
