"""Real Envoy against the real xDS server: the same suite for both variants of the protocol."""

from __future__ import annotations

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from argosy.envoy.api import envoy_binary

from .rig import Rig, running


@pytest.fixture(scope="session")
def runnable() -> None:
    """Skip (in CI: fail) where the machine cannot run Envoy."""
    try:
        subprocess.run([str(envoy_binary()), "--version"], check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = f"Envoy does not run here: {error}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(params=["delta", "sotw"])
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def rig(runnable: None, variant: str, tmp_path: Path) -> AsyncIterator[Rig]:
    async with running(variant, tmp_path) as made:
        yield made
