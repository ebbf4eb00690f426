"""The authority's files without a running mesh: what they are, and a new life for them when everything has expired.

Given the mesh's home; reads and replaces files directly. Works although the control plane refuses to start.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
from cryptography import x509

from argosy.citadel.authority import Authority
from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.facts import dump_authority, expiry_findings, named_certificates
from argosy.citadel.pem import decode_certificates, decode_private_key
from argosy.core.errors import Finding, Level, Origin
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.edge.ca_files import (
    CERTIFICATE_FILE,
    CHAIN_FILE,
    FOUR,
    KEY_FILE,
    ROOT_FILE,
    STATE_FOLDER,
    CAFolders,
    load_ca,
    own_folder,
)
from argosy.edge.ca_keeper import renew_files
from argosy.edge.tokens import read_file, read_key_file


def folders_of(home: Path, ca_dir: str = "") -> CAFolders:
    """The folders that the mesh of `home` uses (or used last), or would use."""
    noted = _mesh(home)
    trust_domain = noted.get("trust_domain") or DEFAULT_TRUST_DOMAIN
    active = Path(ca_dir or noted.get("ca_dir") or own_folder(home, trust_domain))
    return CAFolders(active, home / STATE_FOLDER, trust_domain)


def status_of_files(home: Path) -> dict[str, Any]:
    """As `CAKeeper.dump`, as far as files tell. Raises `CAFileError` if they hold no certificates at all."""
    folders, now = folders_of(home), time.time()
    authority = _unchecked(folders)
    findings = expiry_findings(named_certificates(authority), now=now)
    try:
        folders.load(now=now)
    except CAFileError as error:
        known = {one.code for one in findings}
        if Code.EXPIRED not in known:
            findings += error.findings
    return {
        **dump_authority(authority),
        "folder": str(folders.active),
        "phase": folders.rotation().phase.value,
        "sequence": 0,
        "crls": 0,
        "crls_end": None,
        "federated": [{"trust_domain": one.trust_domain, "roots": len(one.roots)} for one in folders.federated()],
        "leaves": {},
        "holders": [],
        "laggards": [],
        "away": [],
        "findings": [finding.dump() for finding in findings],
    }


def renew_folder(home: Path, ca_dir: str, files: dict[str, str] | None) -> Path:
    """Renew our own root by its key, or take the operator's renewed files; gives the folder.

    Errors: `CAFileError` for files, `IssueError` where the key of the root is not here.
    """
    folders, now = folders_of(home, ca_dir), time.time()
    if files is None:
        renew_files(folders, _unchecked(folders), now=now)
    else:
        aside = folders.prepare_next(files, now=now)
        folders.adopt_next(aside.roots)
        shutil.rmtree(folders.next, ignore_errors=True)
    load_ca(folders.active, folders.trust_domain, now=now)
    return folders.active


def check_files(home: Path) -> list[Finding]:
    """What is wrong with the authority of a mesh that does not answer; nothing where there is none yet."""
    folders = folders_of(home)
    if not any((folders.active / name).exists() for name in FOUR):
        return []
    try:
        return [_parse(one) for one in status_of_files(home)["findings"]]
    except CAFileError as error:
        return list(error.findings)


def _unchecked(folders: CAFolders) -> Authority:
    """The authority as its files say, whether or not it is valid now."""
    certificate = decode_certificates(read_file(folders.active / CERTIFICATE_FILE))[0].certificate
    key = decode_private_key(read_key_file(folders.active / KEY_FILE))
    if certificate.public_key() != key.public_key():
        message = f"the private key is not that of {CERTIFICATE_FILE}"
        raise CAFileError.of(Code.CA_KEY_MISMATCH, message, origin=Origin(str(folders.active / KEY_FILE), 1))
    roots = _all(folders.active / ROOT_FILE)
    chain = () if certificate in roots else _all(folders.active / CHAIN_FILE)
    return Authority(folders.trust_domain, certificate, key, chain=chain, roots=roots)


def _all(path: Path) -> tuple[x509.Certificate, ...]:
    return tuple(placed.certificate for placed in decode_certificates(read_file(path)))


def _mesh(home: Path) -> dict[str, str]:
    try:
        found = msgspec.json.decode((home / "run" / "mesh.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        return {}
    return {name: str(found.get(name, "")) for name in ("ca_dir", "trust_domain")}


def _parse(data: dict[str, Any]) -> Finding:
    return Finding(data["code"], Level(data["level"]), data["message"], hint=data["hint"])
