"""The local platform's token issuer: what the API server is on Kubernetes.

Given a directory for its key; gives short-lived ES256 tokens that say which pod their bearer is. The key is made on
first start, mode 0600, and never leaves this module but through `TokenIssuer`. `citadel.tokens` is the verifying
half.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.citadel.errors import CAFileError, Code
from argosy.citadel.pem import PEMFile, decode_private_key, encode_private_key
from argosy.citadel.tokens import ALGORITHM, CA_AUDIENCE, LOCAL_ISSUER, POD_CLAIM
from argosy.core.errors import Origin

KEY_FILE = "issuer-key.pem"
PUBLIC_FILE = "issuer-pub.pem"
TOKEN_TTL_S = 600


@dataclass(frozen=True, slots=True)
class TokenSubject:
    """Whom a token is for. A component of the control plane has no pod and no workload."""

    namespace: str
    service_account: str
    pod: str = ""
    workload: str = ""
    node: str = ""


class TokenIssuer:
    """Mints tokens with one private key."""

    __slots__ = ("_key",)

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def mint(self, subject: TokenSubject, *, now: float, ttl_s: int = TOKEN_TTL_S, audience: str = CA_AUDIENCE) -> str:
        """A token for `subject` that ends `ttl_s` seconds after `now` (seconds since the epoch)."""
        claims = {
            "iss": LOCAL_ISSUER,
            "aud": [audience],
            "sub": f"system:serviceaccount:{subject.namespace}:{subject.service_account}",
            "iat": int(now),
            "exp": int(now) + ttl_s,
            POD_CLAIM: {"pod": subject.pod, "workload": subject.workload, "node": subject.node},
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    @property
    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The half that verifiers need."""
        return self._key.public_key()

    def __repr__(self) -> str:
        return "TokenIssuer()"


def load_or_create_issuer(directory: Path) -> TokenIssuer:
    """The issuer whose key lies in `directory`; on first start the key is made. Raises `CAFileError`."""
    path = directory / KEY_FILE
    if not path.exists():
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}")
        write_file(made, encode_private_key(ec.generate_private_key(ec.SECP256R1())), mode=0o600)
        # Programs that start together may each make one: the first that stands is everybody's.
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
        made.unlink()
    key = decode_private_key(read_key_file(path))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CAFileError.of(Code.CA_KEY, "the issuer's key must be EC P-256", origin=Origin(str(path), 1))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    # A crash between the two files, or a replaced key, must not leave a public half that does not fit. Where it fits it
    # is left alone: programs that start together all come by here.
    if not _holds(directory / PUBLIC_FILE, public):
        write_file(directory / PUBLIC_FILE, public, mode=0o644)
    return TokenIssuer(key)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def load_public_key(path: Path) -> ec.EllipticCurvePublicKey:
    """The public key by which tokens are verified; raises `CAFileError`."""
    try:
        key = serialization.load_pem_public_key(read_file(path).data)
    except ValueError as error:
        raise CAFileError.of(
            Code.CA_FILE_PEM, "there is no PEM public key in it", origin=Origin(str(path), 1)
        ) from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise CAFileError.of(Code.CA_KEY, "the issuer's key must be EC P-256", origin=Origin(str(path), 1))
    return key


def read_file(path: Path) -> PEMFile:
    """The file with its name for messages; raises `CAFileError` if it cannot be read."""
    try:
        return PEMFile(str(path), path.read_bytes())
    except OSError as error:
        message = f"the file cannot be read: {error.strerror}"
        raise CAFileError.of(Code.CA_FILE_MISSING, message, origin=Origin(str(path))) from error


def read_key_file(path: Path) -> PEMFile:
    """As `read_file`, and refuse a private key that others on the machine can read."""
    file = read_file(path)
    if path.stat().st_mode & 0o077:
        hint = f"chmod 600 {path}"
        message = "the private key is open to other users"
        raise CAFileError.of(Code.CA_FILE_MODE, message, hint=hint, origin=Origin(str(path)))
    return file


def write_file(path: Path, data: bytes, *, mode: int) -> None:
    """Replace `path` by `data` so that a crash leaves the old file or the new one; never open to others in between.

    One writer at a time. The temporary file has a fixed name, so that the next writer removes what a killed one left.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames within `path` survive a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
