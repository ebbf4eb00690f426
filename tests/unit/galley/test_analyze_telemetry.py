"""Which Telemetry of several counts is told to the authors of all of them."""

from __future__ import annotations

from argosy.api import decode_object, parse_documents
from argosy.galley.analyze_telemetry import analyze_telemetry

OBJECTS = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: b}
spec: {selector: {matchLabels: {app: a}}, accessLogging: [{disabled: true}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: a}
spec: {selector: {matchLabels: {version: v1}}, accessLogging: [{disabled: false}]}
"""


def test_the_one_that_counts_is_named() -> None:
    objects = [decode_object(one) for one in parse_documents(OBJECTS)]
    meeting = {"default": [(("app", "a"), ("version", "v1"))]}
    apart = {"default": [(("app", "a"),), (("version", "v1"),)]}
    assert [(f.name, f.code) for f in analyze_telemetry(objects, meeting, {})] == [("b", "ARG0250"), ("a", "ARG0250")]
    assert all("; a counts" in f.message for f in analyze_telemetry(objects, meeting, {}))
    assert list(analyze_telemetry(objects, apart, {})) == []
