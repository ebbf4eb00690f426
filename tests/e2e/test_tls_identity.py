"""Who gets into a STRICT port, and whom a client takes for its server: certificates of every wrong kind (T02 to T07).

Wrong certificates are signed by the mesh's true root, as far as they can be: only what they say is wrong.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from tests.e2e.calls import applied, call
from tests.e2e.harness import Mesh, running
from tests.e2e.raw import HERE, MANIFEST

from argosy.citadel.certificates import key_usage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default}
spec: {mtls: {mode: STRICT}}
"""
SLEEP = "spiffe://cluster.local/ns/default/sa/default"
ALLOW = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-default}
spec: {action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/default/sa/default]}}]}]}
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("identity")
    (folder / "mesh.yaml").write_text(MANIFEST)
    with running(folder / "mesh", folder / "mesh.yaml") as found:
        found.apply(STRICT)
        yield found


class Forger:
    """Signs client certificates with the mesh's own root, and with one of its own."""

    def __init__(self, mesh: Mesh, folder: Path) -> None:
        ca = mesh.home / "ca"
        self.root = x509.load_pem_x509_certificate((ca / "ca-cert.pem").read_bytes())
        self.key: Any = serialization.load_pem_private_key((ca / "ca-key.pem").read_bytes(), None)
        self.folder = folder
        self.count = 0

    def sign(
        self,
        *names: x509.GeneralName,
        is_ca: bool = False,
        days: tuple[float, float] = (-1, 1),
        foreign: bool = False,
        name: str = "",
    ) -> dict[str, str]:
        """Files of a chain and a key."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)] if name else [])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.root.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(is_ca, None), critical=True)
            .add_extension(key_usage(signs_certificates=is_ca), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        made = builder.sign(ec.generate_private_key(ec.SECP256R1()) if foreign else self.key, hashes.SHA256())
        self.count += 1
        chain, secret = self.folder / f"chain-{self.count}.pem", self.folder / f"key-{self.count}.pem"
        chain.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return {"chain": str(chain), "key": str(secret)}


@pytest.fixture
def forger(mesh: Mesh, tmp_path: Path) -> Forger:
    return Forger(mesh, tmp_path)


def started(mesh: Mesh, **asked: Any) -> subprocess.Popen[str]:
    pod = mesh.pods("echo")[0]["status"]["podIP"]
    options = {"address": [pod, 8080], "alpn": ["istio"], **asked}
    enter = ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]
    command = [*enter, sys.executable, str(HERE / "raw_tls.py"), json.dumps(options)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def connect(mesh: Mesh, **asked: Any) -> dict[str, Any]:
    """What one connection to the server's sidecar gave."""
    with started(mesh, **asked) as process:
        out, _ = process.communicate(timeout=60)
    found: dict[str, Any] = json.loads(out)
    return found


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def test_a_true_certificate_gets_in(mesh: Mesh, forger: Forger) -> None:
    assert connect(mesh, **forger.sign(uri(SLEEP)))["answer"].startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "case",
    ["another root", "expired", "not yet valid", "another trust domain", "an id in the subject", "no SAN", "DNS only"],
)
def test_a_wrong_certificate_ends_the_handshake(mesh: Mesh, forger: Forger, case: str) -> None:
    made = {
        "another root": lambda: forger.sign(uri(SLEEP), foreign=True),
        "expired": lambda: forger.sign(uri(SLEEP), days=(-3, -1)),
        "not yet valid": lambda: forger.sign(uri(SLEEP), days=(1, 2)),
        "another trust domain": lambda: forger.sign(uri(SLEEP.replace("cluster.local", "evil.example"))),
        "an id in the subject": lambda: forger.sign(name=SLEEP[:64]),
        "no SAN": forger.sign,
        "DNS only": lambda: forger.sign(x509.DNSName("cluster.local/ns/default/sa/default")),
    }[case]()
    found = connect(mesh, **made)
    assert (found["answer"], bool(found["error"])) == ("", True)


def test_names_that_only_look_like_the_id_are_none(mesh: Mesh, forger: Forger) -> None:
    """T07: a zero byte in an other name, the id as an address or an e-mail, an id that goes on after a zero byte."""
    other = x509.OtherName(ObjectIdentifier("1.2.3.4"), b"\x0c" + bytes([len(SLEEP)]) + SLEEP.encode())
    for names in ([other], [x509.DNSName("cluster.local")], [uri(f"{SLEEP}\x00.evil")], [uri("http://cluster.local")]):
        with applied(mesh, ALLOW):
            found = connect(mesh, **forger.sign(*names))
            assert not found["answer"].startswith("HTTP/1.1 200"), names


def test_another_identity_gets_no_further_than_its_policy(mesh: Mesh, forger: Forger) -> None:
    with applied(mesh, ALLOW):
        assert connect(mesh, **forger.sign(uri(SLEEP)))["answer"].startswith("HTTP/1.1 200")
        other = connect(mesh, **forger.sign(uri(SLEEP.replace("/sa/default", "/sa/other"))))
        assert other["answer"].startswith("HTTP/1.1 403")
        longer = connect(mesh, **forger.sign(uri(f"{SLEEP}x")))
        assert longer["answer"].startswith("HTTP/1.1 403")


def test_without_a_certificate_or_in_old_tls_nobody_gets_in(mesh: Mesh, forger: Forger) -> None:
    """T05: TLS 1.1 and weak ciphers are refused; TLS 1.3 alone, no server name and no ALPN make no difference."""
    assert connect(mesh)["answer"] == ""
    mine = forger.sign(uri(SLEEP))
    assert connect(mesh, **mine, version="TLSv1_1")["answer"] == ""
    assert connect(mesh, **mine, version="TLSv1_2", ciphers="AES128-SHA256:DES-CBC3-SHA:@SECLEVEL=0")["answer"] == ""
    for version in ("TLSv1_2", "TLSv1_3"):
        found = connect(mesh, **mine, version=version)
        assert (found["answer"][:12], found["version"].replace(".", "_")) == ("HTTP/1.1 200", version)
    assert connect(mesh, **mine, alpn=[])["answer"].startswith("HTTP/1.1 200")
    assert connect(mesh, **mine, alpn=["istio"], sni="guess.example.com")["answer"].startswith("HTTP/1.1 200")


def test_a_resumed_session_is_judged_by_the_policies_of_now(mesh: Mesh, forger: Forger) -> None:
    """T04: a ticket of before does not carry an identity past a policy that came since."""
    other = forger.sign(uri(SLEEP.replace("/sa/default", "/sa/other")))
    for version in ("TLSv1_2", "TLSv1_3"):
        with started(mesh, **other, version=version, again=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "first\n"
            with applied(mesh, ALLOW):
                out, _ = process.communicate("\n", timeout=60)
        found = json.loads(out)
        assert not found["answer"].startswith("HTTP/1.1 200"), found


def test_a_client_refuses_a_server_with_another_services_certificate(mesh: Mesh) -> None:
    """T03: the certificate is true, but it is not one of the service that was called."""
    impostor = """
apiVersion: v1
kind: Service
metadata: {name: bank}
spec: {selector: {app: bank}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: bank}
spec:
  hosts: [bank.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}]
  subjectAltNames: [spiffe://cluster.local/ns/bank/sa/bank]
  endpoints: [{address: %s, labels: {security.istio.io/tlsMode: istio}}]
"""
    address = mesh.pods("echo")[0]["status"]["podIP"]
    with applied(mesh, impostor % address):
        assert call(mesh, "sleep", "http://bank.example.com/") == ["503"]
    with applied(mesh, (impostor % address).replace("ns/bank/sa/bank", "ns/default/sa/default")):
        assert call(mesh, "sleep", "http://bank.example.com/") == ["200"]
