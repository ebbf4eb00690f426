"""Which sides of a class of proxies report to Mixer: what rules want and what somebody watches.

All classes that report alike share one runtime. A watcher touches only the classes that are watched.
"""

from __future__ import annotations

from argosy.incr import Derived, Reader
from argosy.pilot.build.report import build_runtime
from argosy.pilot.classes import ROUTER, ProxyClass
from argosy.pilot.mesh import SETTINGS_KEY, Mesh
from argosy.pilot.reporting import QUIET, Destination, Switches, watched
from argosy.xds.messages import Resource


class ReportModel:
    """The derived functions of reports, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.ruled: Derived[ProxyClass, Switches] = mesh.engine.derived("ruled_reports", self._ruled)
        self.wanted: Derived[ProxyClass, Switches] = mesh.engine.derived("wanted_reports", self._wanted)

    def switches(self, read: Reader, proxies: ProxyClass) -> Switches:
        """What a class reports."""
        return read.get(self.wanted, proxies) or QUIET

    def runtime(self, _read: Reader, switches: Switches) -> tuple[Resource, ...]:
        """The runtime of all classes that report so."""
        return (build_runtime(switches),)

    def _wanted(self, read: Reader, proxies: ProxyClass) -> Switches:
        found = read.get(self.ruled, proxies) or QUIET
        for key in watched(proxies.namespace, proxies.workload):
            found |= read.get(self.mesh.watchers, key) or QUIET
        return found

    def _ruled(self, read: Reader, proxies: ProxyClass) -> Switches:
        policy = read.get(self.mesh.report_policy, SETTINGS_KEY)
        return self.mesh.reporting.sides(policy, destination_of(proxies))


def destination_of(proxies: ProxyClass) -> Destination:
    """What Mixer's rules may know beforehand of a workload."""
    gateway = proxies.role == ROUTER
    return Destination(proxies.namespace, proxies.labels, proxies.service_account, proxies.workload, gateway)
