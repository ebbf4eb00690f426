"""The health of a workload that is no pod: what to ask of it, and what its answers come to.

Given a WorkloadGroup's probe and a workload's address, gives a complete `HealthCheck`; given answers one by one, gives
the verdict by Kubernetes' rules of thresholds. Pure: `edge.health_probes` asks. Source: istio.io WorkloadGroup
ReadinessProbe; Kubernetes' container probes (defaults and thresholds).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from argosy.api.workload import WorkloadProbe

_TIMEOUT_S, _PERIOD_S, _SUCCESSES, _FAILURES = 1, 10, 1, 3


class Way(StrEnum):
    """How a workload is asked."""

    HTTP = "http"
    TCP = "tcp"
    GRPC = "grpc"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What to ask, how often, and how many answers in a row count. `path`, `headers`, `tls`: HTTP; `service`: gRPC."""

    way: Way
    host: str
    port: int
    path: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    tls: bool = False
    service: str = ""
    initial_delay_s: int = 0
    timeout_s: int = _TIMEOUT_S
    period_s: int = _PERIOD_S
    successes: int = _SUCCESSES
    failures: int = _FAILURES


def check_of(probe: WorkloadProbe, address: str) -> HealthCheck:
    """The check of one workload at `address`; what the probe leaves at zero is Kubernetes' default."""
    target = _target(probe)
    return replace(
        target,
        host=target.host or address,
        initial_delay_s=probe.initial_delay_seconds,
        timeout_s=probe.timeout_seconds or _TIMEOUT_S,
        period_s=probe.period_seconds or _PERIOD_S,
        successes=probe.success_threshold or _SUCCESSES,
        failures=probe.failure_threshold or _FAILURES,
    )


def _target(probe: WorkloadProbe) -> HealthCheck:
    if (http := probe.http_get) is not None:
        path = http.path if http.path.startswith("/") else f"/{http.path}"
        headers = tuple((one.name, one.value) for one in http.http_headers)
        return HealthCheck(Way.HTTP, http.host, http.port, path, headers, tls=http.scheme == "HTTPS")
    if (tcp := probe.tcp_socket) is not None:
        return HealthCheck(Way.TCP, tcp.host, tcp.port)
    assert probe.grpc is not None, "Galley has refused a probe that asks for nothing"
    return HealthCheck(Way.GRPC, "", probe.grpc.port, service=probe.grpc.service)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a workload. `healthy` None: not enough answers yet, which counts as not healthy.

    `message`: why it is not healthy. `successes`, `failures`: answers in a row; one of them is 0.
    """

    healthy: bool | None = None
    message: str = ""
    successes: int = 0
    failures: int = 0

    def after(self, failure: str, check: HealthCheck) -> Verdict:
        """What is known after one more answer; `failure` is empty for a good one."""
        if failure:
            count = self.failures + 1
            if count >= check.failures and self.healthy is not False:
                return Verdict(False, failure, failures=count)
            return Verdict(self.healthy, self.message, failures=count)
        count = self.successes + 1
        if count >= check.successes:
            return Verdict(True, "", successes=count)
        return Verdict(self.healthy, self.message, successes=count)
