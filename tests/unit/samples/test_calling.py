"""One call to another service: an answer, or None when there was none."""

import socket
from typing import Any

import pytest

from argosy.samples.calling import Answer, Target, get_json, pick_headers, target_from


@pytest.mark.parametrize(
    "env, target",
    [
        ({}, Target("ratings", 9080)),
        ({"RATINGS_HOSTNAME": "r2", "SERVICES_DOMAIN": "shop.svc"}, Target("r2.shop.svc", 9080)),
        ({"RATINGS_SERVICE_PORT": "81"}, Target("ratings", 81)),
    ],
)
def test_the_environment_names_the_service(env: dict[str, str], target: Target) -> None:
    assert target_from(env, "ratings") == target


def test_an_answer_carries_status_and_json(start_service: Any) -> None:
    service = start_service([(200, {"a": 1}), (503, "no healthy upstream")])
    target = Target("127.0.0.1", service.port)
    assert get_json(target, "/x", {"end-user": "jason"}, timeout_s=5) == Answer(200, {"a": 1})
    assert get_json(target, "/y", {}, timeout_s=5) == Answer(503, None)
    assert service.paths == ["/x", "/y"]
    assert service.headers[0]["end-user"] == "jason"


def test_a_refused_connection_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert get_json(Target("127.0.0.1", port), "/", {}, timeout_s=5) is None


def test_a_silent_service_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert get_json(Target("127.0.0.1", silent.getsockname()[1]), "/", {}, timeout_s=0.02) is None


def test_only_headers_that_are_there_are_picked() -> None:
    assert pick_headers({"b3": "1", "host": "x"}, ("b3", "x-request-id")) == {"b3": "1"}
