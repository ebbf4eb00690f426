"""The private files of a pod: what Envoy watches, and what its application is given as well (OUTPUT_CERTS)."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from argosy.agent.bootstrap import IDENTITY_SECRET, SDS_FILES
from argosy.edge.pod_secrets import PodSecrets

from ..citadel.meshca import component_source

FILES = {"root-cert.pem", "cert-chain.pem", "key.pem"}


@pytest.fixture
def secrets(tmp_path: Path) -> PodSecrets:
    """A pod of which the application mounts a folder that is not there yet."""
    (tmp_path / "proxy").mkdir()
    return PodSecrets(tmp_path / "proxy", os.getuid(), tmp_path / "certs")


def names(folder: Path) -> set[str]:
    """What lies there."""
    return {path.name for path in folder.iterdir()}


def serial(folder: Path) -> int:
    """The certificate in the application's folder, after a look whether everything fits."""
    leaf, *_ = x509.load_pem_x509_certificates((folder / "cert-chain.pem").read_bytes())
    key = load_pem_private_key((folder / "key.pem").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    issuers = x509.load_pem_x509_certificates((folder / "root-cert.pem").read_bytes())
    assert leaf.issuer in {root.subject for root in issuers}
    return leaf.serial_number


async def test_an_application_gets_what_envoy_has_and_nobody_else_may_read_it(secrets: PodSecrets) -> None:
    material = await component_source().renew()
    secrets.write_material(material)
    assert secrets.application is not None
    serial(secrets.application)
    assert names(secrets.application) == FILES
    assert {path.stat().st_mode & 0o777 for path in secrets.application.iterdir()} == {0o600}
    told = json.loads((secrets.directory / SDS_FILES[IDENTITY_SECRET]).read_text())
    assert material.chain.decode() in json.dumps(told).replace("\\n", "\n")


async def test_every_renewal_reaches_the_folder(secrets: PodSecrets) -> None:
    """As the runner of a pod does it: what the source of certificates gives is written, as long as the pod lives."""
    source, folder = component_source(), secrets.application
    assert folder is not None
    written = asyncio.Event()

    async def follow() -> None:
        async for material in source.watch():
            secrets.write_material(material)
            written.set()

    following = asyncio.create_task(follow())
    found = []
    for _ in range(3):
        written.clear()
        await source.renew()
        await asyncio.wait_for(written.wait(), 60)
        found.append(serial(folder))
    following.cancel()
    with suppress(asyncio.CancelledError):
        await following
    assert len(set(found)) == 3
    assert names(folder) == FILES, "nothing is left of what was replaced"


async def test_who_has_a_file_open_reads_it_whole(secrets: PodSecrets) -> None:
    source, folder = component_source(), secrets.application
    assert folder is not None
    first = await source.renew()
    secrets.write_material(first)
    with (folder / "cert-chain.pem").open("rb") as file:
        before = file.read(10)
        secrets.write_material(await source.renew())
        assert before + file.read() == first.chain


async def test_without_a_folder_only_envoy_is_given_one(tmp_path: Path) -> None:
    secrets = PodSecrets(tmp_path, os.getuid())
    assert not secrets.has_certificate
    secrets.write_material(await component_source().renew())
    assert secrets.has_certificate
    assert names(tmp_path) == {*SDS_FILES.values()}
