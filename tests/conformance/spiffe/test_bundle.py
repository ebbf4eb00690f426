"""Trust bundle rules S17-S22 and S24."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from argosy.citadel.bundle import TrustBundle, decode_bundle, encode_bundle, next_bundle
from argosy.citadel.errors import BundleError, Code, SVIDError
from argosy.citadel.verify import verify_svid

from .forge import forge_ca

ROOT = forge_ca("td-a").certificate
OTHER = forge_ca("td-a", name="other").certificate
BUNDLE = TrustBundle("td-a", (ROOT, OTHER), sequence=3, refresh_hint_s=300)


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(encode_bundle(BUNDLE))
    return loaded


def decode(changed: object) -> TrustBundle:
    return decode_bundle("td-a", json.dumps(changed).encode())


def test_s17_s18_export_has_the_required_members_and_comes_back_equal() -> None:
    for entry, root in zip(document()["keys"], BUNDLE.roots, strict=True):
        assert entry["kty"] == "EC"
        assert entry["use"] == "x509-svid"
        assert "kid" not in entry
        assert entry["x5c"] == [base64.b64encode(root.public_bytes(Encoding.DER)).decode()]
    assert decode_bundle("td-a", encode_bundle(BUNDLE)) == BUNDLE


@pytest.mark.parametrize(
    "junk",
    [
        {"kty": "XX", "use": "x509-svid", "x5c": ["?"]},
        {"kty": "EC", "use": "jwt-svid", "kid": "1"},
        {"kty": "EC", "use": "X509-SVID", "x5c": ["?"]},
        {"use": "x509-svid", "x5c": ["?"]},
        {"kty": "EC", "x5c": ["?"]},
        "text",
        None,
    ],
)
def test_s17_s18_unknown_entries_are_ignored(junk: object) -> None:
    changed = document()
    changed["keys"].insert(0, junk)
    assert decode(changed) == BUNDLE


@pytest.mark.parametrize("x5c", [None, [], "text", {}])
def test_s19_entry_without_certificate_is_skipped(x5c: object) -> None:
    changed = document()
    changed["keys"][0]["x5c"] = x5c
    assert decode(changed).roots == (OTHER,)


def test_s19_only_the_first_of_several_certificates_counts() -> None:
    changed = document()
    changed["keys"][0]["x5c"].append("not even base64")
    assert decode(changed) == BUNDLE


def test_s20_bundle_without_x509_root_is_refused() -> None:
    with pytest.raises(BundleError) as caught:
        decode({"keys": []})
    assert caught.value.findings[0].code == Code.BUNDLE_EMPTY


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"keys": 1}', b"\xff", b"[" * 100_000])
def test_s17_other_shapes_are_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        decode_bundle("td-a", data)


@pytest.mark.parametrize("value", ["AAAA", "???", 7, None])
def test_a_broken_certificate_refuses_the_bundle(value: object) -> None:
    changed = document()
    changed["keys"][0]["x5c"] = [value]
    with pytest.raises(BundleError):
        decode(changed)


def test_a_root_of_which_any_byte_is_changed_is_refused_or_can_be_shown() -> None:
    """What a partner publishes makes no command fail later, where it is shown or checked."""
    good = ROOT.public_bytes(Encoding.DER)
    refused = 0
    for at in range(len(good)):
        changed = bytearray(good)
        changed[at] ^= 0x41
        entry = {"use": "x509-svid", "kty": "EC", "x5c": [base64.b64encode(changed).decode()]}
        try:
            (root,) = decode({"keys": [entry]}).roots
        except BundleError:
            refused += 1
            continue
        assert isinstance(root.subject.rfc4514_string(), str)
        with pytest.raises(SVIDError):
            verify_svid([OTHER], {"td-a": [root]}, now=0)
    assert 0 < refused < len(good)


def test_s21_sequence_grows_with_every_change_and_only_then() -> None:
    bundle = TrustBundle("td-a", (ROOT,))
    for turn in range(1, 11):
        roots = (ROOT, OTHER) if turn % 2 else (ROOT,)
        bundle = next_bundle(bundle, roots)
        assert bundle.sequence == turn
        assert next_bundle(bundle, roots) is bundle


def test_s21_sequence_of_63_bits_is_read() -> None:
    assert decode(document() | {"spiffe_sequence": 2**63 - 1}).sequence == 2**63 - 1


@pytest.mark.parametrize("value", [-1, 1.5, "1", True])
def test_s21_other_sequences_are_refused(value: object) -> None:
    with pytest.raises(BundleError):
        decode(document() | {"spiffe_sequence": value})


def test_s24_optional_members_may_be_absent() -> None:
    stripped = {"keys": [{name: entry[name] for name in ("kty", "use", "x5c")} for entry in document()["keys"]]}
    assert decode(stripped) == TrustBundle("td-a", (ROOT, OTHER))
