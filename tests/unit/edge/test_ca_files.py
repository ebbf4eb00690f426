"""The authority's files: made once, replaced whole, and refused where they do not fit."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from argosy.citadel.authority import Authority
from argosy.citadel.errors import BundleError, CAFileError, Code
from argosy.citadel.trust import Federated, Holder, Phase
from argosy.edge.ca_files import CAFolders, Rotation, load_ca, load_or_create_ca

from ..citadel.meshca import START


def test_first_start_makes_a_root_and_the_next_one_finds_it(tmp_path: Path) -> None:
    directory = tmp_path / "home" / "ca"
    made = load_or_create_ca(directory, "td", now=START)
    assert sorted(path.name for path in directory.iterdir()) == [
        "ca-cert.pem",
        "ca-key.pem",
        "cert-chain.pem",
        "root-cert.pem",
    ]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "ca-key.pem").stat().st_mode & 0o777 == 0o600
    assert list(directory.parent.iterdir()) == [directory]
    assert load_or_create_ca(directory, "td", now=START + 60).roots == made.roots
    ten_years = datetime.fromtimestamp(START, UTC) + timedelta(days=3650)
    assert abs(made.certificate.not_valid_after_utc - ten_years) < timedelta(minutes=1)


def test_what_a_killed_first_start_left_is_cleaned_by_the_next(tmp_path: Path) -> None:
    left = tmp_path / ".ca.new"
    left.mkdir()
    (left / "ca-key.pem").write_bytes(b"half")
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]


@pytest.mark.parametrize("name", ["ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"])
def test_a_lost_file_is_an_error_and_never_a_new_root(tmp_path: Path, name: str) -> None:
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    (tmp_path / "ca" / name).unlink()
    with pytest.raises(CAFileError) as caught:
        load_or_create_ca(tmp_path / "ca", "td", now=START)
    assert caught.value.findings[0].code == Code.CA_FILE_MISSING
    assert str(caught.value.findings[0].origin).endswith(name)


def test_another_trust_domain_is_refused(tmp_path: Path) -> None:
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    with pytest.raises(CAFileError) as caught:
        load_ca(tmp_path / "ca", "other", now=START)
    assert caught.value.findings[0].code == Code.CA_TRUST_DOMAIN


def test_a_crash_while_the_root_is_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F36: each step fails in turn; the next start makes a whole authority."""
    original, steps = os.replace, []

    def fail_at(count: int) -> Any:
        def replace(source: Any, target: Any) -> None:
            steps.append(target)
            if len(steps) > count:
                raise OSError("disk full")
            original(source, target)

        return replace

    for count in range(4):
        steps.clear()
        monkeypatch.setattr(os, "replace", fail_at(count))
        with pytest.raises(OSError, match="disk full"):
            load_or_create_ca(tmp_path / "ca", "td", now=START)
        assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert isinstance(load_or_create_ca(tmp_path / "ca", "td", now=START), Authority)


def folders(tmp_path: Path) -> CAFolders:
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    return CAFolders(tmp_path / "ca", tmp_path / "citadel", "td")


def test_notes_are_kept_apart_from_the_authority_and_for_their_owner_only(tmp_path: Path) -> None:
    found = folders(tmp_path)
    assert found.rotation() == Rotation()
    found.note_rotation(Rotation(Phase.ADDING, keep=("a",)))
    found.prepare_next(None, now=START)
    assert found.rotation() == Rotation(Phase.ADDING, keep=("a",))
    assert found.state.stat().st_mode & 0o777 == 0o700
    assert (found.next / "ca-key.pem").stat().st_mode & 0o777 == 0o600


def test_a_spoiled_note_is_named(tmp_path: Path) -> None:
    found = folders(tmp_path)
    found.note_rotation(Rotation())
    (found.state / "rotation.json").write_text('{"phase": "never"}')
    with pytest.raises(CAFileError) as caught:
        found.rotation()
    assert caught.value.findings[0].code == Code.ROTATION_STATE
    assert str(caught.value.findings[0].origin).endswith("rotation.json")


def test_a_bad_next_authority_is_refused_and_not_kept(tmp_path: Path) -> None:
    found = folders(tmp_path)
    files = {name: (found.active / name).read_text() for name in ("ca-cert.pem", "cert-chain.pem", "root-cert.pem")}
    with pytest.raises(CAFileError, match="no ca-key"):
        found.prepare_next(files, now=START)
    with pytest.raises(CAFileError):
        found.prepare_next({**files, "ca-key.pem": "no key"}, now=START)
    assert not found.next.exists()


def test_the_bundle_is_numbered_anew_only_when_its_roots_change(tmp_path: Path) -> None:
    """S21, over restarts."""
    found, other = folders(tmp_path), tmp_path / "other"
    roots = found.load(now=START).roots
    more = (*roots, *load_or_create_ca(other, "td", now=START).roots)
    assert [found.next_sequence(one).sequence for one in (roots, roots, more, more, roots)] == [1, 1, 2, 2, 3]


def test_who_holds_what_is_remembered_and_counts_as_away(tmp_path: Path) -> None:
    found = folders(tmp_path)
    ledger = found.ledger()
    ledger.report("agent/n1", [Holder("default/a", "s", "b", 9.0)])
    found.note_ledger(ledger)
    assert found.ledger().holders() == ledger.holders()
    assert found.ledger().away == {"agent/n1"}
    found.forget_ledger()
    assert found.ledger().holders() == ()


def test_another_trust_domain_is_believed_by_its_own_bundle_until_it_is_removed(tmp_path: Path) -> None:
    found = folders(tmp_path)
    foreign = load_or_create_ca(tmp_path / "other", "partner.example", now=START)
    data = CAFolders(tmp_path / "other", tmp_path / "x", "partner.example").next_sequence(foreign.roots)
    from argosy.citadel.bundle import encode_bundle

    text = encode_bundle(data)
    found.import_bundle("partner.example", text)
    assert found.federated() == (Federated("partner.example", foreign.trust().roots),)
    with pytest.raises(BundleError) as caught:
        found.import_bundle("td", text)
    assert caught.value.findings[0].code == Code.BUNDLE_OWN
    assert found.remove_bundle("partner.example")
    assert not found.remove_bundle("partner.example")
    assert found.federated() == ()


@pytest.mark.parametrize("name", ["../x", "a/b", "", "A.example"])
def test_what_is_no_trust_domain_names_no_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"trust domain"):
        folders(tmp_path).import_bundle(name, b"{}")


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    found = folders(tmp_path)
    before = found.signature()
    assert found.signature() == before
    (found.active / "ca-crl.pem").write_text("x")
    assert found.signature() != before
