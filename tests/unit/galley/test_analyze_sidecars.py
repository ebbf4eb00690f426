"""Sidecars in each other's way, and hosts that there are not; the rest is in the grid of warnings."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.galley.analyze_sidecars import analyze_sidecars


def limits(name: str, spec: str, namespace: str = "shop") -> Object[Any]:
    text = f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}"
    (document,) = parse_documents(f"{text}\nspec: {{{spec}}}")
    return decode_object(document)


def test_a_host_that_nobody_has_is_named() -> None:
    one = limits("a", "egress: [{hosts: [./api.example, ./Web.Example, '*/api.example', './*.local']}]")
    found = [f.field for f in analyze_sidecars([one], lambda host: host == "web.example")]
    assert found == ["spec.egress[0].hosts[0]", "spec.egress[0].hosts[2]"]


def test_of_two_for_the_same_workloads_the_first_counts() -> None:
    every = "egress: [{hosts: ['*/*']}]"
    some = f"workloadSelector: {{labels: {{app: web}}}}, {every}"
    objects = [limits("b", every), limits("a", every), limits("c", some), limits("a", every, "other")]
    found = [(f.object, f.message) for f in analyze_sidecars(objects, lambda _host: True)]
    assert found == [("Sidecar shop/b", "not used: Sidecar a is about namespace shop too")]
