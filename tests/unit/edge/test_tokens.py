"""The token issuer makes its key once, keeps it to itself, and mints what the verifier accepts."""

from pathlib import Path

import pytest

from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.tokens import verify_token
from argosy.edge.tokens import TokenSubject, load_or_create_issuer, load_public_key, write_file

NOW = 1_800_000_000.0
SUBJECT = TokenSubject("default", "reviews", pod="reviews-1", workload="reviews-v1", node="n1")


def test_a_minted_token_verifies_with_the_public_file(tmp_path: Path) -> None:
    issuer = load_or_create_issuer(tmp_path / "identity")
    key = load_public_key(tmp_path / "identity" / "issuer-pub.pem")
    found = verify_token(issuer.mint(SUBJECT, now=NOW), [key], now=NOW + 599)
    assert (found.namespace, found.service_account, found.workload) == ("default", "reviews", "reviews-v1")


def test_the_key_is_made_once_and_for_the_owner_only(tmp_path: Path) -> None:
    directory = tmp_path / "identity"
    first = load_or_create_issuer(directory)
    assert load_or_create_issuer(directory).public_key == first.public_key
    assert (directory / "issuer-key.pem").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in directory.iterdir()) == ["issuer-key.pem", "issuer-pub.pem"]


def test_of_two_programs_that_start_together_one_makes_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_or_create_issuer(tmp_path)
    # The second one looked just before the first one's key was there.
    monkeypatch.setattr(Path, "exists", lambda _self: False)
    second = load_or_create_issuer(tmp_path)
    assert second.public_key.public_numbers() == first.public_key.public_numbers()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["issuer-key.pem", "issuer-pub.pem"]


def test_a_key_open_to_others_is_refused_with_the_remedy(tmp_path: Path) -> None:
    load_or_create_issuer(tmp_path)
    (tmp_path / "issuer-key.pem").chmod(0o644)
    with pytest.raises(CAFileError) as caught:
        load_or_create_issuer(tmp_path)
    assert caught.value.findings[0].code == Code.CA_FILE_MODE
    assert caught.value.findings[0].hint.startswith("chmod 600")


def test_a_broken_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    write_file(tmp_path / "issuer-key.pem", b"broken", mode=0o600)
    with pytest.raises(CAFileError):
        load_or_create_issuer(tmp_path)
    assert (tmp_path / "issuer-key.pem").read_bytes() == b"broken"


@pytest.mark.parametrize("content", [b"", b"text", None])
def test_a_public_file_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "issuer-pub.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CAFileError) as caught:
        load_public_key(path)
    assert caught.value.findings[0].origin.file == str(path)


def test_what_a_killed_writer_left_is_cleaned_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".file.new").write_bytes(b"half")
    write_file(tmp_path / "file", b"whole", mode=0o600)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_file(path, b"old", mode=0o600)
    with pytest.raises(TypeError):
        write_file(path, "not bytes", mode=0o600)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
