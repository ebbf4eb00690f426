"""What the field cases make is taken by Envoy: every proxy that shows a field gets a whole configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.xds_envoy.acceptance import accepting
from tests.conformance.xds_envoy.conftest import runnable
from tests.fields.cases import Case, base
from tests.fields.table import all_cases

from argosy.testing.worlds import MeshWorld
from argosy.xds.messages import Resource

__all__ = ["runnable"]
SECRETS = [name + suffix for name in ("pair", "other-pair", "roots") for suffix in ("", "-cacert")]
# Files of a proxy that there is not: Envoy looks into them when it reads its configuration.
FILES = ("/c.pem", "/ca.pem", "/crl.pem", "/serverCertificate")


def resources(case: Case) -> list[Resource]:
    """Everything that the case's proxy holds."""
    namespace, _slash, pod = case.proxy.partition("/")
    snapshot = MeshWorld(base(), case.objects).snapshot(pod, namespace)
    return [found[name] for found in snapshot.resources.values() for name in found]


def _is_asked(case: Case) -> bool:
    """A traffic policy is the same wherever it stands: one of its four places is enough here."""
    elsewhere = case.kind == "DestinationRule" and case.fields[0].startswith(
        ("subsets[].traffic", "trafficPolicy.port")
    )
    return bool(case.resource) and not elsewhere and not any(file in case.objects for file in FILES)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("runnable")
async def test_envoy_takes_what_every_field_makes(tmp_path: Path) -> None:
    refused: dict[str, list[str]] = {}
    async with accepting(tmp_path, SECRETS) as envoy:
        for case in all_cases():
            if _is_asked(case):
                said = await envoy.refusals(resources(case))
                if said:
                    refused[case.title] = said
    assert refused == {}
