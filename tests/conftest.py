"""`--update-golden`: write the golden files anew. Properties are not judged by how fast a busy machine is."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("argosy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("argosy")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")
