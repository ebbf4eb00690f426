"""Mixer's gRPC services, over a real channel on the loopback."""

import math
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio
import pytest

from argosy.core.names import ObjectKey
from argosy.core.spiffe import SpiffeID, parse_spiffe_id
from argosy.edge.mixer_server import MixerPorts, encode_decision, mixer_handlers, parse_check_request
from argosy.envoy import api
from argosy.mixer.check import Decision
from argosy.mixer.headers import HeaderEdit
from argosy.mixer.request import CheckFacts
from argosy.mixer.telemetry import Flush, Node, parse_node_id

NODE_ID = "sidecar~10.88.0.2~reviews-x.default~default.svc.cluster.local"
REVIEWS = parse_spiffe_id("spiffe://cluster.local/ns/default/sa/reviews")
CHECK = "/envoy.service.auth.v3.Authorization/Check"


def check_message(**extensions: str) -> Any:
    def peer(address: str, port: int) -> dict[str, Any]:
        return {"address": {"socket_address": {"address": address, "port_value": port}}}

    return api.message("envoy.service.auth.v3.CheckRequest")(
        attributes={
            "source": {**peer("10.88.0.5", 4711), "principal": "spiffe://cluster.local/ns/default/sa/x"},
            "destination": peer("10.88.0.2", 9080),
            "request": {"http": {"method": "GET", "path": "/a?b", "host": "reviews", "headers": {"x-user": "john"}}},
            "context_extensions": extensions,
        }
    )


class Mesh:
    """The ports, recording."""

    def __init__(self, identity: SpiffeID | None = REVIEWS) -> None:
        self.flushes: list[tuple[Node, Flush]] = []
        self.facts: list[CheckFacts] = []
        self.decision = Decision(7, 403, "PERMISSION_DENIED:deny.default:no", ObjectKey("default", "r"))
        self.ports = MixerPorts(
            receive=lambda node, flush, now: self.flushes.append((node, flush)),
            check=self._check,
            now=lambda: 5.0,
            identity=lambda context: identity,
            belongs=lambda who, node: who.namespace == node.namespace,
            asker=lambda who, address: parse_node_id(NODE_ID) if address == "10.88.0.2" and who == REVIEWS else None,
        )

    async def _check(self, facts: CheckFacts) -> Decision:
        self.facts.append(facts)
        return self.decision


async def call(
    mesh: Mesh,
    method: str,
    message: bytes,
    metadata: Sequence[tuple[str, str]] = (),
    timeout_s: float | None = None,
) -> bytes:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(mixer_handlers(mesh.ports)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            return bytes(await channel.unary_unary(method)(message, metadata=metadata, timeout=timeout_s))
    finally:
        await server.stop(None)


async def test_a_refusal_carries_status_reason_and_rule() -> None:
    mesh = Mesh()
    answer = api.decode(
        "envoy.service.auth.v3.CheckResponse", await call(mesh, CHECK, check_message().SerializeToString())
    )
    assert answer.status.code == 7
    assert answer.denied_response.status.code == 403
    assert answer.denied_response.body == "PERMISSION_DENIED:deny.default:no"
    (header,) = answer.denied_response.headers
    assert (header.header.key, header.header.value) == ("x-argosy-denied-by", "default/r")


@pytest.mark.parametrize("timeout_s", [None, 60.0])
async def test_mixer_is_told_how_long_the_proxy_waits(timeout_s: float | None) -> None:
    mesh = Mesh()
    await call(mesh, CHECK, check_message().SerializeToString(), timeout_s=timeout_s)
    (facts,) = mesh.facts
    # gRPC rounds up what it sends.
    assert facts.wait_s == math.inf if timeout_s is None else 0 < facts.wait_s < 2 * timeout_s


async def test_who_did_not_get_the_request_may_not_ask_about_it() -> None:
    mesh = Mesh(parse_spiffe_id("spiffe://cluster.local/ns/default/sa/other"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call(mesh, CHECK, check_message().SerializeToString())
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    assert mesh.facts == []


def test_the_facts_of_a_check_are_read_from_the_request() -> None:
    node = parse_node_id(NODE_ID)
    assert node is not None
    facts = parse_check_request(check_message(**{"argosy.service": "reviews.default.svc.cluster.local"}), node, 5.0)
    assert facts == CheckFacts(
        node=node, source_principal="spiffe://cluster.local/ns/default/sa/x", source_address="10.88.0.5",
        destination_address="10.88.0.2", destination_port=9080, service="reviews.default.svc.cluster.local",
        method="GET", path="/a?b", host="reviews", size=0, headers={"x-user": "john"}, time=5.0,
    )  # fmt: skip


def test_the_time_of_a_check_is_that_of_the_request() -> None:
    node = parse_node_id(NODE_ID)
    assert node is not None
    message = check_message()
    message.attributes.request.time.seconds, message.attributes.request.time.nanos = 7, 500_000_000
    assert parse_check_request(message, node, 9.0).time == 7.5


def test_a_check_tells_the_claims_of_a_token_that_the_proxy_has_verified_and_nobody_elses_notes() -> None:
    node = parse_node_id(NODE_ID)
    assert node is not None
    message = check_message()
    notes = message.attributes.metadata_context.filter_metadata
    notes["envoy.filters.http.jwt_authn"].update({"payload": {"sub": "kim", "aud": ["a", "b"]}, "failed": {}})
    notes["somebody"].update({"payload": {"sub": "max"}})
    assert parse_check_request(message, node, 0.0).claims == {"sub": "kim", "aud": ["a", "b"]}


def test_a_check_says_whether_the_request_passes_if_nobody_can_tell() -> None:
    node = parse_node_id(NODE_ID)
    assert node is not None
    assert parse_check_request(check_message(**{"argosy.fail-open": "true"}), node, 0.0).fail_open
    assert answered(Decision(undecided=True)).HasField("ok_response")


def test_an_allowed_request_goes_on() -> None:
    answer = api.decode("envoy.service.auth.v3.CheckResponse", encode_decision(Decision(0, 200)))
    assert answer.status.code == 0
    assert answer.HasField("ok_response")


def answered(decision: Decision) -> Any:
    return api.decode("envoy.service.auth.v3.CheckResponse", encode_decision(decision))


def test_changes_of_headers_are_told_as_envoy_makes_them() -> None:
    request = (HeaderEdit("REPLACE", "a", ("1", "2")), HeaderEdit("REMOVE", "b"), HeaderEdit("APPEND", "c", ("3",)))
    decision = Decision(request_headers=request, response_headers=(HeaderEdit("REPLACE", "d", ("4",)),))
    data = encode_decision(decision, {"c": "0"})
    found = api.decode("envoy.service.auth.v3.CheckResponse", data).ok_response
    options = [(one.header.key, one.header.value, one.append_action) for one in found.headers]
    assert options == [("a", "1,2", 2), ("c", "0,3", 2)]
    assert list(found.headers_to_remove) == ["b"]
    assert [(one.header.key, one.append_action) for one in found.response_headers_to_add] == [("d", 2)]


def test_what_an_answer_to_a_check_cannot_do_is_told_to_a_filter_of_its_own() -> None:
    edits = (HeaderEdit("REMOVE", "a"), HeaderEdit("APPEND", "b", ("1", "2")), HeaderEdit("REMOVE", "c"))
    more = (HeaderEdit("REPLACE", "c", ("3",)), HeaderEdit("REPLACE", "d", ("4", "5")))
    found = answered(Decision(response_headers=(*edits, *more)))
    changes = [{"name": "a", "remove": True, "values": []}, {"name": "d", "remove": True, "values": ["4", "5"]}]
    assert api.to_dict(found)["dynamic_metadata"]["argosy.answer"] == changes
    added = [(one.header.key, one.header.value, one.append_action) for one in found.ok_response.response_headers_to_add]
    assert added == [("b", "1", 0), ("b", "2", 0), ("c", "3", 2)]
    assert "argosy.answer" not in answered(Decision()).dynamic_metadata


@pytest.mark.parametrize(
    "decision, told",
    [
        (Decision(), {"code": 0, "message": "", "kept": False, "charged": False}),
        (Decision(7, 403, "no", kept=True), {"code": 7, "message": "no", "kept": True, "charged": False}),
        (Decision(8, 429, "spent", charged=True), {"code": 8, "message": "spent", "kept": False, "charged": True}),
        (Decision(14, 503, "gone", undecided=True), {"code": 14, "message": "gone", "kept": False, "charged": False}),
    ],
)
def test_what_came_of_a_check_is_noted_for_reports(decision: Decision, told: dict[str, Any]) -> None:
    assert api.to_dict(answered(decision))["dynamic_metadata"]["argosy.check"] == told


def test_who_could_not_tell_is_noted() -> None:
    found = answered(Decision(undecided=True, silent=("a.ns: late", "b.ns: gone")))
    assert api.to_dict(found)["dynamic_metadata"]["argosy.check"]["undecided"] == "a.ns: late; b.ns: gone"


def test_where_mixer_cannot_tell_the_proxy_does_what_is_set() -> None:
    found = answered(Decision(14, 503, "UNAVAILABLE:redis.default:gone", undecided=True))
    assert found.WhichOneof("http_response") == "error_response"
    assert (found.error_response.status.code, found.error_response.body) == (503, "UNAVAILABLE:redis.default:gone")


def test_the_service_of_a_connection_comes_with_the_call() -> None:
    node = parse_node_id(NODE_ID)
    assert node is not None
    facts = parse_check_request(check_message(), node, 0.0, "db.default.svc.cluster.local")
    assert facts.service == "db.default.svc.cluster.local"
