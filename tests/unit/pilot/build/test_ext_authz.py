"""External authorizers: every field of a provider becomes what Envoy asks by."""

from __future__ import annotations

from argosy.api.extension_provider import ExtAuthzGrpc, ExtAuthzHttp, RequestBody
from argosy.api.meta import Seconds
from argosy.core.frozen import FrozenMap
from argosy.envoy import api
from argosy.pilot.build import ext_authz

HTTP = ExtAuthzHttp(
    service="shop/Authz.Example",
    port=80,
    timeout_s=Seconds(2),
    path_prefix="/check",
    status_on_error="503",
    clear_route_cache=True,
    include_headers_in_check=("cookie",),
    include_request_headers_in_check=("x-*",),
    include_additional_headers_in_check=FrozenMap({"a": "b"}),
    include_request_body_in_check=RequestBody(max_request_bytes=10, allow_partial_message=True),
    headers_to_upstream_on_allow=("*-up",),
    headers_to_downstream_on_deny=("on-deny",),
    headers_to_downstream_on_allow=("on-allow",),
)


def test_an_authorizer_by_http_gets_what_its_provider_says() -> None:
    made = api.to_dict(ext_authz.sleeping_filter("n", HTTP, cluster="c"))
    assert made["disabled"]
    config = made["typed_config"]
    service = config["http_service"]
    assert service["server_uri"] == {"uri": "http://authz.example:80", "cluster": "c", "timeout": "2s"}
    assert service["path_prefix"] == "/check"
    assert service["authorization_request"] == {"headers_to_add": [{"key": "a", "value": "b"}]}
    assert {name: found["patterns"] for name, found in service["authorization_response"].items()} == {
        "allowed_upstream_headers": [{"suffix": "-up", "ignore_case": True}],
        "allowed_client_headers": [{"exact": "on-deny", "ignore_case": True}],
        "allowed_client_headers_on_success": [{"exact": "on-allow", "ignore_case": True}],
    }
    patterns = [{"prefix": "x-", "ignore_case": True}, {"exact": "cookie", "ignore_case": True}]
    assert config["allowed_headers"] == {"patterns": patterns}
    assert config["with_request_body"] == {"max_request_bytes": 10, "allow_partial_message": True}
    assert config["status_on_error"] == {"code": "ServiceUnavailable"}
    assert config["clear_route_cache"]


def test_an_authorizer_by_grpc_is_asked_only_where_a_rule_was_noted() -> None:
    provider = ExtAuthzGrpc(service="authz.example", port=9000, fail_open=True)
    when = ext_authz.When("f", "k", "v")
    config = api.to_dict(ext_authz.sleeping_filter("n", provider, cluster="c", when=when))["typed_config"]
    assert config["grpc_service"] == {"envoy_grpc": {"cluster_name": "c"}, "timeout": "600s"}
    assert config["failure_mode_allow"]
    assert config["status_on_error"] == {"code": "Forbidden"}
    noted = {"filter": "f", "path": [{"key": "k"}], "value": {"string_match": {"exact": "v"}}}
    assert config["filter_enabled_metadata"] == noted
    tcp = api.to_dict(ext_authz.tcp_filter(provider, cluster="c", when=when, stat_prefix="t"))["typed_config"]
    assert tcp["filter_enabled_metadata"] == noted
    assert ext_authz.cluster_of(provider) == "outbound|9000||authz.example"
