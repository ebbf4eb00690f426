"""The client's half: what it asks, what it takes, what it refuses by itself."""

import pytest

from argosy.xds.client import DeltaClient, Malformed, Update
from argosy.xds.messages import DeltaRequest, DeltaResponse, ErrorDetail, Resource


def connected(*names: str) -> DeltaClient:
    client = DeltaClient(node=b"me")
    client.subscribe("t", names or ("*",))
    client.connect()
    client.outbox()
    return client


def resource(name: str, version: str = "1", kind: str = "t") -> Resource:
    return Resource(kind, name, version, b"")


def test_the_node_goes_with_the_first_request_of_each_stream_only() -> None:
    client = DeltaClient(node=b"me")
    client.subscribe("t")
    client.subscribe("u", ["a"])
    assert client.outbox() == []
    for _ in range(2):
        client.connect()
        assert [request.node for request in client.outbox()] == [b"me", None]


def test_an_update_counts_once_it_is_accepted() -> None:
    client = connected()
    client.receive(DeltaResponse("t", "1", (resource("a"),)))
    assert client.events() == [Update("t", "1", (resource("a"),), ())]
    assert client.held("t") == {}
    client.accept("1")
    assert client.held("t") == {"a": "1"}
    assert client.outbox() == [DeltaRequest("t", response_nonce="1")]
    client.receive(DeltaResponse("t", "2", (), ("a",)))
    client.accept("2")
    assert client.held("t") == {}


def test_a_rejected_update_leaves_the_versions_as_they_were() -> None:
    client = connected()
    client.receive(DeltaResponse("t", "1", (resource("a"),)))
    client.reject("1", ErrorDetail(13, "a is bad"))
    assert client.outbox() == [DeltaRequest("t", response_nonce="1", error_detail=ErrorDetail(13, "a is bad"))]
    assert client.held("t") == {}


def test_a_reconnect_restates_names_and_versions_and_voids_open_updates() -> None:
    client = connected("a", "b")
    client.receive(DeltaResponse("t", "1", (resource("a"),)))
    client.accept("1")
    client.receive(DeltaResponse("t", "2", (resource("b"),)))
    client.disconnect()
    client.accept("2")
    assert client.outbox() == []
    client.connect()
    assert client.outbox() == [DeltaRequest("t", ("a", "b"), initial_resource_versions={"a": "1"}, node=b"me")]


def test_changes_of_names_merge_into_one_request_per_type() -> None:
    client = connected("a")
    client.subscribe("t", ["b", "c"])
    client.unsubscribe("t", ["c", "a", "never"])
    client.unsubscribe("unknown", ["a"])
    assert client.outbox() == [DeltaRequest("t", ("b",), ("c", "a"))]
    assert client.outbox() == []


def test_a_type_without_names_is_not_asked_for() -> None:
    """A first request without names would ask for everything."""
    client = connected("a")
    client.unsubscribe("t", ["a"])
    client.connect()
    assert client.outbox() == []


def test_dropping_a_name_forgets_its_version_unless_all_is_asked_for() -> None:
    client = connected("*", "a")
    client.receive(DeltaResponse("t", "1", (resource("a"), resource("b"))))
    client.accept("1")
    client.unsubscribe("t", ["a"])
    assert client.held("t") == {"a": "1", "b": "1"}
    client.unsubscribe("t", ["*"])
    assert client.held("t") == {}


@pytest.mark.parametrize(
    "response, reason",
    [
        (DeltaResponse("t", "1", (resource("a"), resource("a", "2"))), "twice"),
        (DeltaResponse("t", "1", (resource("a"),), ("a",)), "twice"),
        (DeltaResponse("t", "1", (resource("a", kind="u"),)), "of type u"),
        (DeltaResponse("t", "1", (resource(""),)), "without a name"),
        (DeltaResponse("u", "1"), "nothing of type u"),
        (DeltaResponse("t", ""), "without a nonce"),
    ],
)
def test_a_response_that_breaks_the_protocol_is_rejected_by_itself(response, reason) -> None:
    client = connected()
    client.receive(response)
    (event,) = client.events()
    assert isinstance(event, Malformed)
    assert reason in event.reason
    answers = [request.error_detail for request in client.outbox()]
    assert [reason in detail.message for detail in answers] == (
        [True] if response.type_url == "t" and response.nonce else []
    )


def test_a_nonce_is_used_once_and_a_response_needs_a_stream() -> None:
    client = connected()
    client.receive(DeltaResponse("t", "1"))
    client.receive(DeltaResponse("t", "1"))
    assert isinstance(client.events()[1], Malformed)
    client.disconnect()
    client.receive(DeltaResponse("t", "2"))
    assert isinstance(client.events()[0], Malformed)


def test_a_client_explains_itself() -> None:
    client = connected("a")
    client.receive(DeltaResponse("t", "1", (resource("a"),)))
    types = {"t": {"names": ["a"], "versions": {}, "untold": {}}}
    assert client.dump() == {"connected": True, "types": types, "open": ["1"]}
