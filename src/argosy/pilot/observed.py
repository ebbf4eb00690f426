"""What one side of a proxy logs and traces of its requests and connections: plain values that builders are given.

Two proxies for which these are equal share what is built. Source: istio.io Telemetry; MeshConfig.defaultConfig.tracing.
"""

from __future__ import annotations

from dataclasses import dataclass

from argosy.api.telemetry import CustomTag
from argosy.pilot.counted import STANDARD, Counting

MESH_FILE = ""
"""The provider that is the mesh configuration's own access log file."""
FILE_PROVIDER = "envoy"
"""The provider that is the mesh's own access log without being declared."""
MESH_ZIPKIN = ""
"""The provider that is the mesh configuration's own Zipkin address."""
MESH_DATADOG = " datadog"
"""The provider that is the mesh configuration's own Datadog address. No provider's name begins with a blank."""
OWN_COLLECTOR = "argosy"
"""The provider that is the mesh's own collector of spans."""
SAMPLING_DEFAULT = 1.0
"""Percent of requests that are traced where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class LogRule:
    """An access log: of everything, or of what meets an expression (CEL). `cluster`: where it goes, if to no file."""

    provider: str
    expression: str = ""
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class TraceRule:
    """Which requests are traced, and what their spans say. `sampling` in percent, steps of 0.01."""

    provider: str
    cluster: str
    sampling: float = SAMPLING_DEFAULT
    tags: tuple[tuple[str, CustomTag], ...] = ()
    istio_tags: bool = True
    by_request_id: bool = True
    propagate: bool = True
    path_tag_max: int | None = None
    sampler_cluster: str = ""
    """Whom the tracer asks how many traces there may be, if anybody."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What is logged, traced and counted."""

    logs: tuple[LogRule, ...] = ()
    tracing: TraceRule | None = None
    counting: Counting = STANDARD

    @property
    def clusters(self) -> tuple[str, ...]:
        """The clusters of the mesh by which it goes where it goes."""
        named = [rule.cluster for rule in self.logs]
        if self.tracing is not None and self.tracing.provider != OWN_COLLECTOR:
            named += [self.tracing.cluster, self.tracing.sampler_cluster]
        return tuple(dict.fromkeys(name for name in named if name))
