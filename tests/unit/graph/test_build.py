"""Flows to graph."""

from dataclasses import replace

import pytest

from argosy.flow.record import FlowCounters, FlowKey, FlowWindow, Outcome
from argosy.flow.workload import UNKNOWN, ServiceRef
from argosy.graph.build import GraphOptions, GraphType, build_graph
from argosy.graph.model import Edge, Graph, Health, NodeKind

from .bookinfo import DETAILS, INGRESS, LEGACY, OK, PRODUCTPAGE, REVIEWS, bookinfo_window, both_sides, latency, service

DETAILS_HOST = "details.default.svc.cluster.local"


def graph(*flows: tuple[FlowKey, FlowCounters], options: GraphOptions = GraphOptions()) -> Graph:
    return build_graph(FlowWindow(10.0, 100.0, flows), options)


def only_edge(found: Graph) -> Edge:
    (edge,) = found.edges
    return edge


def test_a_call_reported_by_both_sides_is_counted_once() -> None:
    edge = only_edge(graph(*both_sides(PRODUCTPAGE, DETAILS, service("details"), 2, 10)))
    assert (edge.rps, edge.rps_source, edge.rps_destination) == (12, 12, 12)
    assert (edge.source, edge.target) == ("default/productpage/v1", "default/details/v1")
    assert (edge.mtls, edge.notes, edge.health) == (1.0, (), Health.HEALTHY)
    assert edge.p95_ms is not None
    assert edge.services == (DETAILS_HOST,)


@pytest.mark.parametrize(
    "outcome, why",
    [
        (OK, "is no pod of the mesh"),
        (Outcome("503", "-", ""), "is no pod"),
        (Outcome("503", "UH", ""), "reached no pod"),
    ],
)
def test_a_service_without_pods_that_answers_is_not_said_to_reach_nobody(outcome: Outcome, why: str) -> None:
    """Addresses of Endpoints, such as the console's. What a flag marks is an answer of the caller's proxy."""
    [node] = [
        node
        for node in graph((FlowKey("source", INGRESS, UNKNOWN, service("console")), FlowCounters({outcome: 5}))).nodes
        if node.kind is NodeKind.SERVICE
    ]
    assert why in node.why


def test_the_callers_report_wins_since_it_knows_what_never_arrived() -> None:
    flows = [
        (
            FlowKey("source", PRODUCTPAGE, DETAILS, service("details")),
            FlowCounters({OK: 80, Outcome("503", "UC", ""): 20}),
        ),
        (
            FlowKey("destination", PRODUCTPAGE, DETAILS, service("details"), security="mutual_tls"),
            FlowCounters({OK: 80}),
        ),
    ]
    edge = only_edge(graph(*flows))
    assert (edge.rps, edge.rps_destination, edge.mtls, edge.health) == (10, 8, 1.0, Health.FAILURE)


def test_the_receiver_decides_the_share_of_mutual_tls() -> None:
    flows = [
        (FlowKey("destination", PRODUCTPAGE, DETAILS, security=security), FlowCounters({OK: count}))
        for security, count in (("mutual_tls", 30), ("none", 10))
    ]
    edge = only_edge(graph(*flows))
    assert (edge.mtls, edge.plaintext) == (0.75, True)
    assert edge.notes == (
        "Only the receiving side reports: the caller's proxy called for itself (a limit), or was gone around.",
    )


def test_a_caller_without_sidecar_is_named_and_marked() -> None:
    found = graph((FlowKey("destination", LEGACY, DETAILS, security="none"), FlowCounters({OK: 8})))
    node = next(node for node in found.nodes if node.namespace == "legacy")
    assert (node.name, node.sidecar) == ("sleep", False)
    assert "without a sidecar" in node.why
    assert only_edge(found).mtls == 0
    assert "The caller has no sidecar" in only_edge(found).notes[0]


def test_an_unknown_plaintext_caller_is_named_by_its_address() -> None:
    found = graph(
        (FlowKey("destination", UNKNOWN, DETAILS, security="none", source_address="10.88.0.9"), FlowCounters({OK: 8}))
    )
    node = next(node for node in found.nodes if node.kind is NodeKind.UNKNOWN)
    assert (node.id, node.name, node.address) == ("unknown/10.88.0.9", "unknown", "10.88.0.9")
    assert "plaintext" in node.why


def test_requests_that_reached_no_endpoint_end_at_the_service() -> None:
    failed = FlowCounters({Outcome("503", "UH", ""): 5})
    found = graph((FlowKey("source", PRODUCTPAGE, UNKNOWN, service("reviews")), failed))
    assert [(n.kind, n.name) for n in found.nodes if n.kind is not NodeKind.APP] == [(NodeKind.SERVICE, "reviews")]
    assert only_edge(found).mtls is None
    assert only_edge(found).health is Health.FAILURE


@pytest.mark.parametrize(
    "called, kind",
    [
        (ServiceRef("", "PassthroughCluster"), NodeKind.PASSTHROUGH),
        (ServiceRef("", "BlackHoleCluster"), NodeKind.BLACKHOLE),
        (ServiceRef("api.example.com", "api.example.com"), NodeKind.EXTERNAL),
        (ServiceRef(), NodeKind.UNKNOWN),
    ],
)
def test_destinations_that_are_no_workload_say_what_they_are(called: ServiceRef, kind: NodeKind) -> None:
    found = graph((FlowKey("source", PRODUCTPAGE, UNKNOWN, called), FlowCounters({OK: 5})))
    node = next(node for node in found.nodes if node.kind is kind)
    assert node.why


def test_only_the_calling_side_reports_is_marked() -> None:
    found = graph((FlowKey("source", PRODUCTPAGE, DETAILS), FlowCounters({Outcome("503", "UF", ""): 5})))
    assert only_edge(found).notes[0].startswith("Only the calling side reports")


def test_versions_of_an_app_share_a_box() -> None:
    nodes = build_graph(bookinfo_window()).nodes
    assert {n.version for n in nodes if n.box == "default/reviews"} == {"v1", "v2", "v3"}


def test_gateways_are_gateways() -> None:
    found = graph(*both_sides(INGRESS, PRODUCTPAGE, service("productpage"), 1, 5))
    assert {n.kind for n in found.nodes} == {NodeKind.GATEWAY, NodeKind.APP}


def test_a_namespace_filter_keeps_edges_that_touch_it() -> None:
    found = build_graph(bookinfo_window(), GraphOptions(frozenset({"legacy"})))
    assert [edge.source for edge in found.edges] == ["legacy/sleep/sleep"]
    assert found.namespaces == ("default", "istio-system", "legacy")


def test_service_nodes_split_each_call_and_lose_nothing() -> None:
    plaintext = (FlowKey("destination", LEGACY, DETAILS, service("details"), security="none"), FlowCounters({OK: 120}))
    found = graph(
        *both_sides(PRODUCTPAGE, DETAILS, service("details"), 1, 5), plaintext, options=GraphOptions(service_nodes=True)
    )
    rates = {(edge.source, edge.target): edge.rps for edge in found.edges}
    assert rates == {
        ("default/productpage/v1", f"service/{DETAILS_HOST}"): 6,
        ("legacy/sleep/sleep", f"service/{DETAILS_HOST}"): 12,
        (f"service/{DETAILS_HOST}", "default/details/v1"): 18,
    }


def test_flows_without_traffic_draw_nothing() -> None:
    found = graph((FlowKey("source", PRODUCTPAGE, DETAILS), FlowCounters(latency=latency(5, 0))))
    assert (found.nodes, found.edges) == ((), ())


def test_tcp_counts_bytes_and_connections() -> None:
    counters = FlowCounters(sent_bytes=1000, received_bytes=500, opened=20)
    edge = only_edge(
        graph((FlowKey("source", PRODUCTPAGE, REVIEWS[0], protocol="tcp", security="mutual_tls"), counters))
    )
    assert (edge.sent_bps, edge.received_bps, edge.connections_ps, edge.mtls) == (100, 50, 2, 1.0)
    assert edge.health is Health.HEALTHY


def test_a_call_by_address_is_drawn_to_its_pod_and_says_so() -> None:
    through = ServiceRef(name="PassthroughCluster")
    edge = only_edge(
        graph(
            (FlowKey("source", PRODUCTPAGE, DETAILS, through), FlowCounters({OK: 10})),
            (
                FlowKey("destination", PRODUCTPAGE, DETAILS, service("details"), security="mutual_tls"),
                FlowCounters({OK: 10}),
            ),
        )
    )
    assert (edge.target, edge.rps, edge.services) == ("default/details/v1", 1.0, (DETAILS_HOST,))
    (note,) = edge.notes
    assert "called the pod's address" in note
    assert "Call the service's name" in note


def test_tcp_connections_that_reached_nobody_are_failures() -> None:
    hole = FlowKey("source", PRODUCTPAGE, service=ServiceRef(name="BlackHoleCluster"), protocol="tcp")
    edge = only_edge(graph((hole, FlowCounters(opened=4, closed=4, failed=4))))
    assert (edge.failed, edge.health) == (1.0, Health.FAILURE)
    assert edge.notes == ("All of the connections were refused or reached nobody.",)


def test_a_failure_that_only_the_receiver_knows_of_counts() -> None:
    keys = [FlowKey(side, PRODUCTPAGE, DETAILS, protocol="tcp") for side in ("source", "destination")]
    counters = [FlowCounters(opened=40, closed=40), FlowCounters(opened=40, closed=40, failed=1)]
    edge = only_edge(graph(*zip(keys, counters, strict=True)))
    assert (edge.failed, edge.health) == (0.025, Health.DEGRADED)


@pytest.mark.parametrize(
    "key",
    [
        FlowKey("destination", destination=DETAILS, security="none", source_address="10.9.8.7"),
        FlowKey("destination", destination=DETAILS),
        FlowKey("source", PRODUCTPAGE),
        FlowKey("source", PRODUCTPAGE, service=service("nobody")),
        FlowKey("source", PRODUCTPAGE, service=ServiceRef("www.example.com", "www.example.com", "default")),
        *(
            FlowKey("source", PRODUCTPAGE, service=ServiceRef(name=name))
            for name in ("PassthroughCluster", "InboundPassthroughCluster", "BlackHoleCluster")
        ),
        FlowKey("destination", LEGACY, DETAILS, security="none"),
    ],
)
def test_nothing_unknown_is_without_a_reason(key: FlowKey) -> None:
    found = graph((key, FlowCounters({OK: 1})))
    known = {"default/productpage/v1", "default/details/v1"}
    assert all(node.why.endswith(".") for node in found.nodes if node.id not in known)
    assert any(node.why for node in found.nodes)


def names(found: Graph) -> set[tuple[str, str]]:
    return {(edge.source, edge.target) for edge in found.edges}


def test_the_four_types_of_graph_differ_in_what_a_node_is() -> None:
    flows = [
        *both_sides(PRODUCTPAGE, REVIEWS[0], service("reviews"), 2, 6),
        *both_sides(PRODUCTPAGE, REVIEWS[1], service("reviews"), 3, 3),
    ]
    of = {type_: graph(*flows, options=GraphOptions(type=type_)) for type_ in GraphType}
    versions = [f"default/reviews/{one.version}" for one in REVIEWS[:2]]
    assert names(of[GraphType.VERSIONED_APP]) == {("default/productpage/v1", one) for one in versions}
    assert names(of[GraphType.APP]) == {("default/productpage", "default/reviews")}
    workloads = [f"default/{one.name}" for one in REVIEWS[:2]]
    assert names(of[GraphType.WORKLOAD]) == {(f"default/{PRODUCTPAGE.name}", one) for one in workloads}
    hosts = [f"service/{name}.default.svc.cluster.local" for name in ("productpage", "reviews")]
    assert names(of[GraphType.SERVICE]) == {(hosts[0], hosts[1])}
    for type_, found in of.items():
        assert sum(edge.rps for edge in found.edges) == pytest.approx(30), type_
        assert all(edge.p95_ms is not None for edge in found.edges), type_
        assert len({node.id for node in found.nodes}) == len(found.nodes), type_
    assert not any(node.box or node.version for node in of[GraphType.APP].nodes)


def test_a_service_has_one_node_whether_it_is_reached_or_not() -> None:
    lost = (FlowKey("source", PRODUCTPAGE, service=service("details")), FlowCounters({Outcome("503", "UH", ""): 5}))
    calls = both_sides(PRODUCTPAGE, DETAILS, service("details"), 1, 5)
    for options in (GraphOptions(type=GraphType.SERVICE), GraphOptions(service_nodes=True)):
        found = graph(*calls, lost, options=options)
        assert len({node.id for node in found.nodes}) == len(found.nodes)
        assert {edge.rps for edge in found.edges if edge.target.startswith("service/details")} == {6.5}
    (edge,) = graph(*calls, lost, options=GraphOptions(type=GraphType.SERVICE)).edges
    assert edge.health is Health.DEGRADED


def test_an_app_is_without_sidecar_if_all_of_its_workloads_are() -> None:
    bare = replace(REVIEWS[1], sidecar=False)
    flows = [
        (FlowKey("source", PRODUCTPAGE, one, service("reviews")), FlowCounters({OK: 1})) for one in (REVIEWS[0], bare)
    ]
    app = GraphOptions(type=GraphType.APP)
    assert [node.sidecar for node in graph(*flows, options=app).nodes if node.name == "reviews"] == [True]
    assert [node.sidecar for node in graph(flows[1], options=app).nodes if node.name == "reviews"] == [False]
