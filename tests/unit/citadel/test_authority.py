"""The authority signs what policy gives, for as long as was asked, and keeps its key to itself."""

import copy
import pickle

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.citadel.authority import BACKDATE_S, LEAF_TTL_S_MAX, LEAF_TTL_S_MIN, Authority, create_root
from argosy.citadel.csr import CertificateRequest
from argosy.citadel.errors import Code, IssueError
from argosy.citadel.identity import vouch
from argosy.citadel.verify import uri_names, verify_svid

from .forge import DAY, NOW, ec_key

REQUEST = CertificateRequest(ec_key("workload").public_key())
IDENTITY = vouch("default", "reviews", pod="reviews-1", workload="reviews-v1", node="n1")
AUTHORITY = create_root("td", ec_key("root"), now=NOW, serial=1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=30)


def refusal(authority: Authority, *, ttl_s: float = 3600, now: float = NOW) -> Code:
    with pytest.raises(IssueError) as caught:
        authority.issue(IDENTITY, REQUEST, ttl_s=ttl_s, now=now, serial=2)
    return Code(caught.value.findings[0].code)


@settings(max_examples=60, deadline=None)
@given(
    namespace=NAMES,
    account=NAMES,
    workload=st.just("") | NAMES,
    ttl_s=st.integers(LEAF_TTL_S_MIN, LEAF_TTL_S_MAX),
    serial=st.integers(1, 2**159 - 1),
    offset_s=st.floats(0, 365 * DAY),
)
def test_whatever_is_issued_verifies_as_the_identity_that_was_proved(
    namespace: str, account: str, workload: str, ttl_s: int, serial: int, offset_s: float
) -> None:
    now = NOW + offset_s
    identity = vouch(namespace, account, workload=workload)
    issued = AUTHORITY.issue(identity, REQUEST, ttl_s=ttl_s, now=now, serial=serial)
    leaf = x509.load_pem_x509_certificate(issued.chain[0].encode())
    assert verify_svid([leaf], {"td": AUTHORITY.roots}, now=now) == identity.spiffe_id("td") == issued.spiffe_id
    assert uri_names(leaf) == [f"spiffe://td/ns/{namespace}/sa/{account}"]
    assert leaf.serial_number == serial
    assert leaf.public_key() == REQUEST.public_key
    assert issued.not_before == int(now - BACKDATE_S)
    assert issued.not_after == int(now + ttl_s)


def test_chain_of_a_self_signed_authority_is_the_leaf_alone() -> None:
    issued = AUTHORITY.issue(IDENTITY, REQUEST, ttl_s=3600, now=NOW, serial=2)
    assert len(issued.chain) == 1
    assert [x509.load_pem_x509_certificate(root.encode()) for root in issued.roots] == [AUTHORITY.certificate]


@pytest.mark.parametrize("ttl_s", [0, -1, LEAF_TTL_S_MIN - 0.1, LEAF_TTL_S_MAX + 1, float("nan"), float("inf")])
def test_a_life_out_of_range_is_refused_and_not_clamped(ttl_s: float) -> None:
    assert refusal(AUTHORITY, ttl_s=ttl_s) == Code.TTL_RANGE


def test_end_is_capped_by_the_signers_own() -> None:
    authority = create_root("td", ec_key("root"), now=NOW, serial=1, ttl_s=100)
    issued = authority.issue(IDENTITY, REQUEST, ttl_s=3600, now=NOW, serial=2)
    assert issued.not_after == authority.not_after == NOW + 100


@pytest.mark.parametrize("now", [NOW - DAY, NOW + 100])
def test_a_signer_out_of_its_time_signs_nothing(now: float) -> None:
    authority = create_root("td", ec_key("root"), now=NOW, serial=1, ttl_s=100)
    assert refusal(authority, now=now) == Code.SIGNER_EXPIRED


def test_the_key_is_not_printed_copied_or_pickled() -> None:
    assert repr(AUTHORITY) == "Authority('td', 'CN=Root CA td,O=Argosy')"
    assert "PRIVATE" not in str(AUTHORITY.dump())
    for leak in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            leak(AUTHORITY)


def test_a_long_trust_domain_fits_into_a_root() -> None:
    domain = "d" * 255
    root = create_root(domain, ec_key("root"), now=NOW, serial=1)
    assert uri_names(root.certificate) == [f"spiffe://{domain}"]
