"""X.509-SVID rules S06-S16 and S22: what we issue, and what we refuse although a trusted key has signed it."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from argosy.citadel.authority import IssuedCertificate, create_root
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.errors import Code, IssueError, SVIDError
from argosy.citadel.identity import vouch
from argosy.citadel.pem import PublicKey
from argosy.citadel.verify import verify_svid

from .forge import BOTH, DAY, NOW, Pair, Usage, forge, forge_ca, key

ROOT_A = forge_ca("td-a")
ROOT_B = forge_ca("td-b")
BUNDLES = {"td-a": (ROOT_A.certificate,), "td-b": (ROOT_B.certificate,)}
AUTHORITY = create_root("td-a", key("authority"), now=NOW, serial=1)
RSA_KEY = rsa.generate_private_key(65537, 2048)


def refusal(*chain: Pair, now: float = NOW) -> Code:
    with pytest.raises(SVIDError) as caught:
        verify_svid([pair.certificate for pair in chain], BUNDLES, now=now)
    return Code(caught.value.findings[0].code)


def issue(public_key: PublicKey, service_account: str = "x") -> IssuedCertificate:
    identity = vouch("default", service_account, workload="x-v1")
    return AUTHORITY.issue(identity, CertificateRequest(public_key), ttl_s=3600, now=NOW, serial=7)


def leaf_of(issued: IssuedCertificate) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.chain[0].encode())


KEYS = [key("leaf").public_key(), ec.generate_private_key(ec.SECP384R1()).public_key(), RSA_KEY.public_key()]


@pytest.mark.parametrize("public_key", KEYS, ids=["p256", "p384", "rsa"])
def test_s06_s12_issued_leaf_has_exactly_the_profile(public_key: PublicKey) -> None:
    leaf = leaf_of(issue(public_key))
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://td-a/ns/default/sa/x"]
    assert leaf.subject == x509.Name([])
    assert names.critical
    constraints = leaf.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert not constraints.value.ca
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage)
    assert usage.critical
    assert usage.value.digital_signature
    assert usage.value.key_encipherment == isinstance(public_key, rsa.RSAPublicKey)
    assert not usage.value.key_cert_sign
    assert not usage.value.crl_sign
    assert set(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == set(BOTH)
    assert leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)


def test_s06_issued_leaf_verifies() -> None:
    found = verify_svid([leaf_of(issue(KEYS[0]))], {"td-a": AUTHORITY.roots}, now=NOW)
    assert str(found) == "spiffe://td-a/ns/default/sa/x"


def test_s06_other_names_may_be_any_number() -> None:
    leaf = forge(signer=ROOT_A, dns=("a.example", "b.example"))
    assert verify_svid([leaf.certificate], BUNDLES, now=NOW).path == "/ns/default/sa/x"


def test_s05_an_id_beyond_2048_bytes_is_refused_at_issue() -> None:
    fits = "a" * (2048 - len("spiffe://td-a/ns/default/sa/"))
    leaf = leaf_of(issue(KEYS[0], fits))
    assert verify_svid([leaf], {"td-a": AUTHORITY.roots}, now=NOW).service_account == fits
    with pytest.raises(IssueError):
        issue(KEYS[0], fits + "a")


def test_s07_root_path_is_refused() -> None:
    assert refusal(forge(uris=("spiffe://td-a",), signer=ROOT_A)) == Code.SVID_ID


@pytest.mark.parametrize("usage", [None, Usage(critical=False), Usage(digital_signature=False, crl_sign=True)])
def test_s08_key_usage_must_be_present_critical_and_sign(usage: Usage | None) -> None:
    assert refusal(forge(signer=ROOT_A, usage=usage)) == Code.SVID_KEY_USAGE


@pytest.mark.parametrize("purpose", BOTH)
def test_s09_extended_key_usage_must_name_both(purpose: x509.ObjectIdentifier) -> None:
    assert refusal(forge(signer=ROOT_A, purposes=(purpose,))) == Code.SVID_EXTENDED_KEY_USAGE


def test_s09_extended_key_usage_may_be_absent() -> None:
    leaf = forge(signer=ROOT_A, purposes=None)
    assert verify_svid([leaf.certificate], BUNDLES, now=NOW).trust_domain == "td-a"


@pytest.mark.parametrize(
    "uris", [(), ("spiffe://td-a/x", "spiffe://td-a/y"), ("spiffe://td-a/x", "https://td-a/x")], ids=len
)
def test_s10_any_number_of_uri_sans_but_one_is_refused(uris: tuple[str, ...]) -> None:
    assert refusal(forge(uris=uris, dns=("a.example",), signer=ROOT_A)) == Code.SVID_URI_SAN


def test_s11_ca_leaf_is_refused() -> None:
    leaf = forge(signer=ROOT_A, is_ca=True, usage=Usage(cert_sign=True))
    assert refusal(leaf) == Code.SVID_IS_CA


@pytest.mark.parametrize("usage", [Usage(cert_sign=True), Usage(crl_sign=True)])
def test_s11_leaf_that_may_sign_certificates_or_crls_is_refused(usage: Usage) -> None:
    assert refusal(forge(signer=ROOT_A, usage=usage)) == Code.SVID_KEY_USAGE


@pytest.mark.parametrize("uri", ["https://td-a/x", "spiffe://td-a:1/x", "spiffe://td-a/x?y", "spiffe://td-a/a/../b"])
def test_s11_other_schemes_and_bad_ids_are_refused(uri: str) -> None:
    assert refusal(forge(uris=(uri,), signer=ROOT_A)) == Code.SVID_ID


def test_s12_issued_san_is_critical_as_the_subject_is_empty() -> None:
    leaf = leaf_of(issue(KEYS[0]))
    assert leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


def test_s13_our_root_is_a_signing_certificate_with_its_domains_id() -> None:
    root = AUTHORITY.certificate
    names = root.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://td-a"]
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = root.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.critical
    assert constraints.value.ca
    assert usage.critical
    assert usage.value.key_cert_sign
    assert usage.value.crl_sign
    assert not usage.value.digital_signature
    assert root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)


def test_s14_signing_certificates_do_not_authenticate() -> None:
    assert refusal(ROOT_A) == Code.SVID_IS_CA
    intermediate = forge_ca("td-a", signer=ROOT_A, name="intermediate", path_length=0)
    assert refusal(intermediate) == Code.SVID_IS_CA


def test_s15_s22_leaf_of_one_domain_signed_by_the_other_is_refused() -> None:
    assert refusal(forge(uris=("spiffe://td-a/x",), signer=ROOT_B)) == Code.SVID_CHAIN
    assert refusal(forge(uris=("spiffe://td-c/x",), signer=ROOT_A)) == Code.SVID_TRUST_DOMAIN
    assert verify_svid([forge(uris=("spiffe://td-b/x",), signer=ROOT_B).certificate], BUNDLES, now=NOW).path == "/x"


def test_s15_intermediates_are_followed() -> None:
    intermediate = forge_ca("td-a", signer=ROOT_A, name="intermediate", path_length=0)
    leaf = forge(signer=intermediate)
    chain = [leaf.certificate, intermediate.certificate]
    assert verify_svid(chain, BUNDLES, now=NOW).trust_domain == "td-a"
    assert refusal(leaf) == Code.SVID_CHAIN


def test_s15_path_length_is_honoured() -> None:
    upper = forge_ca("td-a", signer=ROOT_A, name="upper", path_length=0)
    lower = forge_ca("td-a", signer=upper, name="lower")
    assert refusal(forge(signer=lower), lower, upper) == Code.SVID_CHAIN


def test_s15_leaf_does_not_sign_leaves() -> None:
    parent = forge(signer=ROOT_A, name="parent", key_name="parent")
    assert refusal(forge(signer=parent), parent) == Code.SVID_CHAIN


@pytest.mark.parametrize("now", [NOW - 2 * DAY, NOW + 2 * DAY])
def test_s15_time_is_honoured(now: float) -> None:
    assert refusal(forge(signer=ROOT_A), now=now) == Code.SVID_CHAIN


def test_s15_expired_root_is_refused() -> None:
    root = forge_ca("td-d", end=NOW - 1)
    leaf = forge(uris=("spiffe://td-d/x",), signer=root)
    with pytest.raises(SVIDError):
        verify_svid([leaf.certificate], {"td-d": [root.certificate]}, now=NOW)


def test_s15_same_name_and_other_key_is_refused() -> None:
    impostor = Pair(ROOT_A.certificate, key("impostor"))
    assert refusal(forge(signer=impostor)) == Code.SVID_CHAIN


@pytest.mark.parametrize("domain", ["td-b", "td-a"])
def test_s16_uri_name_constraints_are_never_ignored(domain: str) -> None:
    """Stricter than asked: the path validator refuses URI constraints whole, also one that would permit the id."""
    intermediate = forge_ca("td-a", signer=ROOT_A, name="constrained", constraint=domain)
    assert refusal(forge(signer=intermediate), intermediate) == Code.SVID_CHAIN


def test_empty_and_overlong_chains_are_refused() -> None:
    assert refusal() == Code.SVID_SHAPE
    leaf = forge(signer=ROOT_A)
    assert refusal(*[leaf] * 11) == Code.SVID_SHAPE


def test_purposes_are_the_two_of_tls() -> None:
    assert set(BOTH) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
