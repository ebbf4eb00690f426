"""Inbound listeners and routes: what is a connection's affair, and what is a request's."""

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.envoy import api
from argosy.envoy.refusal import Refusal
from argosy.pilot.build.authz import Authorization
from argosy.pilot.build.inbound import InboundContext, InboundPort, Speaks, build_inbound_listener, build_inbound_route
from argosy.pilot.build.refusals import AGAIN, CONDITIONS
from argosy.pilot.checking import ASLEEP, Checking, Concern
from argosy.pilot.mesh import MeshSettings

PORT = InboundPort(8080, Speaks.HTTP, "web.default.svc.cluster.local", "PERMISSIVE", http1=True)
JWT = "envoy.filters.http.jwt_authn"
DENY, ALLOW, CHECK = "envoy.filters.http.rbac.deny", "envoy.filters.http.rbac.allow", "envoy.filters.http.ext_authz"
OPEN, ANSWERS = "argosy.check.open", "argosy.check.answers"


def policy(action: str) -> Any:
    text = f"""
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {action.lower()}, namespace: default}}
spec: {{action: {action}, rules: [{{from: [{{source: {{principals: [cluster.local/ns/default/sa/a]}}}}]}}]}}
"""
    return decode_object(parse_documents(text)[0])


def chains(*policies: Any) -> dict[str, Any]:
    context = InboundContext(
        authorization=Authorization(policies), mode="PERMISSIVE", settings=MeshSettings(access_log=False)
    )
    made = api.decode("envoy.config.listener.v3.Listener", build_inbound_listener([PORT], context).body or b"")
    return {chain["name"]: chain for chain in api.to_dict(made)["filter_chains"]}


def settings(*policies: Any, checking: Checking = ASLEEP) -> dict[str, Any]:
    made = build_inbound_route(PORT, Authorization(policies), checking=checking)
    assert [ref.name for ref in made.requires] == ["inbound|8080||"]
    (host,) = api.to_dict(api.decode("envoy.config.route.v3.RouteConfiguration", made.body or b""))["virtual_hosts"]
    found: dict[str, Any] = host.get("typed_per_filter_config", {})
    return found


def test_a_policy_changes_the_routes_of_an_http_port_and_not_its_chains() -> None:
    """Connections of a changed chain would go on under the old policy until they are drained."""
    without, with_both = chains(), chains(policy("DENY"), policy("ALLOW"))
    for name in ("8080-mtls", "8080-plaintext"):
        assert without[name] == with_both[name]
    # What is not HTTP can only be judged as a connection.
    assert without["other-mtls"] != with_both["other-mtls"]
    assert settings() == {}
    assert set(settings(policy("DENY"))) == {DENY}
    assert set(settings(policy("DENY"), policy("ALLOW"))) == {DENY, ALLOW}


def test_messages_are_counted_where_a_call_of_grpc_can_succeed() -> None:
    """The counter costs every request, so it sleeps at ports that are called by HTTP/1."""
    for http1 in (True, False):
        port = InboundPort(8080, Speaks.HTTP, "web", "PERMISSIVE", http1=http1)
        route = build_inbound_route(port, Authorization(())).body or b""
        (host,) = api.decode("envoy.config.route.v3.RouteConfiguration", route).virtual_hosts
        assert ("envoy.filters.http.grpc_stats" in host.typed_per_filter_config) is not http1
        context = InboundContext(authorization=Authorization(()), mode="PERMISSIVE", settings=MeshSettings())
        made = api.decode("envoy.config.listener.v3.Listener", build_inbound_listener([port], context).body or b"")
        text = str(api.to_dict(made))
        assert ("istio_request_messages_total" in text) is not http1


@pytest.mark.parametrize("speaks,refused", [(Speaks.AUTO, True), (Speaks.TCP, False), (Speaks.HTTP, False)])
def test_where_tokens_count_what_is_not_http_is_refused_on_ports_that_are_detected(
    speaks: Speaks, refused: bool
) -> None:
    """Bytes before a request would make it a connection that nobody asks for a token."""
    found = set()
    for requests_only in (False, True):
        context = InboundContext(
            authorization=Authorization(()), mode="PERMISSIVE", settings=MeshSettings(), requests_only=requests_only
        )
        port = InboundPort(8080, speaks, "web", "PERMISSIVE")
        made = api.decode("envoy.config.listener.v3.Listener", build_inbound_listener([port], context).body or b"")
        for chain in api.to_dict(made)["filter_chains"]:
            if "argosy-tokens-need-http" in str(chain["filters"][0]):
                assert requests_only
                found.add(chain["name"])
    assert found == ({"8080-mtls-tcp", "8080-plaintext-tcp", "8080-own-tls"} if refused else set())


def test_deny_is_asked_before_allow_and_mixer_last() -> None:
    (manager,) = chains()["8080-mtls"]["filters"]
    filters = manager["typed_config"]["http_filters"]
    noting = [f"envoy.filters.http.rbac.{name}" for name in ("audit", "dry_run_deny", "dry_run_allow")]
    last = [f"envoy.filters.http.{name}" for name in ("grpc_stats", "router")]
    assert [one["name"] for one in filters] == [
        JWT,
        *noting,
        DENY,
        ALLOW,
        CONDITIONS,
        AGAIN,
        CHECK,
        OPEN,
        ANSWERS,
        *last,
    ]
    # All that judge requests sleep until a route wakes them.
    assert [one.get("disabled", False) for one in filters] == [False] + [True] * 11 + [False]


def test_only_a_checked_route_wakes_the_question_to_mixer_and_names_the_service() -> None:
    assert CHECK not in settings(policy("DENY"))
    for fail_open, name in ((False, CHECK), (True, OPEN)):
        found = settings(checking=Checking(Concern(http=True), fail_open))
        assert set(found) == {name}
        extensions = found[name]["check_settings"]["context_extensions"]
        told = {"argosy.fail-open": "true"} if fail_open else {}
        assert extensions == {"argosy.service": "web.default.svc.cluster.local", **told}
    assert settings(checking=Checking(Concern(tcp=True))) == {}


def test_connections_are_asked_about_only_where_a_rule_concerns_them() -> None:
    def names(checking: Checking) -> list[str]:
        settings = MeshSettings(access_log=False)
        context = InboundContext(Authorization(()), "PERMISSIVE", settings, checking={0: checking})
        made = api.decode("envoy.config.listener.v3.Listener", build_inbound_listener([PORT], context).body or b"")
        by_name = {chain["name"]: chain for chain in api.to_dict(made)["filter_chains"]}
        return [one["name"] for one in by_name["other-mtls"]["filters"]]

    assert names(Checking(Concern(http=True))) == ["envoy.filters.network.tcp_proxy"]
    assert names(Checking(Concern(tcp=True))) == ["argosy.check.tcp", "envoy.filters.network.tcp_proxy"]
    refusing = Checking(Concern(tcp=True), refusals=(Refusal("default/r", 403, "no"),))
    assert names(refusing) == ["envoy.filters.network.rbac", "argosy.check.tcp", "envoy.filters.network.tcp_proxy"]


def test_an_allow_policy_without_rules_lets_nobody_in() -> None:
    text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: none}\nspec: {}\n"
    made = settings(decode_object(parse_documents(text)[0]))
    assert made[ALLOW]["rbac"]["rules"] == {}
