"""Rules of a kind that no port takes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.core.protocols import Protocol
from argosy.galley.analyze_kinds import analyze_kinds

TO = "route: [{destination: {host: web}}]"
RULES = f"http: [{{{TO}}}], tcp: [{{{TO}}}], tls: [{{match: [{{sniHosts: [a.example]}}], {TO}}}]"


def made(kind: str, spec: str) -> Object[Any]:
    text = f"apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: front, namespace: shop}}"
    (document,) = parse_documents(f"{text}\nspec: {{{spec}}}")
    return decode_object(document)


def lost(bound: str, ports: Iterable[Protocol] | None = None, server: str = "") -> list[str]:
    """The lists of rules that concern nobody, of an object that has all three."""
    gateway = made("Gateway", f"servers: [{{{server}, hosts: ['*']}}]") if server else None
    service = made("VirtualService", f"hosts: [a.example], {bound}, {RULES}")
    gateways = {gateway.key: gateway.spec} if gateway is not None else {}
    return [one.field for one in analyze_kinds([service], lambda _host: ports, gateways)]


@pytest.mark.parametrize(
    ("ports", "fields"),
    [
        ([Protocol.HTTP], ["spec.tcp", "spec.tls"]),
        ([Protocol.TCP], ["spec.http", "spec.tls"]),
        ([Protocol.HTTPS], ["spec.http"]),
        ([Protocol.AUTO], []),
        ([Protocol.GRPC, Protocol.TLS], []),
        (None, []),
    ],
)
def test_within_the_mesh_ports_say_what_rules_they_take(ports: list[Protocol] | None, fields: list[str]) -> None:
    assert lost("gateways: [mesh]", ports) == fields


@pytest.mark.parametrize(
    ("server", "fields"),
    [
        ("port: {number: 80, name: a, protocol: HTTP}", ["spec.tcp", "spec.tls"]),
        ("port: {number: 80, name: a, protocol: HTTP}, tls: {httpsRedirect: true}", ["spec.tcp", "spec.tls"]),
        ("port: {number: 443, name: a, protocol: HTTPS}, tls: {mode: SIMPLE}", ["spec.tcp", "spec.tls"]),
        ("port: {number: 443, name: a, protocol: TLS}, tls: {mode: SIMPLE}", ["spec.http", "spec.tls"]),
        ("port: {number: 443, name: a, protocol: HTTPS}, tls: {mode: PASSTHROUGH}", ["spec.http", "spec.tcp"]),
        ("port: {number: 9000, name: a, protocol: TCP}", ["spec.http", "spec.tls"]),
    ],
)
def test_at_a_gateway_servers_say_it(server: str, fields: list[str]) -> None:
    assert lost("gateways: [./front]", server=server) == fields


def test_a_gateway_that_there_is_not_is_told_elsewhere() -> None:
    assert lost("gateways: [front]") == []
