"""Of a request only the key is believed, and only if the request is sound."""

import base64

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from argosy.citadel.csr import CSR_BYTES_MAX, parse_csr
from argosy.citadel.errors import Code, CSRError
from argosy.citadel.pem import PrivateKey

from .forge import ec_key, rsa_key

P384 = ec.generate_private_key(ec.SECP384R1())


def csr(key: PrivateKey | ed25519.Ed25519PrivateKey, algorithm: hashes.SHA256 | None = hashes.SHA256()) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    return builder.sign(key, algorithm).public_bytes(serialization.Encoding.PEM)


def refusal(pem: bytes) -> Code:
    with pytest.raises(CSRError) as caught:
        parse_csr(pem)
    return Code(caught.value.findings[0].code)


@pytest.mark.parametrize("key", [ec_key("a"), P384, rsa_key(2048)], ids=["p256", "p384", "rsa"])
def test_allowed_keys_are_taken(key: PrivateKey) -> None:
    assert parse_csr(csr(key)).public_key == key.public_key()


def test_other_keys_are_refused() -> None:
    assert refusal(csr(rsa_key(1024))) == Code.CSR_KEY
    assert refusal(csr(ec.generate_private_key(ec.SECP521R1()))) == Code.CSR_KEY
    assert refusal(csr(ed25519.Ed25519PrivateKey.generate(), None)) in (Code.CSR_KEY, Code.CSR_SIGNATURE)


def test_a_request_signed_by_another_key_is_refused() -> None:
    request = x509.load_pem_x509_csr(csr(ec_key("a")))
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    pem = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    assert refusal(pem) == Code.CSR_SIGNATURE


@pytest.mark.parametrize("pem", [b"", b"text", b"\xff\x00", b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"])
def test_text_that_is_no_request_is_refused(pem: bytes) -> None:
    assert refusal(pem) == Code.CSR_SHAPE


def test_an_overlong_request_is_not_even_decoded() -> None:
    assert refusal(csr(ec_key("a")) + b"\n" * CSR_BYTES_MAX) == Code.CSR_SHAPE


def test_bytes_that_were_changed_are_refused_and_nothing_else() -> None:
    """Whatever stands in it: a version that is none, a name of a kind that nobody reads."""
    names = [x509.UniformResourceIdentifier("spiffe://td/ns/a/sa/b"), x509.DNSName("a"), x509.RFC822Name("a@b")]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    good = builder.sign(ec_key("a"), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    told = set()
    for at in range(len(good)):
        for bit in range(8):
            changed = bytearray(good)
            changed[at] ^= 1 << bit
            try:
                # What the signature is not about may differ: the coding of the signature itself.
                assert parse_csr(_pem(bytes(changed))).public_key == ec_key("a").public_key()
            except CSRError as error:
                told.add(Code(error.findings[0].code))
    assert told <= {Code.CSR_SHAPE, Code.CSR_SIGNATURE, Code.CSR_KEY}
    assert {Code.CSR_SHAPE, Code.CSR_SIGNATURE} <= told


def _pem(der: bytes) -> bytes:
    text = base64.encodebytes(der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n".encode()
