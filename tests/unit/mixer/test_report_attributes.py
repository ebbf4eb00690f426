"""What a record becomes: the forms of values, both reporters, and whom it believes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any

import pytest

from argosy.core.frozen import FrozenMap
from argosy.core.names import PROXY_VERSION
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import ServiceRef
from argosy.mixer.access_record import AccessRecord, Address, ConnectionEvent
from argosy.mixer.attributes import VOCABULARY
from argosy.mixer.report_attributes import ByteDeltas, is_constant, report_attributes, workload_attributes

from .mesh import PODS, TRUST, node
from .reports import START, bag, connection, http_part, inbound, outbound, shown


def test_every_attribute_is_one_of_the_vocabulary() -> None:
    for made in (bag(inbound()), bag(outbound()), bag(connection(ConnectionEvent.CLOSE, 1, 2))):
        assert set(made) <= set(VOCABULARY)


def test_the_server_reports_whom_the_certificate_names() -> None:
    made = bag(inbound())
    assert shown(made, ("source.uid", "source.principal", "source.owner", "source.workload.uid", "source.ip")) == {
        "source.uid": "kubernetes://productpage-v1-x.default",
        "source.principal": "cluster.local/ns/default/sa/bookinfo-productpage",
        "source.owner": "kubernetes://apis/apps/v1/namespaces/default/deployments/productpage-v1",
        "source.workload.uid": "istio://default/workloads/productpage-v1",
        "source.ip": ip_address("10.88.0.2"),
    }
    assert shown(made, ("destination.uid", "destination.service.uid", "destination.principal", "destination.port")) == {
        "destination.uid": "kubernetes://reviews-v2-x.default",
        "destination.service.uid": "istio://default/services/reviews",
        "destination.principal": "cluster.local/ns/default/sa/bookinfo-reviews",
        "destination.port": 9080,
    }
    assert made["connection.mtls"] is True
    assert made["context.reporter.kind"] == "inbound"


def test_the_client_reports_whose_address_was_dialled() -> None:
    made = bag(outbound())
    assert shown(made, ("source.workload.name", "destination.workload.name", "destination.ip")) == {
        "source.workload.name": "productpage-v1",
        "destination.workload.name": "reviews-v2",
        "destination.ip": ip_address("10.88.0.4"),
    }
    assert made["context.reporter.kind"] == "outbound"
    assert made["source.principal"] == "cluster.local/ns/default/sa/bookinfo-productpage"


def test_a_gateway_names_itself_as_the_source_and_its_caller_as_the_principal() -> None:
    caller = f"{TRUST}/default/sa/sleep"
    made = bag(outbound(node=node("istio-ingressgateway", "istio-system"), peer_principal=caller))
    assert shown(made, ("source.workload.name", "source.principal", "source.user")) == {
        "source.workload.name": "istio-ingressgateway",
        "source.principal": "cluster.local/ns/default/sa/sleep",
        "source.user": "cluster.local/ns/default/sa/sleep",
    }


def test_a_pod_whose_identity_is_another_is_not_believed() -> None:
    made = bag(inbound(peer_principal=f"{TRUST}/default/sa/somebody", peer_workload=""))
    assert "source.workload.name" not in made
    assert made["source.principal"] == "cluster.local/ns/default/sa/somebody"


def test_without_mutual_tls_nobody_has_a_principal() -> None:
    made = bag(inbound(peer_principal="", peer_workload="", local_principal=""))
    assert made["connection.mtls"] is False
    assert shown(made, ("source.principal", "destination.principal", "source.user")) == {
        "source.principal": None,
        "destination.principal": None,
        "source.user": None,
    }
    assert made["source.workload.name"] == "productpage-v1"


def test_a_call_that_reached_nobody_belongs_to_the_namespace_that_was_called() -> None:
    made = bag(outbound(upstream_remote=Address(), upstream_principal="", flags=("UH",), http=http_part(code=503)))
    assert made["destination.namespace"] == "default"
    assert "destination.workload.name" not in made
    assert made["context.proxy_error_code"] == "UH"
    assert made["response.code"] == 503


def test_requests_have_sizes_times_and_headers() -> None:
    made = bag(inbound())
    assert shown(made, ("response.size", "response.total_size", "request.total_size", "response.duration")) == {
        "response.size": 295,
        "response.total_size": 345,
        "request.total_size": 100,
        "response.duration": timedelta(milliseconds=919.4),
    }
    assert made["request.time"] == datetime.fromtimestamp(START, UTC)
    assert made["request.query_params"] == {"a": "1", "b": ""}
    assert made["request.url_path"] == "/reviews/0"
    assert made["request.headers"] == {"end-user": "jason", "user-agent": "curl/8", "x-request-id": "00000010-aaaa"}
    assert made["context.proxy_error_code"] == "-"


def test_grpc_is_told_by_its_content_type() -> None:
    http = http_part(request_headers=FrozenMap({"content-type": "application/grpc"}), grpc_status=5)
    made = bag(inbound(http=http))
    assert shown(made, ("context.protocol", "api.protocol", "response.grpc_status")) == {
        "context.protocol": "grpc",
        "api.protocol": "grpc",
        "response.grpc_status": "5",
    }


def test_connections_have_what_was_new_and_all_so_far() -> None:
    made = bag(connection(ConnectionEvent.CONTINUE, 30, 70), received=10, sent=20)
    names = ("context.protocol", "connection.event", "connection.received.bytes", "connection.sent.bytes_total")
    assert shown(made, (*names, "connection.duration", "response.code")) == {
        "context.protocol": "tcp",
        "connection.event": "continue",
        "connection.received.bytes": 10,
        "connection.sent.bytes_total": 70,
        "connection.duration": None,
        "response.code": None,
    }
    closed = bag(connection(ConnectionEvent.CLOSE, 30, 70))
    assert closed["connection.duration"] == timedelta(seconds=0.9194)


def test_tokens_and_tried_policies_come_from_metadata() -> None:
    claims = FrozenMap({"iss": "me", "sub": "you", "aud": ("a", "b"), "azp": "app", "n": 3})
    metadata = FrozenMap(
        {
            "envoy.filters.http.jwt_authn": FrozenMap({"payload": claims}),
            "envoy.filters.http.rbac": FrozenMap(
                {"dry_run_deny_shadow_engine_result": "denied", "dry_run_deny_shadow_effective_policy_id": "p"}
            ),
        }
    )
    made = bag(inbound(metadata=metadata))
    assert made["request.auth.principal"] == "me/you"
    assert made["request.auth.claims"] == {"iss": "me", "sub": "you", "aud": "a,b", "azp": "app"}
    assert made["request.auth.raw_claims"] == '{"aud":["a","b"],"azp":"app","iss":"me","n":3,"sub":"you"}'
    assert made["rbac.permissive.response_code"] == "denied"
    assert made["rbac.permissive.effective_policy_id"] == "p"


ROLE_RULE = "ns[shop]-role[viewer]-binding[bind]-rule[1]"


@pytest.mark.parametrize(
    ("notes", "code", "policy"),
    [
        ({"dry_run_allow": ("allowed", ROLE_RULE)}, "allowed", "viewer"),
        ({"dry_run_allow": ("denied", "")}, "denied", None),
        ({"dry_run_allow": ("allowed", "ns[shop]-binding[own]-rule[0]")}, "allowed", "own"),
        ({"dry_run_allow": ("allowed", "ns[a]-role[/root]-binding[b]-rule[0]")}, "allowed", "root"),
        ({"dry_run_allow": ("allowed", "ns[a]-policy[p]-rule[0]")}, "allowed", "ns[a]-policy[p]-rule[0]"),
        ({"dry_run_deny": ("allowed", ""), "dry_run_allow": ("allowed", ROLE_RULE)}, "allowed", "viewer"),
        ({"dry_run_deny": ("denied", "no"), "dry_run_allow": ("allowed", ROLE_RULE)}, "denied", "no"),
        # What is only noted, or asked about, would change nothing.
        ({"audit": ("denied", "x"), "custom_p": ("denied", "y")}, None, None),
    ],
)
def test_what_is_only_tried_is_told_as_1_4_told_it(
    notes: dict[str, tuple[str, str]], code: str | None, policy: str | None
) -> None:
    found = {}
    for name, (result, rule) in notes.items():
        found[f"{name}_shadow_engine_result"] = result
        if rule:
            found[f"{name}_shadow_effective_policy_id"] = rule
    made = bag(inbound(metadata=FrozenMap({"envoy.filters.http.rbac": FrozenMap(found)})))
    assert made.get("rbac.permissive.response_code") == code
    assert made.get("rbac.permissive.effective_policy_id") == policy
    tcp = replace(
        connection(ConnectionEvent.CLOSE, 1, 2), metadata=FrozenMap({"envoy.filters.network.rbac": FrozenMap(found)})
    )
    assert bag(tcp).get("rbac.permissive.response_code") == code


def test_the_container_is_the_one_that_listens() -> None:
    made = bag(inbound(node=node("nobody")))
    assert "destination.container.name" not in made
    assert made["destination.namespace"] == "default"


def test_constant_attributes_are_those_of_the_workload() -> None:
    known = workload_attributes(PODS[0], "source")
    assert known["context.reporter.kind"] == "outbound"
    assert all(is_constant("source", name) for name in known)
    assert not is_constant("source", "source.ip")
    assert not is_constant("source", "destination.labels")


def checked(**note: Any) -> FrozenMap[str, Any]:
    return FrozenMap({"envoy.filters.http.ext_authz": {"argosy.check": note}})


CHECK = ("check.error_code", "check.error_message", "check.cache_hit", "quota.cache_hit")


@pytest.mark.parametrize(
    "record, told",
    [
        (inbound(), (None, None, None, None)),
        (inbound(metadata=checked(code=0, message="", kept=True, charged=False)), (None, None, True, None)),
        (inbound(metadata=checked(code=7.0, message="no", kept=False, charged=False)), (7, "no", False, None)),
        (inbound(metadata=checked(code=8.0, message="spent", kept=False, charged=True)), (8, "spent", False, False)),
        (
            inbound(route="refusal 0003 default/deny", http=http_part(code=403)),
            (7, "refused by rule default/deny", True, None),
        ),
        (
            inbound(route="refusal 0003 default/deny", http=http_part(code=200, grpc_status=16)),
            (16, "refused by rule default/deny", True, None),
        ),
        (inbound(route="default", http=http_part(code=403)), (None, None, None, None)),
        (
            connection(ConnectionEvent.CLOSE, 1, 2, metadata=FrozenMap({"envoy.filters.network.ext_authz": {
                "argosy.check": {"code": 7.0, "message": "no", "kept": False, "charged": False}}})),
            (7, "no", False, None),
        ),
    ],
)  # fmt: skip
def test_what_came_of_the_check_is_reported(record: AccessRecord, told: tuple[Any, ...]) -> None:
    assert tuple(shown(bag(record), CHECK).values()) == told


@pytest.mark.parametrize(
    "changes, code",
    [
        ({"metadata": checked(code=7.0, message="no", kept=False, charged=False)}, 403),
        ({"route": "refusal 0003 default/deny"}, 403),
        ({"metadata": checked(code=0, message="", kept=True, charged=False)}, 200),
        ({}, 200),
    ],
)
def test_a_refused_call_of_grpc_has_the_code_that_others_get(changes: dict[str, Any], code: int) -> None:
    made = bag(inbound(http=http_part(code=200, grpc_status=7), **changes))
    assert (made["response.code"], made["response.grpc_status"]) == (code, "7")


def test_the_services_of_the_source_are_those_that_lead_to_its_pod() -> None:
    hosts = [f"{name}.default.svc.cluster.local" for name in ("page", "all", "reviews")]
    services = [ServiceRef(host, host.partition(".")[0], "default") for host in hosts]
    selectors = {hosts[0]: {"app": "productpage"}, hosts[1]: {"version": "v1"}, hosts[2]: {"app": "reviews"}}
    directory = MeshDirectory(PODS, services, selectors)
    for record in (inbound(), outbound()):
        made = report_attributes(record, ByteDeltas(), directory)
        assert made["source.services"] == f"{hosts[1]},{hosts[0]}"
    assert "source.services" not in bag(inbound())
    assert bag(inbound())["context.proxy_version"] == PROXY_VERSION
