"""Whose proxies must report, and which headers they must send."""

from __future__ import annotations

import pytest

from argosy.mixer.report_attributes import workload_attributes
from argosy.mixer.report_needs import HeaderNames, header_needs, inbound_reports, outbound_reports

from .mesh import LEGACY, PODS
from .reports import (
    metric,
    policy,
)


@pytest.mark.parametrize(
    "match, sides",
    [
        ("", (True, True)),
        ('context.reporter.kind == "inbound"', (True, False)),
        ('context.reporter.kind == "outbound"', (False, True)),
        ('destination.labels["app"] == "ratings"', (True, True)),
        ('source.labels["app"] == "ratings"', (True, True)),
        ('destination.labels["app"] == "reviews"', (False, True)),
        ('source.labels["app"] == "reviews"', (True, False)),
    ],
)
def test_only_sides_that_a_rule_may_concern_must_report(match: str, sides: tuple[bool, bool]) -> None:
    found = policy(metric(match=match))
    ratings = PODS[3]
    inwards = inbound_reports(found, workload_attributes(ratings, "destination"))
    outwards = outbound_reports(found, workload_attributes(ratings, "source"))
    assert (inwards, outwards) == sides


def test_rules_of_a_namespace_ask_its_workloads_only() -> None:
    found = policy(metric(namespace="default"))
    for pod, asked in ((LEGACY, False), (PODS[3], True)):
        assert inbound_reports(found, workload_attributes(pod, "destination")) is asked
        assert outbound_reports(found, workload_attributes(pod, "source")) is asked
    assert not inbound_reports(policy(), workload_attributes(PODS[0], "destination"))


def test_headers_that_expressions_read_are_known() -> None:
    match = 'request.headers["X-Mine"] == "a" && response.headers["server"] == "b"'
    assert header_needs(policy(metric(match=match))) == HeaderNames(("end-user", "x-mine"), ("server",))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('(request.headers | emptyStringMap())["x-mine"] == "a"', ("end-user", "x-mine")),
        ('request.headers[toLower("X-Mine")] == "a"', ("end-user", "x-mine")),
        ('request.headers[conditional(connection.mtls, "x-a", "x-b")] == "a"', ("end-user", "x-a", "x-b")),
        ('request.headers[""] == request.headers["no\\nheader"]', ("end-user",)),
    ],
)
def test_headers_are_known_however_they_are_looked_up(text: str, names: tuple[str, ...]) -> None:
    assert header_needs(policy(metric(match=text))).request == names


def test_headers_with_keys_of_an_api_are_needed_where_a_key_is_read() -> None:
    api = """
apiVersion: config.istio.io/v1alpha2
kind: HTTPAPISpec
metadata: {name: s}
spec: {apiKeys: [{header: X-Key}, {cookie: key}, {query: key}]}
---
apiVersion: config.istio.io/v1alpha2
kind: HTTPAPISpecBinding
metadata: {name: b}
spec: {apiSpecs: [{name: s}], services: [{service: '*'}]}
"""
    reads, other = '(request.api_key | "") == "x"', 'request.method == "GET"'
    assert header_needs(policy(metric(match=reads), api)).request == ("cookie", "end-user", "x-key")
    assert header_needs(policy(metric(match=other), api)).request == ("end-user",)
    assert header_needs(policy(metric(match=reads))).request == ("end-user",)
