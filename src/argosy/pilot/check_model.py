"""How each class of proxies asks Mixer: what rules concern it, what the mesh says, what its pods say.

A change of rules touches the classes whose answer changes, and no others.
"""

from __future__ import annotations

from dataclasses import replace

from argosy.incr import Derived, Reader
from argosy.pilot import registry
from argosy.pilot.aspects import Aspect
from argosy.pilot.checking import ASLEEP, NO_CONCERN, CalledPort, Checking, Concern, OwnAnswers, checking_of
from argosy.pilot.classes import ProxyClass
from argosy.pilot.mesh import SETTINGS_KEY, Mesh
from argosy.pilot.report_model import destination_of


class CheckModel:
    """The derived functions of checks, over the inputs of a `Mesh`."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.concern: Derived[ProxyClass, Concern] = mesh.engine.derived("check_concern", self._concern)
        self.ways: Derived[ProxyClass, Checking] = mesh.engine.derived("checking", self._way)
        self.answers: Derived[tuple[ProxyClass, CalledPort], OwnAnswers] = mesh.engine.derived(
            "check_answers", self._answers
        )

    def of(self, read: Reader, proxies: ProxyClass) -> Checking:
        """How a class asks."""
        return read.get(self.ways, proxies) or ASLEEP

    def at(self, read: Reader, proxies: ProxyClass, port: CalledPort) -> Checking:
        """How a class asks about what comes to one of its ports, and what it refuses there itself."""
        way = self.of(read, proxies)
        if not (way.concern.tcp if port.tcp else way.concern.http):
            return ASLEEP
        found = read.get(self.answers, (proxies, port)) or OwnAnswers()
        asks = Concern(http=found.asks and not port.tcp, tcp=found.asks and port.tcp)
        concern = replace(asks, answers=asks.http and way.concern.answers)
        return replace(way, concern=concern, refusals=found.refusals, variants=found.variants)

    def _answers(self, read: Reader, key: tuple[ProxyClass, CalledPort]) -> OwnAnswers:
        proxies, port = key
        return self.mesh.concerns.answers(read.get(self.mesh.check_policy, SETTINGS_KEY), destination_of(proxies), port)

    def _concern(self, read: Reader, proxies: ProxyClass) -> Concern:
        policy = read.get(self.mesh.check_policy, SETTINGS_KEY)
        return self.mesh.concerns.concerns(policy, destination_of(proxies))

    def _way(self, read: Reader, proxies: ProxyClass) -> Checking:
        concern = read.get(self.concern, proxies) or NO_CONCERN
        if not concern:
            return ASLEEP
        return checking_of(registry.settings(read, self.mesh, Aspect.CHECKS).config, proxies.checks, concern)
