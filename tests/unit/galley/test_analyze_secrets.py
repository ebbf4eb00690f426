"""Which Secrets a Gateway lacks, and where they would have to be."""

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.kubernetes import Secret
from argosy.api.meta import Object
from argosy.core.frozen import FrozenMap
from argosy.core.names import ObjectKey
from argosy.galley.analyze_secrets import analyze_gateway_secrets

WHOLE = ("tls.crt", "tls.key", "ca.crt")


def _gateway(tls: str) -> Object[Any]:
    text = f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: front}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{port: {{number: 443, name: tls, protocol: HTTPS}}, hosts: ["*"], tls: {tls}}}]
"""
    return decode_object(parse_documents(text)[0])


def _told(tls: str, *secrets: tuple[str, tuple[str, ...]], spaces: tuple[str, ...] = ("pods",)) -> list[str]:
    held = {
        ObjectKey(*name.split("/")): Secret(data=FrozenMap(dict.fromkeys(entries, "YQ=="))) for name, entries in secrets
    }
    return [f"{f.field}: {f.message}" for f in analyze_gateway_secrets(_gateway(tls), spaces, held)]


@pytest.mark.parametrize(
    "tls, secrets",
    [
        ("{mode: SIMPLE, credentialName: a}", [("pods/a", ("tls.crt", "tls.key"))]),
        ("{mode: SIMPLE, credentialNames: [a, b]}", [("pods/a", ("cert", "key")), ("pods/b", ("tls.crt", "tls.key"))]),
        ("{mode: MUTUAL, credentialName: a}", [("pods/a", WHOLE)]),
        ("{mode: MUTUAL, credentialName: a}", [("pods/a", ("tls.crt", "tls.key")), ("pods/a-cacert", ("cacert",))]),
        ("{mode: MUTUAL, credentialNames: [a]}", [("pods/a", WHOLE)]),
        (
            "{mode: MUTUAL, credentialName: a, caCertCredentialName: b}",
            [("pods/a", ("tls.crt", "tls.key")), ("pods/b", ("ca.crt",))],
        ),
        ("{mode: MUTUAL, serverCertificate: /a, privateKey: /b, caCertificates: /c}", []),
        ("{mode: ISTIO_MUTUAL}", []),
        ("{mode: PASSTHROUGH}", []),
    ],
)
def test_secrets_that_are_there_and_whole_are_nothing_to_tell(tls: str, secrets: list[Any]) -> None:
    assert _told(tls, *secrets) == []


def test_each_namespace_of_the_gateways_pods_needs_its_own() -> None:
    told = _told("{mode: SIMPLE, credentialName: a}", ("one/a", WHOLE), spaces=("two", "one"))
    assert told == ["spec.servers[0].tls.credentialName: there is no Secret two/a: clients of the server are cut off"]


def test_what_a_secret_lacks_is_named_and_nothing_of_what_it_has() -> None:
    assert _told("{mode: SIMPLE, credentialNames: [a]}", ("pods/a", ("ca.crt",))) == [
        "spec.servers[0].tls.credentialNames[0]: Secret pods/a has no tls.crt and no tls.key: "
        "clients of the server are cut off"
    ]


def test_a_secret_of_another_namespace_is_pointed_at() -> None:
    found = analyze_gateway_secrets(
        _gateway("{mode: SIMPLE, credentialName: a}"), ["pods"], {ObjectKey("default", "a"): Secret()}
    )
    assert [f.hint for f in found] == ["that of default is not used: it must stand beside the gateway's pods"]
