"""Expressions of Telemetry: what a proxy would understand, and where one is wrong."""

from __future__ import annotations

import pytest

from argosy.galley.validate.cel import EXPRESSION_CHARS_MAX, cel_is_taken, cel_problem


@pytest.mark.parametrize(
    "expression",
    [
        "response.code >= 400",
        "response.code == 503 || response.flags != 0",
        "!has(request.useragent) || !request.useragent.startsWith('kube-probe/')",
        "xds.cluster_name == 'BlackHoleCluster' || xds.cluster_name == 'PassthroughCluster'",
        "connection.mtls && request.url_path.contains('v1beta3')",
        "'x-skip' in request.headers && request.headers['x-skip'] == 'true'",
        "request.duration > duration('5ms')",
        "request.url_path.matches('^/a(b|c)+$')",
        "source.address.startsWith('10.') && destination.port == 8080",
        "metadata.filter_metadata['a']['b'] == 'c'",
        "request.headers.exists(h, h == 'x-a')",
        "size(request.headers) > 3 && upstream.port != 80",
        "connection.mtls",
    ],
)
def test_what_a_proxy_understands(expression: str) -> None:
    assert cel_problem(expression) == ""


@pytest.mark.parametrize(
    "expression, problem",
    [
        ("response.code >= 400 && (response.flags == 0", "line 1, column 45: missing ')' at '<EOF>'"),
        ("response.cod >= 400", "line 1, column 9: response has no attribute 'cod'"),
        ("response.code > 1\n && nobody(1)", "line 2, column 11: undeclared reference to 'nobody'"),
        ("upstream_peer.name == 'a'", "line 1, column 14: undeclared reference to 'upstream_peer.name'"),
        ("1 + 1", "it gives a value of type int, not true or false"),
        ("1 + 'a' == 'b'", "line 1, column 3: found no matching overload for '_+_' applied to '(int, string)'"),
        ("x" * (EXPRESSION_CHARS_MAX + 1), f"it is longer than {EXPRESSION_CHARS_MAX} characters"),
    ],
)
def test_a_fault_is_told_with_its_place(expression: str, problem: str) -> None:
    assert cel_problem(expression) == problem


def test_what_follows_the_end_is_a_fault() -> None:
    assert cel_problem("response.code >= ").startswith("line 1, column 18: mismatched input '<EOF>'")


def test_an_expression_of_a_tag_gives_anything_and_knows_peers() -> None:
    assert cel_problem("string(destination.port)", boolean=False) == ""
    assert cel_problem("upstream_peer.labels['app']", extra=("upstream_peer",), boolean=False) == ""


TAKEN = {
    "response.code > 1": True,
    "till.open": True,
    "till-of-shop": True,
    "response.cod == 500": True,
    "request.path.startsWith(1)": True,
    "1 + 1": True,
    "till(1)": False,
    "request.path.till(1)": False,
    "shop.open &&\n till(1)": False,
    "shop.open &&\n till.open": True,
    "1 +": False,
    "'" + "a" * EXPRESSION_CHARS_MAX + "'": False,
}


@pytest.mark.parametrize("expression", TAKEN)
def test_proxies_take_what_asks_for_nothing_that_is_there(expression: str) -> None:
    """Measured on the Envoy that Argosy runs: unknown functions and bad syntax it refuses."""
    assert cel_is_taken(expression) is TAKEN[expression]
