"""The files of the authority: the four that an operator may bring, and what Citadel notes for itself.

Given the two folders; reads and replaces. Keys are written with mode 0600, in folders of mode 0700, and every change is
one rename. `Files` holds the content as it came over the command line's socket; it is not printed.

    <authority's folder>/   ca-cert.pem ca-key.pem cert-chain.pem root-cert.pem [ca-crl.pem]
    <state folder>/         rotation.json next/ federation/ bundle.json holders.json
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.authority import Authority, create_root
from argosy.citadel.bundle import TrustBundle, decode_bundle, encode_bundle, next_bundle
from argosy.citadel.errors import BundleError, CAFileError, Code
from argosy.citadel.pem import PEMFile, encode_certificate, encode_certificates, encode_private_key
from argosy.citadel.plugged_in import CAFiles, load_plugged_in
from argosy.citadel.trust import Federated, Holder, Ledger, Phase
from argosy.core.errors import Origin
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.core.spiffe import SpiffeID
from argosy.edge.tokens import read_file, read_key_file, sync_directory, write_file

logger = logging.getLogger(__name__)

CERTIFICATE_FILE, KEY_FILE, CHAIN_FILE, ROOT_FILE = "ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem"
CRL_FILE = "ca-crl.pem"
FOUR = (CERTIFICATE_FILE, KEY_FILE, CHAIN_FILE, ROOT_FILE)
STATE_FOLDER = "citadel"
FEDERATION_FOLDER, NEXT_FOLDER = "federation", "next"
ROTATION_FILE, BUNDLE_FILE, LEDGER_FILE = "rotation.json", "bundle.json", "holders.json"
REFRESH_HINT_S = 300


_T = TypeVar("_T")


class Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where a rotation stands. PEM texts.

    `keep`: the roots that stay at its end; `roots`: those that are believed meanwhile; `crls`: revocation lists of the
    authority that does not sign.
    """

    phase: Phase = Phase.SETTLED
    keep: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    crls: tuple[str, ...] = ()


class _Report(msgspec.Struct, frozen=True):
    reporter: str
    holders: tuple[Holder, ...]


def own_folder(home: Path, trust_domain: str) -> Path:
    """Where a mesh keeps its own authority: one folder for each trust domain that it ever had."""
    return home / ("ca" if trust_domain == DEFAULT_TRUST_DOMAIN else f"ca-{trust_domain}")


def load_ca(directory: Path, trust_domain: str, *, now: float) -> Authority:
    """The authority whose four files lie in `directory`; raises `CAFileError`."""
    files = CAFiles(
        certificate=read_file(directory / CERTIFICATE_FILE),
        key=read_key_file(directory / KEY_FILE),
        chain=read_file(directory / CHAIN_FILE),
        roots=read_file(directory / ROOT_FILE),
    )
    return load_plugged_in(files, trust_domain, now=now)


def load_or_create_ca(directory: Path, trust_domain: str, *, now: float) -> Authority:
    """As `load_ca`; on first start a self-signed root is made.

    A directory that lost a file is an error, not a first start: a new root would cut off every running proxy.
    """
    if not directory.exists() or not any(directory.iterdir()):
        create_ca(directory, trust_domain, now=now)
    return load_ca(directory, trust_domain, now=now)


def create_ca(directory: Path, trust_domain: str, *, now: float) -> None:
    """A new self-signed authority in a folder that is not there yet (or is empty)."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = create_root(trust_domain, key, now=now, serial=x509.random_serial_number())
    certificate = encode_certificate(authority.certificate).encode()
    files = dict.fromkeys((CERTIFICATE_FILE, CHAIN_FILE, ROOT_FILE), certificate)
    place_ca(directory, {KEY_FILE: encode_private_key(key), **files})


def place_ca(directory: Path, files: dict[str, bytes]) -> None:
    """All files appear at once, by one rename: a crash leaves nothing that looks like an authority."""
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.is_symlink():
        message = "the directory of a new authority may not be a symbolic link"
        raise CAFileError.of(Code.CA_FILE_MODE, message, origin=Origin(str(directory)))
    aside = directory.parent / f".{directory.name}.new"  # a fixed name: what a killed start left goes with the next
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    try:
        for name, data in files.items():
            write_file(aside / name, data, mode=_mode(name))
        aside.rename(directory)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    sync_directory(directory.parent)


def _mode(name: str) -> int:
    return 0o600 if name == KEY_FILE else 0o644


@dataclass(frozen=True, slots=True)
class CAFolders:
    """The two folders of one authority."""

    active: Path
    state: Path
    trust_domain: str

    def load(self, *, now: float) -> Authority:
        """The authority that signs; raises `CAFileError`."""
        return load_ca(self.active, self.trust_domain, now=now)

    def signature(self) -> tuple[object, ...]:
        """Something that changes whenever a file does. A file that is not there counts as such."""
        return tuple(map(_stamp, [*(self.active / name for name in (*FOUR, CRL_FILE)), *self.federation_files()]))

    # -- the authority's own files ----------------------------------------------------------------------------------

    def replace(self, files: dict[str, bytes]) -> None:
        """Replace files of the active authority, one rename each. Raises `CAFileError` where that may not be done."""
        try:
            for name, data in files.items():
                write_file(self.active / name, data, mode=_mode(name))
        except OSError as error:
            message = f"the file cannot be replaced: {error.strerror}"
            hint = "the folder of the authority must be writable to Citadel for this"
            raise CAFileError.of(Code.CA_FILE_MISSING, message, hint=hint, origin=Origin(str(self.active))) from error

    def replace_roots(self, roots: Iterable[x509.Certificate]) -> None:
        """Believe these roots."""
        self.replace({ROOT_FILE: encode_certificates(roots).encode()})

    def crl_file(self) -> PEMFile | None:
        """The operator's revocation lists, if there are any; raises `CAFileError`."""
        path = self.active / CRL_FILE
        return read_file(path) if path.exists() else None

    def set_crl_aside(self) -> None:
        """The lists are of an authority that is gone: keep the file under another name."""
        path = self.active / CRL_FILE
        if path.exists():
            path.rename(path.with_suffix(".pem.old"))

    # -- the next authority -----------------------------------------------------------------------------------------

    @property
    def next(self) -> Path:
        """Where the next authority waits for its turn."""
        return self.state / NEXT_FOLDER

    def prepare_next(self, files: dict[str, str] | None, *, now: float) -> Authority:
        """Place the next authority (`files`: the operator's; none: a new root), and load it. Raises `CAFileError`."""
        self.drop_next()
        if files is None:
            create_ca(self.next, self.trust_domain, now=now)
        else:
            _check_names(files)
            place_ca(self.next, {name: files[name].encode() for name in FOUR})
        try:
            return load_ca(self.next, self.trust_domain, now=now)
        except CAFileError:
            self.drop_next()
            raise

    def adopt_next(self, roots: Iterable[x509.Certificate]) -> None:
        """Make the next authority the active one; may be begun again after a crash in its middle."""
        files = {name: (self.next / name).read_bytes() for name in FOUR}
        self.replace({**files, ROOT_FILE: encode_certificates(roots).encode()})

    def drop_next(self) -> None:
        """Forget the next authority."""
        shutil.rmtree(self.next, ignore_errors=True)

    # -- what Citadel notes -----------------------------------------------------------------------------------------

    def rotation(self) -> Rotation:
        """Where a rotation stands; raises `CAFileError` if the note cannot be read."""
        return _read(self.state / ROTATION_FILE, Rotation, Rotation())

    def note_rotation(self, rotation: Rotation) -> None:
        """Remember it across a crash."""
        self._write(ROTATION_FILE, msgspec.json.encode(rotation), mode=0o600)

    def next_sequence(self, roots: tuple[x509.Certificate, ...]) -> TrustBundle:
        """The bundle of this trust domain with its sequence number, which grows if `roots` are not those of before."""
        path = self.state / BUNDLE_FILE
        try:
            before = decode_bundle(self.trust_domain, path.read_bytes())
        except (OSError, BundleError):
            before = TrustBundle(self.trust_domain, (), None, REFRESH_HINT_S)
        bundle = next_bundle(before, roots)
        if bundle is not before:
            self._write(BUNDLE_FILE, encode_bundle(bundle), mode=0o644)
        return bundle

    def ledger(self) -> Ledger:
        """Who held what when it was last noted; everybody counts as away until it reports again."""
        found = _read(self.state / LEDGER_FILE, tuple[_Report, ...], ())
        reports = {one.reporter: one.holders for one in found}
        return Ledger(reports, set(reports))

    def note_ledger(self, ledger: Ledger) -> None:
        """Remember who holds what."""
        reports = [_Report(name, held) for name, held in ledger.reports.items()]
        self._write(LEDGER_FILE, msgspec.json.encode(reports), mode=0o600)

    def forget_ledger(self) -> None:
        """All holders are gone: the mesh has been stopped."""
        (self.state / LEDGER_FILE).unlink(missing_ok=True)

    # -- other trust domains ----------------------------------------------------------------------------------------

    def federation_files(self) -> list[Path]:
        """The imported bundles."""
        return sorted((self.state / FEDERATION_FOLDER).glob("*.json"))

    def federated(self) -> tuple[Federated, ...]:
        """The trust domains that are believed by their own bundles; raises `CAFileError` for one that is spoiled."""
        found = []
        for path in self.federation_files():
            try:
                bundle = decode_bundle(path.stem, path.read_bytes())
            except (OSError, BundleError) as error:
                message = f"the bundle cannot be read: {error}"
                raise CAFileError.of(Code.BUNDLE_SHAPE, message, origin=Origin(str(path))) from error
            found.append(Federated(path.stem, tuple(map(encode_certificate, bundle.roots))))
        return tuple(found)

    def import_bundle(self, trust_domain: str, data: bytes) -> TrustBundle:
        """Believe another trust domain by its bundle; raises `BundleError`."""
        bundle = check_import(self.trust_domain, trust_domain, data)
        path = self.state / FEDERATION_FOLDER / f"{trust_domain}.json"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_file(path, encode_bundle(bundle), mode=0o644)
        return bundle

    def remove_bundle(self, trust_domain: str) -> bool:
        """Believe it no longer; False if it was not believed."""
        SpiffeID(trust_domain)
        path = self.state / FEDERATION_FOLDER / f"{trust_domain}.json"
        if not path.exists():
            return False
        path.unlink()
        return True

    def _write(self, name: str, data: bytes, *, mode: int) -> None:
        try:
            self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_file(self.state / name, data, mode=mode)
        except OSError as error:
            message = f"Citadel's note cannot be written: {error.strerror}"
            raise CAFileError.of(Code.ROTATION_STATE, message, origin=Origin(str(self.state / name))) from error


def check_import(own: str, trust_domain: str, data: bytes) -> TrustBundle:
    """The bundle of `trust_domain` as it may be believed in `own`; raises `BundleError`, `SpiffeIDError`."""
    SpiffeID(trust_domain)
    if trust_domain == own:
        message = f"{own} is this mesh's own trust domain: its roots are the authority's"
        raise BundleError.of(Code.BUNDLE_OWN, message, hint="`argosy ca rotate` replaces them")
    return decode_bundle(trust_domain, data)


def _check_names(files: dict[str, str]) -> None:
    missing = [name for name in FOUR if name not in files]
    if missing:
        raise CAFileError.of(Code.CA_FILE_MISSING, f"there is no {', no '.join(missing)} among the files")


def _read(path: Path, shape: type[_T], default: _T) -> _T:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return default
    try:
        return msgspec.json.decode(data, type=shape)
    except msgspec.DecodeError as error:
        message = f"Citadel's own note cannot be read: {error}"
        raise CAFileError.of(Code.ROTATION_STATE, message, hint="remove it", origin=Origin(str(path))) from error


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size, found.st_mode
