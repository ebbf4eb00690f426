"""What a pod's annotations ask of its sidecar: which traffic to leave alone.

Given annotations; gives a plain value and findings. A value that cannot be read is an error: captured traffic that was
meant to be left alone (or the other way round) is found too late otherwise.
Source: istio.io, resource annotations, `traffic.sidecar.istio.io/*`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from argosy.core.errors import Finding, Level

PREFIX = "traffic.sidecar.istio.io/"
BAD_ANNOTATION = "ARG0601"


@dataclass(frozen=True, slots=True)
class TrafficWishes:
    """Ports and IPv4 ranges by direction; ("*",) means all."""

    include_inbound: tuple[str, ...] = ("*",)
    exclude_inbound: tuple[int, ...] = ()
    include_outbound: tuple[int, ...] = ()
    exclude_outbound: tuple[int, ...] = ()
    include_ranges: tuple[str, ...] = ("*",)
    exclude_ranges: tuple[str, ...] = ()


def parse_traffic_annotations(annotations: Mapping[str, str]) -> tuple[TrafficWishes, tuple[Finding, ...]]:
    """Read all `traffic.sidecar.istio.io/*` annotations; a bad one leaves its default and a finding."""
    reader = _Reader(annotations)
    wishes = TrafficWishes(
        include_inbound=tuple(str(port) for port in reader.ports("includeInboundPorts"))
        if reader.some_inbound
        else ("*",),
        exclude_inbound=reader.ports("excludeInboundPorts"),
        include_outbound=reader.ports("includeOutboundPorts"),
        exclude_outbound=reader.ports("excludeOutboundPorts"),
        include_ranges=reader.ranges("includeOutboundIPRanges", default=("*",)),
        exclude_ranges=reader.ranges("excludeOutboundIPRanges", default=()),
    )
    return wishes, tuple(reader.findings)


class _Reader:
    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.findings: list[Finding] = []

    @property
    def some_inbound(self) -> bool:
        """True if `includeInboundPorts` is given and is not `*`; given but empty means: capture none."""
        text = self._annotations.get(PREFIX + "includeInboundPorts")
        return text is not None and text.strip() != "*"

    def ports(self, name: str) -> tuple[int, ...]:
        ports = []
        for word in self._words(name):
            if word.isdigit() and 1 <= int(word) <= 65535:
                ports.append(int(word))
            else:
                self._refuse(name, f"{word!r} is not a port", "a comma-separated list of port numbers")
        return tuple(ports)

    def ranges(self, name: str, *, default: tuple[str, ...]) -> tuple[str, ...]:
        if PREFIX + name not in self._annotations:
            return default
        ranges = []
        for word in self._words(name):
            if word == "*":
                return ("*",)
            try:
                ranges.append(str(IPv4Network(word, strict=False)))
            except ValueError:
                self._refuse(name, f"{word!r} is not an IPv4 range", "a comma-separated list like 10.0.0.0/8")
        return tuple(ranges)

    def _words(self, name: str) -> list[str]:
        return [word.strip() for word in self._annotations.get(PREFIX + name, "").split(",") if word.strip()]

    def _refuse(self, name: str, message: str, hint: str) -> None:
        field = f"metadata.annotations[{PREFIX}{name}]"
        self.findings.append(Finding(BAD_ANNOTATION, Level.ERROR, message, field=field, hint=hint))
