"""Sidecars in each other's way, and hosts that there are not; the rest is in the grid of warnings."""

from __future__ import annotations

from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.galley.analyze_sidecars import analyze_sidecars


def limits(name: str, spec: str, namespace: str = "shop") -> Object[Any]:
    text = f"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: {name}, namespace: {namespace}}}"
    (document,) = parse_documents(f"{text}\nspec: {{{spec}}}")
    return decode_object(document)


def test_a_host_is_written_in_full() -> None:
    one = limits("a", "egress: [{hosts: [./web, other/api, '*/web', ./Web.Example, './*.local']}]")
    found = [(f.field, f.hint) for f in analyze_sidecars([one], lambda host: host == "web.example")]
    assert found == [
        ("spec.egress[0].hosts[0]", "a host is written in full: web.shop.svc.cluster.local"),
        ("spec.egress[0].hosts[1]", "a host is written in full: api.other.svc.cluster.local"),
        ("spec.egress[0].hosts[2]", ""),
    ]


def test_of_two_for_the_same_workloads_the_first_counts() -> None:
    every = "egress: [{hosts: ['*/*']}]"
    some = f"workloadSelector: {{labels: {{app: web}}}}, {every}"
    objects = [limits("b", every), limits("a", every), limits("c", some), limits("a", every, "other")]
    found = [(f.object, f.message) for f in analyze_sidecars(objects, lambda _host: True)]
    assert found == [("Sidecar shop/b", "not used: Sidecar a is about namespace shop too")]
