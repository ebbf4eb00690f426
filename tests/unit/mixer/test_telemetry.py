"""Node ids and metric names."""

import pytest

from argosy.mixer.telemetry import CounterSample, Node, in_messages, istio_name, parse_node_id, take_apart


def test_a_node_id_names_pod_and_namespace() -> None:
    text = "sidecar~10.88.0.2~web-0.a.default~default.svc.cluster.local"
    assert parse_node_id(text) == Node(text, "default", "web-0.a")


@pytest.mark.parametrize(
    "text", ["", "sidecar~1~x~y~z", "ztunnel~1.2.3.4~a.b~c", "sidecar~1.2.3.4~pod~c", "sidecar~1~.n~c"]
)
def test_other_texts_are_no_node_ids(text: str) -> None:
    assert parse_node_id(text) is None


@pytest.mark.parametrize(
    "name, found", [("istio_requests_total", "istio_requests_total"), ("envoy_istio_x", "istio_x"), ("server.live", "")]
)
def test_prefixes_before_istio_names_are_stripped(name: str, found: str) -> None:
    assert istio_name(name) == found


def test_the_tag_that_holds_others_is_taken_apart() -> None:
    assert take_apart((("call", "reporter=source|flags=|x=a=b|"), ("k", "v|w"))) == (
        ("reporter", "source"),
        ("flags", ""),
        ("x", "a=b"),
        ("k", "v|w"),
    )


@pytest.mark.parametrize(
    "name, numbers, wanted",
    [
        ("istio_request_messages_total", "3,20@0541", 6),
        ("istio_response_messages_total", "3,20@0541", 40),
        ("istio_response_messages_total", "-@0541", 0),
        ("istio_response_messages_total", "1,x", 0),
    ],
)
def test_calls_that_had_so_many_messages_become_messages(name: str, numbers: str, wanted: float) -> None:
    sample = CounterSample(name, (("call", "a=b"), ("messages", numbers)), 2)
    assert in_messages(sample) == CounterSample(name, (("call", "a=b"),), wanted)


def test_other_counts_are_what_they_are() -> None:
    for name in ("istio_requests_total", "istio_request_messages_total"):
        sample = CounterSample(name, (("call", "a=b"),), 2)
        assert in_messages(sample) is sample
