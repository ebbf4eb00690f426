"""What is read out of a request line and its headers."""

import pytest

from argosy.mixer.http_forms import protocol_of, query_params


@pytest.mark.parametrize(
    ("content_type", "protocol"),
    [
        ("application/grpc", "grpc"),
        ("application/grpc+proto", "grpc"),
        ("application/grpc+json", "grpc"),
        ("application/grpc-web", "http"),
        ("application/grpc-web+proto", "http"),
        ("application/grpcx", "http"),
        ("application/json", "http"),
        ("", "http"),
    ],
)
def test_grpc_is_what_says_so_itself(content_type: str, protocol: str) -> None:
    assert protocol_of(content_type) == protocol


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", None),
        ("&", None),
        ("shelf=3&sort", {"shelf": "3", "sort": ""}),
        ("shelf=3&shelf=4", {"shelf": "3"}),
        ("shelf=a=b&=c&x=%20", {"shelf": "a=b", "": "c", "x": "%20"}),
    ],
)
def test_parameters_are_those_that_are_sent_and_the_first_of_a_name(query: str, found: dict[str, str] | None) -> None:
    assert query_params(query) == found
