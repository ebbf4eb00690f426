"""The authority without a running mesh: what it is, and a new life when everything has expired."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import create_root
from argosy.citadel.errors import CAFileError, Code, IssueError
from argosy.citadel.pem import encode_certificate, encode_private_key
from argosy.edge.ca_files import load_ca, load_or_create_ca, place_ca
from argosy.edge.ca_offline import check_files, renew_folder, status_of_files

from .test_ca_keeper import foreign_files

TD = "cluster.local"


def expired(folder: Path) -> None:
    """A root that ended yesterday."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = create_root(TD, key, now=time.time() - 2 * 86_400, serial=x509.random_serial_number(), ttl_s=86_400)
    text = encode_certificate(authority.certificate).encode()
    files = dict.fromkeys(("ca-cert.pem", "cert-chain.pem", "root-cert.pem"), text)
    place_ca(folder, {**files, "ca-key.pem": encode_private_key(key)})


def test_what_has_expired_is_told_and_renewed_without_anybody_running(tmp_path: Path) -> None:
    """F4."""
    expired(tmp_path / "ca")
    with pytest.raises(CAFileError):
        load_ca(tmp_path / "ca", TD, now=time.time())
    (finding,) = check_files(tmp_path)
    assert (finding.code, "argosy ca renew" in finding.hint) == (Code.EXPIRED, True)
    key = (tmp_path / "ca" / "ca-key.pem").read_text()
    assert renew_folder(tmp_path, "", None) == tmp_path / "ca"
    assert check_files(tmp_path) == []
    assert (tmp_path / "ca" / "ca-key.pem").read_text() == key
    assert load_ca(tmp_path / "ca", TD, now=time.time())


def test_a_mesh_that_never_ran_has_nothing_wrong(tmp_path: Path) -> None:
    assert check_files(tmp_path) == []


def test_a_file_that_is_lost_is_told(tmp_path: Path) -> None:
    load_or_create_ca(tmp_path / "ca", TD, now=time.time())
    (tmp_path / "ca" / "ca-key.pem").unlink()
    (finding,) = check_files(tmp_path)
    assert finding.code == Code.CA_FILE_MISSING


def test_files_that_do_not_fit_are_told(tmp_path: Path) -> None:
    load_or_create_ca(tmp_path / "ca", TD, now=time.time())
    load_or_create_ca(tmp_path / "b", TD, now=time.time())
    (tmp_path / "ca" / "root-cert.pem").write_bytes((tmp_path / "b" / "root-cert.pem").read_bytes())
    assert [one.code for one in check_files(tmp_path)] == [Code.CA_CHAIN]


def test_an_operators_authority_is_renewed_by_its_own_files(tmp_path: Path) -> None:
    files = foreign_files(tmp_path / "theirs", trust_domain=TD)
    place_ca(tmp_path / "cacerts", {name: text.encode() for name, text in files.items()})
    with pytest.raises(IssueError):
        renew_folder(tmp_path, str(tmp_path / "cacerts"), None)
    renewed = foreign_files(tmp_path / "renewed", trust_domain=TD)
    renew_folder(tmp_path, str(tmp_path / "cacerts"), renewed)
    assert (tmp_path / "cacerts" / "root-cert.pem").read_text() == renewed["root-cert.pem"]
    assert not (tmp_path / "citadel" / "next").exists()


def test_a_key_of_somebody_else_is_not_used_for_a_new_life(tmp_path: Path) -> None:
    expired(tmp_path / "ca")
    other = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "ca" / "ca-key.pem").write_bytes(encode_private_key(other))
    with pytest.raises(CAFileError) as caught:
        renew_folder(tmp_path, "", None)
    assert caught.value.findings[0].code == Code.CA_KEY_MISMATCH


def test_the_folder_of_the_running_mesh_is_meant(tmp_path: Path) -> None:
    load_or_create_ca(tmp_path / "elsewhere", "example.org", now=time.time())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mesh.json").write_text(
        f'{{"ca_dir": "{tmp_path / "elsewhere"}", "trust_domain": "example.org"}}'
    )
    shown = status_of_files(tmp_path)
    assert (shown["trust_domain"], shown["folder"]) == ("example.org", str(tmp_path / "elsewhere"))
