"""Revocation lists before proxies get them."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from argosy.citadel import revocation
from argosy.citadel.authority import Authority, create_root
from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.pem import PEMFile
from argosy.citadel.revocation import complete_crls, decode_crls, is_revoked

from .forge import DAY, NOW, ec_key, signing_certificate

ROOT = signing_certificate("root")
MIDDLE = signing_certificate("middle", parent=ROOT, parent_key=ec_key("root"))
SIGNER = signing_certificate("signer", parent=MIDDLE, parent_key=ec_key("middle"))
AUTHORITY = Authority("td", SIGNER, ec_key("signer"), chain=(SIGNER, MIDDLE), roots=(ROOT,))


def made(
    signer: x509.Certificate, key: ec.EllipticCurvePrivateKey, *serials: int, end: float = NOW + DAY, begin: float = NOW
) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(signer.subject)
        .last_update(datetime.fromtimestamp(begin, UTC))
        .next_update(datetime.fromtimestamp(end, UTC))
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(datetime.fromtimestamp(NOW, UTC))
        builder = builder.add_revoked_certificate(entry.build())
    return builder.sign(key, hashes.SHA256())


def file(*lists: x509.CertificateRevocationList) -> PEMFile:
    return PEMFile("ca-crl.pem", b"".join(one.public_bytes(serialization.Encoding.PEM) for one in lists))


BY_ROOT, BY_MIDDLE = made(ROOT, ec_key("root")), made(MIDDLE, ec_key("middle"))


def code(given: PEMFile, authority: Authority = AUTHORITY) -> str:
    with pytest.raises(CAFileError) as caught:
        complete_crls(given, authority, now=NOW)
    return caught.value.findings[0].code


def test_every_authority_up_to_the_root_gets_a_list() -> None:
    lists, ends = complete_crls(file(BY_ROOT, BY_MIDDLE), AUTHORITY, now=NOW)
    issuers = [x509.load_pem_x509_crl(text.encode()).issuer for text in lists]
    assert issuers == [ROOT.subject, MIDDLE.subject, SIGNER.subject]
    assert ends == NOW + DAY


def test_a_missing_list_is_named_since_proxies_would_refuse_everybody() -> None:
    with pytest.raises(CAFileError, match="CN=root") as caught:
        complete_crls(file(BY_MIDDLE), AUTHORITY, now=NOW)
    assert caught.value.findings[0].code == Code.CRL_MISSING


def test_lists_of_an_authority_that_goes_are_added() -> None:
    other = create_root("td", ec_key("other"), now=NOW, serial=1)
    more = other.empty_crl(now=NOW, number=1).public_bytes(serialization.Encoding.PEM).decode()
    both = AUTHORITY.with_roots((*AUTHORITY.roots, *other.roots))
    lists, _ends = complete_crls(file(BY_ROOT, BY_MIDDLE), both, more=[more], now=NOW)
    assert more in lists


def test_lists_of_others_are_left_out_but_not_all_of_them() -> None:
    stranger = made(signing_certificate("stranger"), ec_key("stranger"))
    assert len(complete_crls(file(BY_ROOT, BY_MIDDLE, stranger), AUTHORITY, now=NOW)[0]) == 3
    assert code(file(stranger)) == Code.CRL_FILE


def test_a_list_with_the_right_name_and_another_key_is_a_strangers() -> None:
    assert code(file(made(ROOT, ec_key("twin")))) == Code.CRL_FILE


@pytest.mark.parametrize("begin, end", [(NOW - DAY, NOW), (NOW + 60, NOW + DAY)])
def test_a_list_out_of_its_time_is_refused(begin: float, end: float) -> None:
    assert code(file(made(ROOT, ec_key("root"), begin=begin, end=end))) == Code.CRL_FILE


@pytest.mark.parametrize(
    "data", [b"", b"text", b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"], ids=["empty", "text", "broken"]
)
def test_what_is_no_list_is_refused_with_its_line(data: bytes) -> None:
    with pytest.raises(CAFileError) as caught:
        decode_crls(PEMFile("ca-crl.pem", data))
    assert str(caught.value.findings[0].origin) == "ca-crl.pem:1"


def test_a_file_without_bounds_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "CRL_BYTES_MAX", 10)
    assert code(file(BY_ROOT)) == Code.CRL_FILE


def test_a_chain_is_revoked_if_any_of_it_stands_in_its_issuers_list() -> None:
    by_root = made(ROOT, ec_key("root"), MIDDLE.serial_number)
    assert is_revoked([SIGNER, MIDDLE], [by_root])
    assert not is_revoked([SIGNER, MIDDLE], [BY_ROOT, BY_MIDDLE])
    assert not is_revoked([SIGNER], [made(ROOT, ec_key("root"), SIGNER.serial_number)])  # not its issuer's


def test_keys_that_sign_nothing_here_are_no_authoritys() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "root")])
    moment = datetime.fromtimestamp(NOW, UTC)
    odd = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(moment)
        .not_valid_after(datetime.fromtimestamp(NOW + DAY, UTC))
        .sign(key, None)
    )
    assert code(file(BY_ROOT), AUTHORITY.with_roots((odd,))) in (Code.CRL_FILE, Code.CRL_MISSING)
