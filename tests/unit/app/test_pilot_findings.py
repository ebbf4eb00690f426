"""What Pilot tells of rules that are asked about."""

from tests.unit.app.test_pilot import CART, HANDLER, INSTANCE, RULE, Proxy, added, pod

from argosy.app.mixer import Concerns
from argosy.app.pilot import Pilot
from argosy.core.errors import Finding, Level
from argosy.edge.clock import SystemClock
from argosy.pilot.mesh import MeshSettings


def test_why_mixer_is_asked_is_told() -> None:
    by_labels = RULE.replace('destination.labels["app"] == "cart"', 'source.labels["app"] == "x"')
    [found] = told(by_labels)
    assert (found.code, found.level, found.kind, found.name) == ("ARG0505", Level.INFO, "rule", "deny")
    assert (
        found.message
        == "proxies of shop/cart ask Mixer about each request, or TCP connection: proxies look up headers only"
    )
    assert told(RULE) == []


def told(rule: str) -> list[Finding]:
    """The findings of a Pilot with that rule and one proxy."""
    one = Pilot(MeshSettings(), Concerns(), SystemClock())
    one.on_changes(added(CART, pod(), rule, HANDLER, INSTANCE), synced=True)
    Proxy(one)
    return one.findings()
