"""What who watches is shown, and which requests."""

from dataclasses import replace

import pytest

from argosy.core.errors import ArgosyError
from argosy.core.frozen import FrozenMap
from argosy.flow.directory import MeshDirectory
from argosy.flow.workload import PodRef, workload_ref
from argosy.mixer.access_record import AccessRecord, Address, ConnectionEvent, Direction, HTTPPart, ObjectOrigin
from argosy.mixer.tap import View, parse_tap_filter, view
from argosy.mixer.telemetry import parse_node_id

SLEEP, CART = "spiffe://cluster.local/ns/shop/sa/sleep", "spiffe://cluster.local/ns/shop/sa/cart"


def pod(name: str, address: str, principal: str) -> PodRef:
    workload = name.rpartition("-")[0]
    return PodRef("shop", name, address, principal=principal, workload=workload_ref("shop", workload, {}))


DIRECTORY = MeshDirectory([pod("sleep-1", "10.88.0.5", SLEEP), pod("cart-1", "10.88.0.6", CART)])
NODE = parse_node_id("sidecar~10.88.0.5~sleep-1.shop~shop.svc.cluster.local")
SERVER = parse_node_id("sidecar~10.88.0.6~cart-1.shop~shop.svc.cluster.local")
assert NODE is not None
assert SERVER is not None
HTTP = HTTPPart(
    protocol="HTTP/2",
    method="GET",
    authority="cart",
    path="/v2/items",
    original_path="/items",
    code=503,
    details="no_healthy_upstream",
    user_agent="curl",
    request_headers=FrozenMap({"end-user": "jason"}),
)
OUT = AccessRecord(
    node=NODE,
    direction=Direction.OUTBOUND,
    start=1.0,
    duration_s=0.0123,
    http=HTTP,
    upstream_remote=Address("10.88.0.6", 80),
    upstream_principal=CART,
    upstream_workload="cart.shop.workload",
    route="to-cart",
    route_object=ObjectOrigin("VirtualService", "shop/cart", "cart.yaml:3"),
    service="cart.shop.svc.cluster.local",
    cluster="outbound|80||cart.shop.svc.cluster.local",
    flags=("UH",),
    attempts=3,
)
IN = replace(
    OUT,
    node=SERVER,
    direction=Direction.INBOUND,
    downstream_direct=Address("10.88.0.5", 4711),
    peer_principal=SLEEP,
    peer_workload="sleep.shop.workload",
    local_principal=CART,
)


def test_a_request_is_shown_with_both_ends_route_flags_and_retries() -> None:
    shown = view(OUT, DIRECTORY)
    assert (shown["workload"], shown["pod"], shown["direction"], shown["mtls"]) == (
        "sleep",
        "sleep-1",
        "outbound",
        True,
    )
    assert shown["source"] == {
        "workload": "sleep", "namespace": "shop", "pod": "sleep-1", "principal": SLEEP, "address": "10.88.0.5"
    }  # fmt: skip
    assert shown["destination"] == {
        "workload": "cart", "namespace": "shop", "pod": "cart-1", "principal": CART, "address": "10.88.0.6:80"
    }  # fmt: skip
    assert shown["route"] == {
        "name": "to-cart", "kind": "VirtualService", "object": "shop/cart", "origin": "cart.yaml:3"
    }  # fmt: skip
    assert (shown["path"], shown["sentPath"], shown["code"], shown["retries"]) == ("/items", "/v2/items", 503, 2)
    assert (shown["durationMs"], shown["flags"]) == (12.3, {"UH": "no healthy upstream"})
    assert shown["reason"] == ["UH: no healthy upstream"]
    assert shown["requestHeaders"] == {"end-user": "jason", "user-agent": "curl", "host": "cart"}
    assert "refusedBy" not in shown


def test_a_caller_is_who_the_certificate_says() -> None:
    """An address only chooses among pods of that identity."""
    assert view(IN, DIRECTORY)["source"]["pod"] == "sleep-1"
    forged = view(replace(IN, downstream_direct=Address("10.88.0.6", 1)), DIRECTORY)["source"]
    assert (forged["workload"], forged["namespace"], forged["pod"]) == ("sleep", "shop", "")
    unnamed = view(replace(IN, peer_workload="", downstream_direct=Address("10.0.0.1", 1)), DIRECTORY)["source"]
    assert (unnamed["workload"], unnamed["namespace"]) == ("", "shop")
    odd = view(replace(IN, peer_workload="", peer_principal="spiffe://odd", downstream_direct=Address()), DIRECTORY)
    assert odd["source"]["namespace"] == ""
    plain = view(replace(IN, peer_principal="", peer_workload=""), DIRECTORY)
    assert (plain["mtls"], plain["source"]["workload"]) == (False, "sleep")


def test_a_connection_has_an_event_instead_of_a_code() -> None:
    shown = view(replace(OUT, http=None, event=ConnectionEvent.OPEN, listener_object=OUT.route_object), DIRECTORY)
    assert (shown["protocol"], shown["event"]) == ("tcp", "open")
    assert shown["listener"]["object"] == "shop/cart"
    assert "code" not in shown


def test_who_refused_is_named() -> None:
    refused = replace(HTTP, code=403, details="rbac_access_denied_matched_policy[none]")
    assert view(replace(IN, http=refused, flags=()), DIRECTORY)["refusedBy"] == {
        "kind": "AuthorizationPolicy",
        "rule": "none",
    }


SHOWN = view(OUT, DIRECTORY)
SHOWN_TCP = view(replace(OUT, http=None), DIRECTORY)


@pytest.mark.parametrize(
    ("query", "shown", "expected"),
    [
        ("", SHOWN, True),
        ("namespace=shop", SHOWN, True),
        ("namespace=other", SHOWN, False),
        ("workload=sleep", SHOWN, True),
        ("pod=sleep-2", SHOWN, False),
        ("direction=both", SHOWN, True),
        ("direction=inbound", SHOWN, False),
        ("path=/it", SHOWN, True),
        ("path=/v2", SHOWN, False),
        ("path=/v2 path=/items", SHOWN, True),
        ("path=*ems", SHOWN, True),
        ("path=/*e*s", SHOWN, True),
        ("path=/*x*s", SHOWN, False),
        ("path=/items*items", SHOWN, False),
        ("path=*", SHOWN_TCP, True),
        ("path=/", SHOWN_TCP, False),
        ("method=get", SHOWN, True),
        ("method=POST method=GET", SHOWN, True),
        ("method=GET", SHOWN_TCP, False),
        ("status=5xx", SHOWN, True),
        ("status=404,503", SHOWN, True),
        ("status=4xx", SHOWN, False),
        ("status=5xx", SHOWN_TCP, False),
        ("header=End-User=jason", SHOWN, True),
        ("header=end-user=jane", SHOWN, False),
        ("header=end-user", SHOWN, True),
        ("header=user-agent=curl header=end-user=jane", SHOWN, False),
        ("header=end-user", SHOWN_TCP, False),
        ("from=sleep to=cart", SHOWN, True),
        ("from=shop/sleep", SHOWN, True),
        ("to=other/cart", SHOWN, False),
        ("to=deploy/cart", SHOWN, True),
        ("from=cart", SHOWN, False),
    ],
)
def test_filters(query: str, shown: View, expected: bool) -> None:
    pairs = [(one.partition("=")[0], one.partition("=")[2]) for one in query.split()]
    assert parse_tap_filter(pairs).matches(shown) is expected


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("colour", "red", "no filter"),
        ("status", "7xx", "'7xx' is no status"),
        ("status", "503,5x", "'5x' is no status"),
        ("status", "٥٠٣", "is no status"),
        ("path", "items", "begins with /"),
        ("direction", "up", "direction is"),
        ("header", "=x", "names no header"),
    ],
)
def test_what_cannot_be_read_is_said(name: str, text: str, words: str) -> None:
    with pytest.raises(ArgosyError, match=words) as caught:
        parse_tap_filter([(name, text)])
    assert caught.value.findings[0].code == "ARG0717"
