"""Refusals as routes: in their order, before all others, asking nobody; nothing where there is none."""

from argosy.envoy import api
from argosy.envoy.cel import call, constant, path
from argosy.envoy.refusal import Refusal
from argosy.pilot.build.authz import Authorization
from argosy.pilot.build.inbound import InboundPort, Speaks, build_inbound_route
from argosy.pilot.build.refusals import AGAIN, CONDITIONS
from argosy.pilot.checking import Checking, Concern

PORT = InboundPort(8080, Speaks.HTTP, "web.default.svc.cluster.local", "PERMISSIVE", http1=True)
GET = call("_==_", path("request.method"), constant("GET"))
REFUSALS = (
    Refusal("default/z", 403, "PERMISSION_DENIED:h.default:no", GET),
    Refusal("default/a", 403, "%CEL(request.path)% is not", networks=("10.0.0.0/8",), outside=True, formatted=True),
)


def host(checking: Checking) -> dict[str, object]:
    made = build_inbound_route(PORT, Authorization(()), checking=checking)
    found = api.to_dict(api.decode("envoy.config.route.v3.RouteConfiguration", made.body or b""))["virtual_hosts"][0]
    assert isinstance(found, dict)
    return found


def test_without_refusals_there_is_the_applications_route_only() -> None:
    found = host(Checking(Concern(http=True)))
    assert [route["match"] for route in found["routes"]] == [{"prefix": "/"}]  # type: ignore[attr-defined]
    assert not {CONDITIONS, AGAIN} & set(found["typed_per_filter_config"])  # type: ignore[call-overload]


def test_refusals_are_routes_in_their_order() -> None:
    found = host(Checking(refusals=REFUSALS))
    routes = found["routes"]
    assert [route.get("name", "") for route in routes] == [  # type: ignore[attr-defined]
        "refusal 0000 default/z", "refusal 0001 default/a", "default",
    ]  # fmt: skip
    first, second, _app = routes  # type: ignore[misc]
    assert first["direct_response"] == {"status": 403, "body": {"inline_string": "PERMISSION_DENIED:h.default:no"}}
    assert second["direct_response"] == {
        "status": 403,
        "body_format": {"text_format_source": {"inline_string": "%CEL(request.path)% is not"}},
    }
    assert first["response_headers_to_add"] == [{"header": {"key": "x-argosy-denied-by", "value": "default/z"}}]
    [noted] = first["match"]["dynamic_metadata"]
    assert noted["value"] == {"string_match": {"exact": "0000 default/z"}}
    settings = found["typed_per_filter_config"]
    assert set(settings) == {CONDITIONS, AGAIN}  # type: ignore[call-overload]
    policies = settings[CONDITIONS]["rbac"]["shadow_rules"]["policies"]  # type: ignore[index]
    assert sorted(policies) == ["0000 default/z", "0001 default/a"]
    assert policies["0001 default/a"]["principals"] == [
        {"not_id": {"or_ids": {"ids": [{"direct_remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}]}}}
    ]


def test_who_is_refused_is_not_asked_about() -> None:
    asking = host(Checking(Concern(http=True), refusals=REFUSALS[:1]))
    check = "envoy.filters.http.ext_authz"
    assert "check_settings" in asking["typed_per_filter_config"][check]  # type: ignore[index]
    refusing, app = asking["routes"]  # type: ignore[misc]
    assert refusing["typed_per_filter_config"][check]["disabled"] is True
    assert check not in app.get("typed_per_filter_config", {})
