"""Ports of Services that are meant to say a protocol, and say none."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.core.errors import Finding, Level
from argosy.galley.analyze import analyze_objects

NAME_IT = "set appProtocol, or name it <protocol>[-suffix], such as http-foo"


def found(port: str, *more: str) -> list[Finding]:
    text = f"{{apiVersion: v1, kind: Service, metadata: {{name: details}}, spec: {{{', '.join(more)}ports: [{port}]}}}}"
    return analyze_objects([decode_object(one) for one in parse_documents(text, "details.yaml")])


@pytest.mark.parametrize(
    "port, field, hint",
    [
        ("{name: foo, port: 9080}", "spec.ports[0].name", NAME_IT),
        ("{name: htpp-web, port: 9080}", "spec.ports[0].name", "did you mean http?"),
        ("{name: http, appProtocol: grcp, port: 9080}", "spec.ports[0].appProtocol", "did you mean grpc?"),
    ],
)
def test_a_port_that_says_no_protocol_is_told_of(port: str, field: str, hint: str) -> None:
    """Kiali's KIA0601 and KIA0602, Istio's IST0118."""
    [finding] = found(port)
    assert (finding.code, finding.level, finding.object) == ("ARG0216", Level.INFO, "Service default/details")
    assert (finding.field, finding.hint, str(finding.origin)) == (field, hint, "details.yaml:1")
    assert "told by its first bytes" in finding.message


@pytest.mark.parametrize(
    "port",
    [
        "{port: 9080}",
        "{name: http, port: 9080}",
        "{name: HTTP-web, port: 9080}",
        "{name: grpc-web-x, port: 9080}",
        "{name: dns, port: 53, protocol: UDP}",
        "{name: ssh, port: 22}",
        "{name: status-port, port: 15021}",
        "{name: foo, appProtocol: kubernetes.io/h2c, port: 9080}",
    ],
)
def test_a_port_that_says_one_or_says_nothing_is_silent(port: str) -> None:
    """Server-first ports of renown are TCP without being looked at."""
    assert found(port) == []


def test_an_alias_in_dns_has_no_ports_of_its_own() -> None:
    assert not [
        f
        for f in found("{name: foo, port: 80}", "type: ExternalName, externalName: a.example, ")
        if f.code == "ARG0216"
    ]
