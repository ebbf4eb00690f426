"""Which Telemetry of several counts is told to the authors of all of them."""

from __future__ import annotations

from argosy.api import decode_object, parse_documents
from argosy.api.extension_provider import ExtensionProvider
from argosy.api.telemetry_provider import FileAccessLog
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


def test_a_provider_is_known_by_its_name_in_any_case() -> None:
    text = (
        "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t}\nspec:\n"
        "  accessLogging: [{providers: [{name: LINES}, {name: other}, {name: Envoy}]}]\n"
        "  metrics: [{providers: [{name: Prometheus}]}]\n"
        "  tracing: [{providers: [{name: Argosy}]}]\n"
    )
    declared = {"lines": ExtensionProvider(name="lines", envoy_file_access_log=FileAccessLog())}
    found = [*analyze_telemetry([decode_object(one) for one in parse_documents(text)], {}, declared)]
    assert [one.field for one in found] == ["spec.accessLogging[0].providers[1].name"]
