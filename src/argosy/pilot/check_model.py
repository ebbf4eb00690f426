"""How each class of proxies asks Mixer: what rules concern it, what the mesh says, what its pods say.

A change of rules touches the classes whose answer changes, and no others.
"""

from __future__ import annotations

from argosy.incr import Derived, Reader
from argosy.pilot import registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.checking import ASLEEP, NO_CONCERN, Checking, Concern, checking_of
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import SETTINGS_KEY, Mesh
from argosy.pilot.report_model import destination_of


class CheckModel:
    """The derived functions of checks, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.concern: Derived[ProxyClass, Concern] = mesh.engine.derived("check_concern", self._concern)
        self.ways: Derived[ProxyClass, Checking] = mesh.engine.derived("checking", self._way)

    def of(self, read: Reader, proxies: ProxyClass) -> Checking:
        """How a class asks."""
        return read.get(self.ways, proxies) or ASLEEP

    def _concern(self, read: Reader, proxies: ProxyClass) -> Concern:
        policy = read.get(self.mesh.check_policy, SETTINGS_KEY)
        return self.mesh.concerns.concerns(policy, destination_of(proxies))

    def _way(self, read: Reader, proxies: ProxyClass) -> Checking:
        concern = read.get(self.concern, proxies) or NO_CONCERN
        if not concern:
            return ASLEEP
        return checking_of(registry.settings(read, self.mesh, Aspect.CHECKS).config, proxies.checks, concern)
