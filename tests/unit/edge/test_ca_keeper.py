"""The authority in force: steps of a rotation, crashes in between, changed files, lists, expiry."""

import asyncio
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import Authority, create_root
from argosy.citadel.errors import CAFileError, Code, IssueError, TransitionError
from argosy.citadel.pem import encode_certificate, encode_private_key
from argosy.citadel.trust import Holder, Phase
from argosy.core.errors import ArgosyError
from argosy.edge import ca_files
from argosy.edge.ca_files import FOUR, CAFolders, load_or_create_ca
from argosy.edge.ca_keeper import CAKeeper

from ..citadel.meshca import START, HandClock

DAY = 86_400


@pytest.fixture
def home(tmp_path: Path) -> Path:
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    return tmp_path


def keeper(home: Path, clock: HandClock | None = None) -> CAKeeper:
    return CAKeeper(CAFolders(home / "ca", home / "citadel", "td"), clock or HandClock())


def holder(kept: CAKeeper, name: str = "default/a", **other: str) -> Holder:
    return Holder(name, other.get("signer", kept.trust.signer), other.get("bundle", kept.trust.bundle), START + DAY)


def obey(kept: CAKeeper, *names: str) -> None:
    """The holders have what is in force."""
    kept.report("agent", tuple(holder(kept, name) for name in names or ("default/a",)))


def code(error: ArgosyError) -> str:
    return error.findings[0].code


def foreign_files(folder: Path, *, end_days: int = 365, trust_domain: str = "td") -> dict[str, str]:
    """An intermediate below an operator's root, in Istio's four files."""
    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = create_root(trust_domain, root_key, now=START, serial=x509.random_serial_number())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Mesh CA")])
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    intermediate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(root.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.fromtimestamp(START - DAY, UTC))
        .not_valid_after(datetime.fromtimestamp(START + end_days * DAY, UTC))
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), critical=False)
        .sign(root_key, hashes.SHA256())
    )
    files = {
        "ca-cert.pem": encode_certificate(intermediate),
        "ca-key.pem": encode_private_key(key).decode(),
        "cert-chain.pem": encode_certificate(intermediate) + encode_certificate(root.certificate),
        "root-cert.pem": encode_certificate(root.certificate),
    }
    folder.mkdir()
    (folder / "root-key.pem").write_bytes(encode_private_key(root_key))
    return files


def put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    (folder / "ca-key.pem").chmod(0o600)


def revocation_list(root: x509.Certificate, key: ec.EllipticCurvePrivateKey, *serials: int, days: int = 1) -> str:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(root.subject)
        .last_update(datetime.fromtimestamp(START - DAY, UTC))
        .next_update(datetime.fromtimestamp(START + days * DAY, UTC))
    )
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial)
        builder = builder.add_revoked_certificate(revoked.revocation_date(datetime.fromtimestamp(START, UTC)).build())
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


async def test_a_root_is_replaced_in_three_steps_each_of_which_waits_for_everybody(home: Path) -> None:
    kept = keeper(home)
    old = kept.authority
    obey(kept, "default/a", "default/b")
    assert await kept.step(None, 0) is Phase.ADDING
    assert (len(kept.trust.roots), kept.trust.signer) == (2, old.signer)
    for present in (Phase.ADDING, Phase.SIGNING):
        assert kept.rotation.phase is present
        kept.report("agent", (holder(kept, "default/a"), holder(kept, "default/b", bundle="old")))
        with pytest.raises(TransitionError, match="default/b") as caught:
            await kept.step(None, 0)
        assert code(caught.value) == Code.LAGGARDS
        assert "default/a" not in str(caught.value)
        assert kept.rotation.phase is present
        obey(kept, "default/a", "default/b")
        await kept.step(None, 0)
    assert kept.rotation.phase is Phase.SETTLED
    assert kept.authority.signer != old.signer
    assert len(kept.trust.roots) == 1
    assert kept.trust.roots != old.trust().roots
    assert not (home / "citadel" / "next").exists()
    assert keeper(home).trust.roots == kept.trust.roots


async def test_leaves_do_not_have_to_turn_before_the_new_root_signs(home: Path) -> None:
    kept = keeper(home)
    kept.report("agent", (holder(kept, signer="of last year"),))
    await kept.step(None, 0)
    kept.report("agent", (holder(kept, signer="of last year"),))
    assert await kept.step(None, 0) is Phase.SIGNING
    assert kept.laggards() == ("default/a",)


async def test_the_wait_ends_when_the_last_one_has_caught_up(home: Path) -> None:
    kept = keeper(home)
    obey(kept)
    await kept.step(None, 0)
    step = asyncio.create_task(kept.step(None, 30))
    await asyncio.sleep(0)
    assert not step.done()
    obey(kept)
    assert await asyncio.wait_for(step, 60) is Phase.SIGNING


async def test_a_process_that_went_away_is_still_waited_for(home: Path) -> None:
    kept = keeper(home)
    obey(kept)
    kept.leave("agent")
    await kept.step(None, 0)
    with pytest.raises(TransitionError, match="default/a"):
        await kept.step(None, 0)


async def test_after_a_restart_those_of_before_are_waited_for(home: Path) -> None:
    kept = keeper(home)
    obey(kept)
    kept.look()
    await kept.step(None, 0)
    again = keeper(home)
    assert again.rotation.phase is Phase.ADDING
    assert again.laggards() == ("default/a",)


@pytest.mark.parametrize("fail_at", range(4))
async def test_a_crash_within_the_switch_is_finished_by_the_next_start(
    home: Path, monkeypatch: pytest.MonkeyPatch, fail_at: int
) -> None:
    """Once the switch is noted it is done, whichever of the four files was the last to be replaced."""
    kept = keeper(home)
    old = kept.authority.signer
    await kept.step(None, 0)
    original = CAFolders.replace

    def cut(self: CAFolders, files: dict[str, bytes]) -> None:
        original(self, dict(list(files.items())[:fail_at]))
        raise OSError("power cut")

    monkeypatch.setattr(CAFolders, "replace", cut)
    with pytest.raises(OSError, match="power cut"):
        await kept.step(None, 0)
    monkeypatch.undo()
    again = keeper(home)
    assert again.rotation.phase is Phase.SIGNING
    assert again.authority.signer != old
    assert len(again.trust.roots) == 2


async def test_a_crash_before_both_roots_are_written_is_finished_too(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = keeper(home)

    def cut(self: CAFolders, files: dict[str, bytes]) -> None:
        raise OSError("power cut")

    monkeypatch.setattr(CAFolders, "replace", cut)
    with pytest.raises(OSError, match="power cut"):
        await kept.step(None, 0)
    monkeypatch.undo()
    assert len(keeper(home).trust.roots) == 2


async def test_an_operators_authority_can_come_next(home: Path, tmp_path: Path) -> None:
    kept = keeper(home)
    files = foreign_files(tmp_path / "theirs")
    for given in (files, None, None):
        await kept.step(given, 0)
    assert [encode_certificate(one) for one in kept.authority.roots] == [files["root-cert.pem"]]
    # The root stands in the operator's chain, so it is presented: leaf, intermediate, root.
    presented = "".join(map(encode_certificate, kept.authority.chain))
    assert presented == files["cert-chain.pem"]


async def test_the_next_authority_is_chosen_once(home: Path, tmp_path: Path) -> None:
    kept = keeper(home)
    await kept.step(None, 0)
    with pytest.raises(TransitionError) as caught:
        await kept.step(foreign_files(tmp_path / "theirs"), 0)
    assert code(caught.value) == Code.ROTATION_STATE


async def test_the_same_authority_is_no_next_one(home: Path) -> None:
    kept = keeper(home)
    same = {name: (home / "ca" / name).read_text() for name in FOUR}
    for change in (kept.step(same, 0),):
        with pytest.raises(TransitionError):
            await change
    with pytest.raises(TransitionError, match="very root"):
        kept.drop_root(same)
    assert kept.rotation.phase is Phase.SETTLED


def test_dropping_the_root_believes_nothing_of_before_at_once(home: Path) -> None:
    """F10."""
    kept = keeper(home)
    old = kept.trust
    obey(kept)
    kept.drop_root(None)
    assert set(kept.trust.roots).isdisjoint(old.roots)
    assert kept.trust.signer != old.signer
    assert kept.laggards() == ("default/a",)
    assert kept.trust.version > old.version
    assert kept.trust.sequence == old.sequence + 1


def test_a_new_life_keeps_name_and_key_so_that_old_and_new_are_one(home: Path) -> None:
    clock = HandClock()
    kept = keeper(home, clock)
    before = kept.authority.certificate
    clock.at += 9 * 365 * DAY
    kept.renew()
    after = kept.authority.certificate
    assert (after.subject, after.public_key()) == (before.subject, before.public_key())
    assert after.not_valid_after_utc > before.not_valid_after_utc
    assert len(kept.trust.roots) == 1


def test_an_authority_that_has_expired_is_renewed_all_the_same(home: Path) -> None:
    """F4: the tool that mends it must not refuse because it is broken."""
    clock = HandClock()
    kept = keeper(home, clock)
    clock.at += 11 * 365 * DAY
    assert [one.code for one in kept.findings()] == [Code.EXPIRED]
    kept.renew()
    assert kept.findings() == []


def test_an_intermediate_is_not_ours_to_renew(home: Path, tmp_path: Path) -> None:
    put(home / "ca", foreign_files(tmp_path / "theirs"))
    with pytest.raises(IssueError) as caught:
        keeper(home).renew()
    assert code(caught.value) == Code.NOT_OUR_ROOT


@pytest.mark.parametrize("name, text", [("ca-key.pem", "no key"), ("ca-cert.pem", ""), ("root-cert.pem", "x")])
def test_a_spoiled_file_leaves_the_old_authority_and_raises_an_alarm(home: Path, name: str, text: str) -> None:
    """F11."""
    kept = keeper(home)
    good, signer = (home / "ca" / name).read_text(), kept.trust.signer
    (home / "ca" / name).write_text(text)
    kept.look()
    assert kept.trust.signer == signer
    assert kept.alarm is not None
    (finding,) = kept.findings()
    assert (finding.code, finding.origin.file) == (Code.RELOAD_FAILED, str(home / "ca" / name))
    assert ("argosy_ca_alarm", 1.0) in [(row[0], row[3]) for row in kept.metrics()]
    (home / "ca" / name).write_text(good)
    kept.look()
    assert kept.alarm is None
    assert kept.findings() == []


def test_without_a_good_authority_nothing_starts(home: Path) -> None:
    """F11: the key of another."""
    (home / "ca" / "ca-key.pem").write_bytes(encode_private_key(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(CAFileError) as caught:
        keeper(home)
    assert code(caught.value) == Code.CA_KEY_MISMATCH
    assert str(caught.value.findings[0].origin) == f"{home}/ca/ca-key.pem:1"


def test_a_changed_folder_that_would_cut_proxies_off_is_not_taken(home: Path, tmp_path: Path) -> None:
    """The operator replaced all four at once: nobody knows the new root yet."""
    kept = keeper(home)
    obey(kept)
    signer = kept.trust.signer
    put(home / "ca", foreign_files(tmp_path / "theirs"))
    kept.look()
    assert kept.trust.signer == signer
    assert kept.alarm is not None
    assert code(kept.alarm) == Code.RELOAD_UNSAFE


def test_an_operator_who_believes_both_roots_first_is_followed_without_a_restart(home: Path, tmp_path: Path) -> None:
    kept = keeper(home)
    obey(kept)
    files = foreign_files(tmp_path / "theirs")
    old_root = (home / "ca" / "root-cert.pem").read_text()
    (home / "ca" / "root-cert.pem").write_text(old_root + files["root-cert.pem"])
    kept.look()
    assert len(kept.trust.roots) == 2
    both = {**files, "root-cert.pem": old_root + files["root-cert.pem"]}
    put(home / "ca", both)
    kept.look()
    assert kept.alarm is not None
    assert "default/a" in str(kept.alarm)  # it has not got both roots yet
    obey(kept)
    kept.look()
    assert kept.alarm is None
    assert kept.authority.certificate.subject.rfc4514_string() == "CN=Mesh CA"
    put(home / "ca", files)
    kept.look()
    assert kept.alarm is not None
    assert "default/a" in str(kept.alarm)  # its certificate is below the old root still
    obey(kept)
    kept.look()
    assert (kept.alarm, len(kept.trust.roots)) == (None, 1)


class WithLists:
    """An operator's authority in force, whose root's key is at hand for lists."""

    def __init__(self, home: Path, tmp_path: Path) -> None:
        put(home / "ca", foreign_files(tmp_path / "theirs"))
        self.folder = home / "ca"
        key = serialization.load_pem_private_key((tmp_path / "theirs" / "root-key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self.root_key = key
        self.kept = keeper(home)

    def plug(self, *serials: int, days: int = 1) -> None:
        text = revocation_list(self.kept.authority.roots[0], self.root_key, *serials, days=days)
        (self.folder / "ca-crl.pem").write_text(text)
        self.kept.look()


def test_lists_are_made_complete_with_an_own_one_of_the_signer(home: Path, tmp_path: Path) -> None:
    """T06: the root's list revokes the intermediate; of the intermediate's own nobody has to think."""
    with_lists = WithLists(home, tmp_path)
    with_lists.plug(with_lists.kept.authority.certificate.serial_number)
    assert with_lists.kept.alarm is None
    assert len(with_lists.kept.trust.crls) == 2
    (with_lists.folder / "ca-crl.pem").unlink()
    with_lists.kept.look()
    assert with_lists.kept.trust.crls == ()


def test_a_list_that_is_too_old_or_of_nobody_is_not_taken(home: Path, tmp_path: Path) -> None:
    with_lists = WithLists(home, tmp_path)
    with_lists.plug(days=0)
    assert with_lists.kept.alarm is not None
    assert code(with_lists.kept.alarm) == Code.CRL_FILE
    stranger = ec.generate_private_key(ec.SECP256R1())
    (with_lists.folder / "ca-crl.pem").write_text(revocation_list(with_lists.kept.authority.roots[0], stranger))
    with_lists.kept.look()
    assert with_lists.kept.alarm is not None
    assert "no authority of this mesh" in str(with_lists.kept.alarm)
    assert with_lists.kept.trust.crls == ()


def test_a_list_that_ends_soon_is_told_of(home: Path, tmp_path: Path) -> None:
    clock = HandClock()
    with_lists = WithLists(home, tmp_path)
    with_lists.kept._clock = clock
    with_lists.plug()
    clock.at += DAY - 60
    assert [one.code for one in with_lists.kept.findings()] == [Code.CRL_FILE]


async def test_lists_and_a_rotation_go_together(home: Path, tmp_path: Path) -> None:
    with_lists = WithLists(home, tmp_path)
    with_lists.plug()
    kept = with_lists.kept
    await kept.step(None, 0)
    assert len(kept.trust.crls) == 3  # the new root's too: proxies want one of every authority
    await kept.step(None, 0)
    with pytest.raises(CAFileError):
        await kept.step(None, 0)  # the file holds lists of the old root only, which goes
    assert kept.rotation.phase is Phase.SIGNING
    (with_lists.folder / "ca-crl.pem").unlink()
    kept.look()
    assert await kept.step(None, 0) is Phase.SETTLED
    assert kept.trust.crls == ()


def test_an_emergency_is_not_held_up_by_lists(home: Path, tmp_path: Path) -> None:
    with_lists = WithLists(home, tmp_path)
    with_lists.plug()
    with_lists.kept.drop_root(None)
    assert with_lists.kept.trust.crls == ()
    assert (with_lists.folder / "ca-crl.pem.old").exists()


def test_lists_and_federation_exclude_each_other(home: Path, tmp_path: Path) -> None:
    other = CAFolders(tmp_path / "b", tmp_path / "b-state", "partner")
    load_or_create_ca(other.active, "partner", now=START)
    bundle = CAKeeper(other, HandClock()).exported()
    kept = keeper(home)
    kept.import_bundle("partner", bundle)
    assert [one.trust_domain for one in kept.trust.federated] == ["partner"]
    assert kept.remove_bundle("partner")
    assert kept.trust.federated == ()
    with_lists = WithLists(home, tmp_path)
    with_lists.plug()
    with pytest.raises(CAFileError) as caught:
        with_lists.kept.import_bundle("partner", bundle)
    assert code(caught.value) == Code.CRL_FEDERATION


def test_a_clock_that_differs_is_told_of(home: Path) -> None:
    """F5."""
    kept = keeper(home)
    kept.report("agent", (Holder("default/a", kept.trust.signer, kept.trust.bundle, START + DAY, skew_s=301.0),))
    (finding,) = kept.findings()
    assert finding.message == "the clock of default/a differs by +301 s from Citadel's"


def test_a_dump_says_who_signs_for_whom_and_holds_no_key(home: Path) -> None:
    kept = keeper(home)
    obey(kept, "default/a", "default/b")
    shown = kept.dump()
    assert shown["leaves"] == {kept.trust.signer: 2}
    assert shown["signer"]["root"] == shown["roots"][0]["fingerprint"]
    assert shown["laggards"] == []
    assert "PRIVATE" not in str(shown)


def test_what_is_no_authority_of_ours_leaves_everything_as_it_was(home: Path, tmp_path: Path) -> None:
    kept = keeper(home)
    with pytest.raises(CAFileError):
        kept.drop_root(foreign_files(tmp_path / "theirs", trust_domain="other"))
    assert isinstance(kept.authority, Authority)
    assert kept.rotation.phase is Phase.SETTLED
    shutil.rmtree(home / "citadel")
    assert keeper(home).trust.signer == kept.trust.signer


def test_a_full_disk_changes_nothing_and_is_mended_by_itself(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """F35."""

    def full(path: Path, data: bytes, *, mode: int) -> None:
        raise OSError(28, "No space left on device")

    kept = keeper(home)
    obey(kept)
    trust = kept.trust
    monkeypatch.setattr(ca_files, "write_file", full)
    kept.look()
    assert kept.folders.ledger().holders() == ()
    (home / "ca" / "root-cert.pem").write_text((home / "ca" / "root-cert.pem").read_text() * 2)
    kept.look()
    assert kept.trust == trust
    assert kept.alarm is not None
    assert "No space left" in str(kept.alarm)
    monkeypatch.undo()
    kept.look()
    assert kept.alarm is None
    assert len(kept.folders.ledger().holders()) == 1
