"""Authorities of the outside world and what they sign, for tests: as PEM, and as files that curl reads."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, PEM."""

    certificate: str
    key: str

    def files(self, folder: Path, name: str) -> tuple[Path, Path]:
        """The pair as files `<name>.pem` and `<name>.key`, which anybody may read."""
        found = folder / f"{name}.pem", folder / f"{name}.key"
        for file, text in zip(found, (self.certificate, self.key), strict=True):
            file.write_text(text)
            file.chmod(0o644)
        return found


@dataclass
class Authority:
    """An authority that is its own root."""

    name: str
    pem: str = field(init=False)

    def __post_init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _name(self.name)
        made = self._builder(self._subject, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.pem = _pem(made.sign(self._key, hashes.SHA256()))

    def issue(self, *hosts: str) -> Pair:
        """A certificate for DNS names, the first of them its common name; good for servers and clients."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        made = self._builder(_name(hosts[0]), key.public_key()).add_extension(names, critical=False)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Pair(_pem(made.sign(self._key, hashes.SHA256())), text.decode())

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
        )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
