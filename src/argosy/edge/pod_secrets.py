"""The private files of one pod's Envoy: its certificate, the roots, its bootstrap; and when Envoy has taken them up.

Given the pod's proxy directory and the uid that Envoy runs as; replaces files by rename, so that Envoy, which watches
the directory, never sees half of one.
"""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from argosy.agent.bootstrap import ADMIN_SOCKET, IDENTITY_SECRET, SDS_FILES
from argosy.agent.secrets import build_sds_files, in_use
from argosy.edge.probes import envoy_admin_page
from argosy.edge.tls import CertificateSource, Material

SECRETS_PAGE = "/config_dump?resource=dynamic_active_secrets"
SECRETS_POLL_S, SECRETS_POLL_S_MAX = 0.05, 2.0

Files = dict[str, dict[str, Any]]
"""Contents of SDS files by name."""


class TrustPort(Protocol):
    """Who is told of every certificate of the node; `edge.citadel_follower.CitadelFollower` is one."""

    def add(self, name: str, source: CertificateSource) -> None:
        """There is a holder of that name, with that source."""
        ...

    def note(self, name: str, material: Material) -> None:
        """The holder uses that material now."""
        ...

    def remove(self, name: str) -> None:
        """The holder is gone."""
        ...


@dataclass(frozen=True, slots=True)
class PodSecrets:
    """The files of one pod's Envoy below `directory`, owned by `uid`; and the folder of its application, if that is
    given the certificate as well."""

    directory: Path
    uid: int
    application: Path | None = None

    @property
    def has_certificate(self) -> bool:
        """Whether an earlier agent wrote one."""
        return (self.directory / SDS_FILES[IDENTITY_SECRET]).exists()

    def write_material(self, material: Material) -> Files:
        """Give Envoy a certificate and whom to trust; gives what was written."""
        if self.application is not None:
            write_certificates(self.application, material)
        files = build_sds_files(chain_pem=material.chain.decode(), key_pem=material.key.decode(), trust=material.trust)
        for name, content in files.items():
            self.write(name, json.dumps(content))
        return files

    def write(self, name: str, text: str) -> None:
        """Replace one file."""
        temporary = self.directory / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            os.fchown(descriptor, self.uid, self.uid)
            file.write(text)
        temporary.rename(self.directory / name)

    async def await_use(self, files: Files) -> None:
        """Wait until Envoy itself says that it has what was written."""
        pause_s = SECRETS_POLL_S
        while not await self._has(files):
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 1.5, SECRETS_POLL_S_MAX)

    async def _has(self, files: Files) -> bool:
        try:
            status, text = await envoy_admin_page(self.directory / ADMIN_SOCKET, SECRETS_PAGE)
            return status == 200 and in_use(json.loads(text), files)
        except (OSError, ValueError):  # not there yet, or cut off in the middle of its answer
            return False


def write_certificates(folder: Path, material: Material) -> None:
    """Give the pod's application its certificate, under the names that Istio's proxies write to OUTPUT_CERTS.

    The folder is the application's own view alone; files are replaced by rename, the roots first.
    """
    folder.mkdir(exist_ok=True)
    files = {"root-cert.pem": material.roots, "cert-chain.pem": material.chain, "key.pem": material.key}
    for name, text in files.items():
        temporary = folder / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        temporary.rename(folder / name)
