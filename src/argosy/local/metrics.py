"""What a pod's annotations and its proxy's metadata say of how it is scraped.

Given them; gives the plan's part, or findings: a port that cannot be read would be found out only by a graph without
data. Source: istio.io, `prometheus.io/*`, `prometheus.istio.io/*`, MeshConfig.enablePrometheusMerge, OUTPUT_CERTS,
ENVOY_SECURE_METRICS_PORT and its like.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from argosy.agent.pod import Metrics
from argosy.api.kubernetes import PodSpec
from argosy.core.errors import Finding, Level
from argosy.core.names import MERGED_METRICS_PORT, PROXY_PORTS

BAD_ANNOTATION = "ARG0601"
TARGETS_ANNOTATION = "argosy.io/scrape-targets"
MERGE_ANNOTATION = "prometheus.istio.io/merge-metrics"
_MOUNTS = "sidecar.istio.io/userVolumeMount"
_DEFAULT_PORT = "80"
_YES = frozenset({"true", "1", "t", "yes", "y", "on"})
_NO = frozenset({"false", "0", "f", "no", "n", "off"})


def pod_metrics(
    spec: PodSpec, annotations: Mapping[str, str], environment: Mapping[str, str], *, merge: bool
) -> tuple[Metrics, tuple[Finding, ...]]:
    """The plan's part, and what is wrong. `merge`: what the mesh configuration says of merging."""
    read = _Reader(annotations, environment)
    scraped = read.switch("prometheus.io/scrape", default=None)
    port = read.port("prometheus.io/port", annotations.get("prometheus.io/port", _DEFAULT_PORT)) if scraped else 0
    folder = environment.get("OUTPUT_CERTS", "")
    made = Metrics(
        offered=scraped is not False,
        # Who was injected by others before names the proxy's own port.
        port=0 if port == MERGED_METRICS_PORT else port,
        path=annotations.get("prometheus.io/path", "") or "/metrics",
        scheme=annotations.get("prometheus.io/scheme", "") or "http",
        merged=bool(read.switch(MERGE_ANNOTATION, default=merge)),
        secure_port=read.own_port("ENVOY_SECURE_METRICS_PORT"),
        secure_merged_port=read.own_port("ENVOY_SECURE_MERGED_METRICS_PORT"),
        local_only=bool(read.switch("METRICS_LOCALHOST_ACCESS_ONLY", default=False, given=environment)),
        certificates=tuple(dict.fromkeys(_certificates(spec, annotations.get(_MOUNTS, ""), folder))) if folder else (),
        targets=bool(read.switch(TARGETS_ANNOTATION, default=False)),
    )
    if not made.path.startswith("/"):
        read.refuse("prometheus.io/path", f"{made.path!r} is not a path")
    if made.secure_port and made.secure_port == made.secure_merged_port:
        read.refuse("ENVOY_SECURE_MERGED_METRICS_PORT", f"port {made.secure_port} is taken by the proxy's own metrics")
    if folder and not folder.startswith("/"):
        read.refuse("OUTPUT_CERTS", f"{folder!r} is not the whole path of a folder")
    return made, tuple(read.findings)


def _certificates(spec: PodSpec, mounts: str, folder: str) -> Iterable[str]:
    """Where the application sees what the proxy writes to `folder`: where it mounts the volume that is there in the
    proxy, or else there."""
    try:
        entries = msgspec.json.decode(mounts or "[]")
    except msgspec.DecodeError:
        entries = []
    volumes = {name for one in _entries(entries) if (name := _mounted(one, folder))}
    found = [mount.mount_path for one in spec.containers for mount in one.volume_mounts if mount.name in volumes]
    return found or [folder]


def _entries(given: Any) -> Iterable[Any]:
    """The two forms of Istio's annotation: a list, and an object by name."""
    if isinstance(given, dict):
        return [{"name": name, **one} for name, one in given.items() if isinstance(one, dict)]
    return given if isinstance(given, list) else []


def _mounted(one: Any, folder: str) -> str:
    at = isinstance(one, dict) and str(one.get("mountPath", "")).rstrip("/") == folder.rstrip("/")
    return str(one.get("name", "")) if at else ""


class _Reader:
    def __init__(self, annotations: Mapping[str, str], environment: Mapping[str, str]) -> None:
        self._annotations, self._environment = annotations, environment
        self.findings: list[Finding] = []

    def switch(self, name: str, *, default: bool | None, given: Mapping[str, str] | None = None) -> bool | None:
        """A word that means yes or no."""
        text = (self._annotations if given is None else given).get(name, "").strip().lower()
        if not text:
            return default
        if text not in _YES | _NO:
            self.refuse(name, f"{text!r} is not true or false")
        return text in _YES

    def port(self, name: str, text: str) -> int:
        """A port."""
        if text.strip().isdecimal() and 1 <= int(text) <= 65535:
            return int(text)
        self.refuse(name, f"{text!r} is not a port")
        return 0

    def own_port(self, name: str) -> int:
        """A port that the proxy is to serve; 0 if it is not asked to."""
        text = self._environment.get(name, "").strip()
        if text in ("", "0"):
            return 0
        port = self.port(name, text)
        if port in PROXY_PORTS:
            self.refuse(name, f"port {port} is the proxy's for something else")
        return port

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong."""
        hint = "metadata.annotations, or proxyMetadata"
        self.findings.append(
            Finding(BAD_ANNOTATION, Level.ERROR, f"{name}: {message}", field="metadata.annotations", hint=hint)
        )
