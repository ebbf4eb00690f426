"""The authority on a running mesh: F08, F09, F11, T06, F10, F19, F03 and F13 of the reliability list, on real Envoys.

One mesh whose certificates live 10 s, so that they are renewed every 5 s, and which takes mutual TLS only. The tests
build on each other: the root is replaced by an operator's intermediate, whose lists and files are then played with,
and which is dropped in the end.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.agent.bootstrap import PROXY_DIR
from argosy.citadel.authority import Authority, create_root
from argosy.citadel.bundle import TrustBundle, encode_bundle
from argosy.citadel.certificates import key_usage, utc
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.pem import encode_private_key
from argosy.citadel.policy import own_component
from argosy.edge.tokens import TokenSubject, load_or_create_issuer

from .calls import call
from .harness import EXAMPLES, Mesh, running, wait_for
from .loads import Flags, admin, both_ways, started
from .test_rotation import SHORT_CONNECTIONS, STRICT, address_of, serials

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LIFE_S = 10.0
LOAD_S = 60.0
END_S = 40.0
"""How long an authority lives that is to end: long enough for it to be taken over everywhere on a busy machine."""
WORKLOADS = ("sleep", "helloworld-v1", "helloworld-v2", "istio-ingressgateway")
HELLO = "http://helloworld:5000/hello"
THIEF = Path(__file__).with_name("csr_thief.py")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    home = tmp_path_factory.mktemp("ca") / "mesh"
    files = [file for folder in ("helloworld", "sleep") for file in sorted((EXAMPLES / folder).glob("*.yaml"))]
    with running(home, *files, certificate_ttl_s=LIFE_S) as found:
        found.apply(STRICT, SHORT_CONNECTIONS)
        yield found


@dataclass(frozen=True)
class Identity:
    """A leaf with its chain and key, as a proxy has it."""

    chain: str
    key: str


def secrets_of(mesh: Mesh, workload: str) -> tuple[Identity, str]:
    """What the pod's proxy has on its disk: identity and roots."""
    (pod,) = mesh.pods(workload)
    root = Path(f"/proc/{mesh.envoy_pid(workload)}/root{PROXY_DIR}")
    assert pod
    (identity,) = json.loads((root / "certificate.json").read_text())["resources"]
    (roots,) = json.loads((root / "roots.json").read_text())["resources"]
    tls = identity["tls_certificate"]
    own = Identity(tls["certificate_chain"]["inline_string"], tls["private_key"]["inline_string"])
    return own, roots["validation_context"]["trusted_ca"]["inline_string"]


def in_use(envoy: int) -> dict[str, Any]:
    """Envoy's secrets by name, as it says itself."""
    found = json.loads(admin(envoy, "/config_dump?resource=dynamic_active_secrets"))
    return {entry["name"]: entry["secret"] for entry in found["configs"]}


def roots_in_use(envoy: int) -> str:
    return str(in_use(envoy)["ROOTCA"]["validation_context"]["trusted_ca"]["inline_string"])


def node(mesh: Mesh) -> list[str]:
    return ["nsenter", "-t", str(mesh.host_pid("argosy.app.agent")), "-n"]


def connect(mesh: Mesh, identity: Identity, folder: Path) -> str:
    """What openssl says of a request to helloworld-v1's proxy, from outside of any pod, with that identity."""
    (pod,) = mesh.pods("helloworld-v1")
    chain, key = folder / "chain.pem", folder / "key.pem"
    chain.write_text(identity.chain)
    key.touch(0o600)
    key.write_text(identity.key)
    address = f"{pod['status']['podIP']}:5000"
    argv = ["openssl", "s_client", "-connect", address, "-alpn", "istio-http/1.1", "-showcerts", "-ign_eof"]
    argv += ["-cert", str(chain), "-cert_chain", str(chain), "-key", str(key)]
    request = "GET /hello HTTP/1.1\r\nHost: helloworld\r\nConnection: close\r\n\r\n"
    done = subprocess.run([*node(mesh), *argv], input=request, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def connect_as(mesh: Mesh, workload: str, folder: Path) -> tuple[Identity, str]:
    """The identity of a workload, and what a request with it is answered. Certificates live seconds only: with a new
    one again if the machine took longer than that."""

    def accepted() -> tuple[Identity, str] | None:
        identity = secrets_of(mesh, workload)[0]
        told = connect(mesh, identity, folder)
        return (identity, told) if "200 OK" in told else None

    found: tuple[Identity, str] = wait_for(accepted, 60, f"a request with the identity of {workload} is answered")
    return found


def certificates_in(text: str) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(
        "".join(
            f"-----BEGIN CERTIFICATE-----{part.partition('-----END')[0]}-----END CERTIFICATE-----\n"
            for part in text.split("-----BEGIN CERTIFICATE-----")[1:]
        ).encode()
    )


def status(mesh: Mesh) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mesh.cli("ca", "status", "-o", "json", check=False).stdout)
    return found


def metric(mesh: Mesh, name: str) -> float:
    with mesh.control() as client:
        lines = client.get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@dataclass(frozen=True)
class Operator:
    """An operator's authority: a root, and an intermediate that is plugged in."""

    root: x509.Certificate
    root_key: ec.EllipticCurvePrivateKey
    intermediate: x509.Certificate
    folder: Path

    def crl(self, *serials: int) -> str:
        now = time.time()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self.root.subject)
        builder = builder.last_update(utc(now - 60)).next_update(utc(now + 3600))
        for serial in serials:
            entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(utc(now)).build()
            builder = builder.add_revoked_certificate(entry)
        return builder.sign(self.root_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def ca_certificate(name: str, key: Any, parent: x509.Certificate | None, signer: Any) -> x509.Certificate:
    subject, now = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]), time.time()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(parent.subject if parent else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(utc(now - 3600))
        .not_valid_after(utc(now + 86_400))
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .add_extension(key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Operator:
    """Istio's `cacerts` files below an operator's root."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = ca_certificate("Operator's Root", root_key, None, root_key)
    intermediate = ca_certificate("Operator's Mesh CA", key, root, root_key)
    folder = tmp_path_factory.mktemp("cacerts")
    (folder / "ca-cert.pem").write_bytes(pem(intermediate))
    (folder / "cert-chain.pem").write_bytes(pem(intermediate, root))
    (folder / "root-cert.pem").write_bytes(pem(root))
    (folder / "ca-key.pem").touch(0o600)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca-key.pem").write_bytes(key_pem)
    return Operator(root, root_key, intermediate, folder)


def test_rotating_every_five_seconds_loses_nothing(mesh: Mesh) -> None:
    """F08: 200 requests a second for 60 s, kept connections and fresh ones; at most one request for each rotation."""
    flags = Flags(mesh)
    seen: dict[str, set[str]] = {workload: set() for workload in WORKLOADS}
    envoys = {workload: mesh.envoy_pid(workload) for workload in WORKLOADS}
    kept: dict[str, Any] = {
        "address": [address_of(mesh, "helloworld"), 5000],
        "host": "helloworld:5000",
        "path": "/hello",
        "rate": 20,
        "fresh": sys.maxsize,
    }
    begin, issued = time.monotonic(), metric(mesh, "citadel_server_success_cert_issuance_count")
    with (
        both_ways(mesh, rate=180, host="helloworld", port=5000, path="/hello") as loads,
        started("kept", kept, network_of=envoys["sleep"]) as long,
    ):

        def look() -> bool:
            for workload, envoy in envoys.items():
                seen[workload] |= serials(envoy)
            time.sleep(1)  # each look is a page of every Envoy; certificates change every 5 s
            return time.monotonic() - begin > LOAD_S

        wait_for(look, 4 * LOAD_S, "the load has run its time")
        ledgers = [one.assert_lossless() for one in (*loads, long)]
    asked = metric(mesh, "citadel_server_success_cert_issuance_count") - issued
    took_s = time.monotonic() - begin
    total = sum(one["sent"] for one in ledgers)
    print("F08", total, "requests", {workload: len(found) for workload, found in seen.items()}, asked, "certificates")
    assert flags.counted(total) == {"-": 2 * total}
    assert min(len(found) for found in seen.values()) >= LOAD_S / LIFE_S
    # Renewed at half-life, a hundredth earlier at most; the agent is a holder like the four proxies.
    assert asked <= (len(WORKLOADS) + 1) * (took_s / (LIFE_S * 0.49) + 1)


def test_the_root_is_replaced_under_load_and_what_it_signed_is_refused(
    mesh: Mesh, operator: Operator, tmp_path: Path
) -> None:
    """F09, with an operator's intermediate as the next authority."""
    old_root = secrets_of(mesh, "sleep")[1]
    old, _told = connect_as(mesh, "sleep", tmp_path)
    flags = Flags(mesh)
    with both_ways(mesh, rate=100, host="helloworld", port=5000, path="/hello") as loads:
        begin = time.monotonic()
        mesh.cli("ca", "rotate", "--step", "--from", str(operator.folder))
        assert status(mesh)["phase"] == "adding"
        again = mesh.cli("ca", "rotate", "--from", str(operator.folder), check=False)
        assert (again.returncode, "CIT0071" in again.stderr) == (1, True), again.stderr
        mesh.cli("ca", "rotate")
        print("F09 took", time.monotonic() - begin)
        total = sum(one.assert_lossless()["sent"] for one in loads)
    assert set(flags.counted(total)) == {"-"}
    for workload in WORKLOADS:
        assert roots_in_use(mesh.envoy_pid(workload)) == pem(operator.root).decode()
    assert old_root.strip() not in roots_in_use(mesh.envoy_pid("sleep"))
    assert "200 OK" not in connect(mesh, old, tmp_path)
    connect_as(mesh, "sleep", tmp_path)


def test_a_peer_is_shown_leaf_intermediate_and_root(mesh: Mesh, operator: Operator, tmp_path: Path) -> None:
    """Istio's task "plug in CA certificates": the second is the operator's intermediate, the third its root."""
    shown = certificates_in(connect_as(mesh, "sleep", tmp_path)[1])[:3]
    assert shown[1:] == [operator.intermediate, operator.root]
    shown[0].verify_directly_issued_by(operator.intermediate)


def test_a_spoiled_key_leaves_the_authority_as_it_was_and_turns_the_check_red(mesh: Mesh) -> None:
    """F11, at reload."""
    file = mesh.home / "ca" / "ca-key.pem"
    good = file.read_bytes()
    file.write_bytes(b"spoiled")
    try:
        wait_for(lambda: metric(mesh, "argosy_ca_alarm"), 60, "an alarm")
        done = mesh.cli("check", check=False)
        assert (done.returncode, f"{file}:1" in done.stderr) == (1, True), done.stderr
        before = serials(mesh.envoy_pid("sleep"))
        wait_for(lambda: serials(mesh.envoy_pid("sleep")) != before, 60, "the old authority goes on signing")
        assert call(mesh, "sleep", HELLO) == ["200"]
    finally:
        file.write_bytes(good)
    wait_for(lambda: not metric(mesh, "argosy_ca_alarm"), 60, "the alarm is over")
    assert status(mesh)["findings"] == []


def test_without_a_good_authority_nothing_starts(mesh: Mesh, operator: Operator, tmp_path: Path) -> None:
    """F11, at the start: said at once, with file and line, and nothing is left running."""
    for file in operator.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "ca-key.pem").chmod(0o600)
    (tmp_path / "ca-cert.pem").write_bytes(pem(operator.root))
    done = subprocess.run(
        [sys.executable, "-m", "argosy.cli.main", "up", "--ca-dir", str(tmp_path), "--console-port", "0"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "ARGOSY_HOME": str(tmp_path / "home"), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert f"{tmp_path / 'ca-key.pem'}:1: error CIT0043" in done.stderr


def test_a_revoked_intermediate_is_refused_within_a_minute(mesh: Mesh, operator: Operator) -> None:
    """T06."""
    file = mesh.home / "ca" / "ca-crl.pem"
    begin = time.monotonic()
    file.write_text(operator.crl(operator.intermediate.serial_number))
    try:
        wait_for(lambda: call(mesh, "sleep", *[HELLO] * 6)[-1] == "503", 60, "new connections are refused")
        print("T06 took", time.monotonic() - begin)
    finally:
        file.write_text(operator.crl())
    wait_for(lambda: set(call(mesh, "sleep", *[HELLO] * 6)) == {"200"}, 60, "nothing is revoked any more")
    file.unlink()
    wait_for(lambda: status(mesh)["laggards"] == [], 60, "everybody does without lists")


def test_a_token_of_one_pod_gets_nobody_elses_certificate(mesh: Mesh) -> None:
    """F19: every variant is refused, counted, and told of."""
    tries = 20
    issuer = load_or_create_issuer(mesh.home / "identity")
    token = issuer.mint(TokenSubject("default", "sleep", "sleep-1", "sleep", "local"), now=time.time())
    options = {
        "citadel": "10.88.0.1:15013",
        "roots": (mesh.home / "identity" / "root-cert.pem").read_text(),
        "token": token,
        "tries": tries,
    }
    before = metric(mesh, "citadel_server_id_extraction_err_count")
    done = subprocess.run(
        [*node(mesh), sys.executable, str(THIEF), json.dumps(options)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == 12
    assert all("issued" not in found and sum(found.values()) == tries for found in outcomes.values()), outcomes
    assert metric(mesh, "citadel_server_id_extraction_err_count") == before + 8 * tries
    told = [one["message"] for one in status(mesh)["findings"]]
    assert any(f"default/sleep asked {8 * tries} times" in one for one in told), told


def test_a_partner_is_believed_by_its_own_root_until_it_is_not(mesh: Mesh, tmp_path: Path) -> None:
    """Federation: bundles as JWK sets; a workload of the partner is accepted, one that only says so is not."""
    signer = ec.generate_private_key(ec.SECP256R1())
    partner = create_root("partner.example", signer, now=time.time(), serial=1)
    pretender = Authority("cluster.local", partner.certificate, signer, chain=(), roots=partner.roots)
    bundle = encode_bundle(TrustBundle("partner.example", partner.roots, 1))
    (tmp_path / "bundle.json").write_bytes(bundle)

    def identity(authority: Authority) -> Identity:
        """The agent's account: it may exist in any trust domain, and what signs for it needs no token."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = authority.issue(
            own_component("agent"), CertificateRequest(key.public_key()), ttl_s=600, now=time.time(), serial=2
        )
        return Identity("".join(issued.chain), encode_private_key(key).decode())

    theirs, liar = identity(partner), identity(pretender)
    assert "200 OK" not in connect(mesh, theirs, tmp_path)
    mesh.cli("ca", "trust", "partner.example", str(tmp_path / "bundle.json"))
    wait_for(lambda: status(mesh)["laggards"] == [], 60, "everybody believes the partner")
    wait_for(lambda: "200 OK" in connect(mesh, theirs, tmp_path), 60, "servers accept the partner")
    assert "200 OK" not in connect(mesh, liar, tmp_path)
    assert set(call(mesh, "sleep", *[HELLO] * 6)) == {"200"}
    mesh.cli("ca", "distrust", "partner.example")
    wait_for(lambda: status(mesh)["laggards"] == [], 60, "nobody believes the partner")
    assert "200 OK" not in connect(mesh, theirs, tmp_path)


def test_dropping_the_root_refuses_all_that_it_signed(mesh: Mesh, tmp_path: Path) -> None:
    """F10: when the command ends, old leaves are refused and everything is issued anew."""
    old, _roots = secrets_of(mesh, "sleep")
    begin = time.monotonic()
    mesh.cli("ca", "drop-root", "--yes")
    print("F10 took", time.monotonic() - begin)
    assert "200 OK" not in connect(mesh, old, tmp_path)
    found = status(mesh)
    assert (found["laggards"], len(found["roots"])) == ([], 1)
    assert set(found["leaves"]) == {found["signer"]["fingerprint"]}
    assert call(mesh, "sleep", *[HELLO] * 6) == ["200"] * 6


@dataclass(frozen=True)
class Caller:
    """Requests from the pod of sleep through its proxy, without help of the control plane or the agent."""

    envoy: int
    address: str

    def answers(self) -> list[str]:
        """Of six requests: those on a connection from before end after five on each."""
        curl = f"curl -s -o /dev/null -m 10 -H 'Host: helloworld:5000' -w '%{{http_code}}\\n' {self.address}:5000/hello"
        argv = ["nsenter", "-t", str(self.envoy), "-n", "sh", "-c", "\n".join([curl] * 6)]
        return subprocess.run(argv, capture_output=True, text=True, timeout=90).stdout.split()


def caller(mesh: Mesh) -> Caller:
    return Caller(mesh.envoy_pid("sleep"), address_of(mesh, "helloworld"))


def test_a_control_plane_that_was_away_too_long_is_recovered_from_without_a_restart(mesh: Mesh) -> None:
    """F03: past expiry new connections fail closed; once it is back they work within 10 s."""
    program, client = mesh.host_pid("argosy.app.control_plane"), caller(mesh)
    subprocess.run(["kill", "-STOP", str(program)], check=True)
    try:
        wait_for(lambda: client.answers()[-1] == "503", 120, "expired certificates are refused")
    finally:
        subprocess.run(["kill", "-CONT", str(program)], check=True)
    begin = time.monotonic()
    wait_for(lambda: set(client.answers()) == {"200"}, 60, "it is back")
    print("F03 took", time.monotonic() - begin)
    assert mesh.host_pid("argosy.app.control_plane") == program


def test_an_agent_that_slept_renews_by_the_wall_clock(mesh: Mesh) -> None:
    """F13: suspended for twice the life of a certificate; 10 s after it goes on there is a new one."""
    agent, client = mesh.host_pid("argosy.app.agent"), caller(mesh)
    subprocess.run(["kill", "-STOP", str(agent)], check=True)
    try:
        awake = time.monotonic() + 2 * LIFE_S
        wait_for(lambda: time.monotonic() > awake, 120, "it has slept long enough")
        before = serials(client.envoy)
        wait_for(lambda: client.answers()[-1] == "503", 60, "expired certificates are refused")
    finally:
        subprocess.run(["kill", "-CONT", str(agent)], check=True)
    begin = time.monotonic()
    wait_for(lambda: serials(client.envoy) != before, 60, "a new certificate")
    print("F13 took", time.monotonic() - begin)
    wait_for(lambda: set(client.answers()) == {"200"}, 60, "requests are answered")


def test_when_everything_has_expired_one_command_mends_it(mesh: Mesh, tmp_path: Path) -> None:
    """F4: the authority has ended, and the control plane, killed, refuses to start with it."""
    client, program = caller(mesh), mesh.host_pid("argosy.app.control_plane")
    key = ec.generate_private_key(ec.SECP256R1())
    root = create_root("cluster.local", key, now=time.time(), serial=7, ttl_s=END_S)
    for name in ("ca-cert.pem", "cert-chain.pem", "root-cert.pem"):
        (tmp_path / name).write_bytes(pem(root.certificate))
    (tmp_path / "ca-key.pem").touch(0o600)
    (tmp_path / "ca-key.pem").write_bytes(encode_private_key(key))
    mesh.cli("ca", "drop-root", "--yes", "--from", str(tmp_path))
    assert set(client.answers()) == {"200"}
    wait_for(lambda: time.time() > root.not_after, 2 * END_S, "the root has ended")
    subprocess.run(["kill", "-KILL", str(program)], check=True)
    wait_for(lambda: client.answers()[-1] == "503", 60, "expired certificates are refused")

    def red() -> bool:
        done = mesh.cli("check", check=False)
        return done.returncode == 1 and "CIT0074" in done.stderr

    wait_for(red, 60, "the check is red")
    begin = time.monotonic()
    mesh.cli("ca", "renew")
    wait_for(lambda: set(client.answers()) == {"200"}, 60, "the mesh has mended itself")
    print("F4 took", time.monotonic() - begin)
    wait_for(lambda: mesh.cli("check", check=False).returncode == 0, 60, "the check is green")
    assert (mesh.home / "ca" / "ca-key.pem").read_bytes() == encode_private_key(key)


def test_keys_are_nowhere_but_with_their_owner_and_in_no_log(mesh: Mesh) -> None:
    def holds(path: Path) -> bool:
        with contextlib.suppress(FileNotFoundError):  # files are replaced all the time
            return path.is_file() and b"PRIVATE KEY" in path.read_bytes()
        return False

    texts = [path for folder in ("logs", "run", "settings") for path in (mesh.home / folder).rglob("*")]
    assert [path for path in texts if holds(path)] == []
    holding = [path for path in mesh.home.rglob("*") if path.suffix in (".pem", ".json") and holds(path)]
    assert {path.parent.name for path in holding} == {"ca", "identity"}
    assert [path for path in holding if path.stat().st_mode & 0o077] == []
