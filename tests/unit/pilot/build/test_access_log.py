"""What proxies log of requests and connections."""

from __future__ import annotations

from argosy.pilot.build.access_log import log_loggers
from argosy.pilot.mesh import MeshSettings


def test_the_log_can_be_left_out() -> None:
    assert [len(log_loggers(MeshSettings(access_log=log))) for log in (False, True)] == [0, 1]
