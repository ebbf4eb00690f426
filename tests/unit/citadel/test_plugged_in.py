"""An operator's CA is taken if its certificates will be believed, and refused with file and line if not (F11)."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from argosy.citadel.csr import CertificateRequest
from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.identity import vouch
from argosy.citadel.pem import PEMFile
from argosy.citadel.plugged_in import CAFiles, load_plugged_in
from argosy.citadel.verify import verify_svid

from .forge import DAY, NOW, certificate_pem, ec_key, key_pem, rsa_key, signing_certificate

ROOT = signing_certificate("root")
MIDDLE = signing_certificate("middle", parent=ROOT, parent_key=ec_key("root"))
SIGNER = signing_certificate("signer", parent=MIDDLE, parent_key=ec_key("middle"), path_length=0, uri="spiffe://td")


def files(
    certificate: bytes = certificate_pem(SIGNER),
    key: bytes = key_pem(ec_key("signer")),
    chain: bytes = certificate_pem(SIGNER, MIDDLE),
    roots: bytes = certificate_pem(ROOT),
) -> CAFiles:
    return CAFiles(
        PEMFile("ca-cert.pem", certificate),
        PEMFile("ca-key.pem", key),
        PEMFile("cert-chain.pem", chain),
        PEMFile("root-cert.pem", roots),
    )


def refusal(broken: CAFiles, now: float = NOW) -> tuple[Code, str]:
    with pytest.raises(CAFileError) as caught:
        load_plugged_in(broken, "td", now=now)
    finding = caught.value.findings[0]
    return Code(finding.code), str(finding.origin)


def under(signer: x509.Certificate, *, key: str = "signer") -> CAFiles:
    return files(certificate_pem(signer), key_pem(ec_key(key)), certificate_pem(signer, MIDDLE))


def test_an_intermediate_signs_and_its_chain_is_sent() -> None:
    authority = load_plugged_in(files(), "td", now=NOW)
    request = CertificateRequest(ec_key("workload").public_key())
    issued = authority.issue(vouch("default", "x"), request, ttl_s=3600, now=NOW, serial=9)
    chain = [x509.load_pem_x509_certificate(text.encode()) for text in issued.chain]
    assert chain[1:] == [SIGNER, MIDDLE]
    assert verify_svid(chain, {"td": [ROOT]}, now=NOW).service_account == "x"


def test_chain_may_hold_the_root_and_stand_in_any_order() -> None:
    authority = load_plugged_in(files(chain=certificate_pem(ROOT, MIDDLE, SIGNER)), "td", now=NOW)
    # Presented in order, and with the root since its owner lists it.
    assert authority.chain == (SIGNER, MIDDLE, ROOT)


def test_a_self_signed_root_signs_by_itself() -> None:
    root = certificate_pem(ROOT)
    authority = load_plugged_in(files(root, key_pem(ec_key("root")), root, root), "td", now=NOW)
    assert authority.dump()["chain_length"] == 0


def test_an_rsa_authority_works() -> None:
    root = signing_certificate("rsa root", key=rsa_key(2048))
    pem = certificate_pem(root)
    assert load_plugged_in(files(pem, key_pem(rsa_key(2048)), pem, pem), "td", now=NOW).certificate == root


def test_an_old_and_a_new_root_are_both_published() -> None:
    both = certificate_pem(signing_certificate("next root"), ROOT)
    assert len(load_plugged_in(files(roots=both), "td", now=NOW).roots) == 2


def test_broken_text_is_refused_with_its_line() -> None:
    middle = certificate_pem(MIDDLE).splitlines()
    middle[2] = b"*" * 64
    chain = certificate_pem(SIGNER) + b"\n".join(middle)
    line = certificate_pem(SIGNER).count(b"\n") + 1
    assert refusal(files(chain=chain)) == (Code.CA_FILE_PEM, f"cert-chain.pem:{line}")
    assert refusal(files(certificate=b"")) == (Code.CA_FILE_PEM, "ca-cert.pem:1")
    assert refusal(files(roots=certificate_pem(ROOT)[:-40])) == (Code.CA_FILE_PEM, "root-cert.pem:1")


def test_two_signing_certificates_are_refused() -> None:
    line = certificate_pem(SIGNER).count(b"\n") + 1
    found = refusal(files(certificate=certificate_pem(SIGNER, MIDDLE)))
    assert found == (Code.CA_CHAIN, f"ca-cert.pem:{line}")


@pytest.mark.parametrize(
    "key",
    [
        b"",
        b"text",
        key_pem(ec_key("signer"), b"password"),
        key_pem(rsa_key(1024)),
        key_pem(ec.generate_private_key(ec.SECP521R1())),
    ],
    ids=["empty", "text", "encrypted", "short", "curve"],
)
def test_a_key_that_cannot_be_used_is_refused(key: bytes) -> None:
    assert refusal(files(key=key)) == (Code.CA_KEY, "ca-key.pem:1")


def test_the_key_of_another_certificate_is_refused() -> None:
    assert refusal(files(key=key_pem(ec_key("root")))) == (Code.CA_KEY_MISMATCH, "ca-key.pem:1")


def test_a_leaf_does_not_sign() -> None:
    leaf = signing_certificate("signer", parent=MIDDLE, parent_key=ec_key("middle"), is_ca=False)
    assert refusal(under(leaf)) == (Code.CA_NOT_A_CA, "ca-cert.pem:1")


def test_a_root_that_does_not_say_that_it_signs_is_told_how_to() -> None:
    """As `openssl req -x509` makes one."""
    key = ec_key("root")
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plain root")])
    start, end = (datetime.fromtimestamp(NOW + one, UTC) for one in (-60, 3600))
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, start, end)
    root = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, SHA256())
    pem = certificate_pem(root)
    with pytest.raises(CAFileError) as caught:
        load_plugged_in(files(pem, key_pem(key), pem, pem), "td", now=NOW)
    (finding,) = caught.value.findings
    assert (finding.code, "keyUsage=critical,keyCertSign" in finding.hint) == (Code.CA_NOT_A_CA, True)


def test_a_chain_with_a_gap_is_refused() -> None:
    assert refusal(files(chain=certificate_pem(SIGNER))) == (Code.CA_CHAIN, "ca-cert.pem:1")
    stranger = certificate_pem(signing_certificate("stranger"))
    assert refusal(files(roots=stranger))[0] == Code.CA_CHAIN


@pytest.mark.parametrize("now", [NOW + 31 * DAY, NOW - 2 * DAY])
def test_certificates_out_of_their_time_are_refused(now: float) -> None:
    assert refusal(files(), now=now) == (Code.CA_VALIDITY, "ca-cert.pem:1")


def test_in_the_second_of_its_end_a_certificate_is_out_of_its_time() -> None:
    """The authority signs nothing from that second on: who took it would wait for a first certificate."""
    end = SIGNER.not_valid_after_utc.timestamp()
    load_plugged_in(files(), "td", now=end - 0.1)
    assert refusal(files(), now=end) == (Code.CA_VALIDITY, "ca-cert.pem:1")


def test_path_length_is_honoured_at_the_door() -> None:
    middle = signing_certificate("middle", parent=ROOT, parent_key=ec_key("root"), path_length=0)
    line = certificate_pem(SIGNER).count(b"\n") + 1
    found = refusal(files(chain=certificate_pem(SIGNER, middle)))
    assert found == (Code.CA_PATH_LENGTH, f"cert-chain.pem:{line}")


@pytest.mark.parametrize("uri", ["spiffe://other", "spiffe://td/ns/a/sa/b", "https://td"])
def test_a_signer_of_another_trust_domain_is_refused(uri: str) -> None:
    signer = signing_certificate("signer", parent=MIDDLE, parent_key=ec_key("middle"), uri=uri)
    assert refusal(under(signer)) == (Code.CA_TRUST_DOMAIN, "ca-cert.pem:1")


def test_a_signer_whose_certificates_peers_would_refuse_is_refused() -> None:
    signer = signing_certificate("signer", parent=MIDDLE, parent_key=ec_key("middle"), constraint="elsewhere")
    assert refusal(under(signer)) == (Code.CA_UNUSABLE, "ca-cert.pem:1")


def test_the_key_is_not_in_the_text_of_an_error_or_an_object() -> None:
    broken = replace(files(), roots=PEMFile("root-cert.pem", b""))
    assert "PRIVATE" not in repr(broken)
