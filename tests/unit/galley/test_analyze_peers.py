"""PeerAuthentications that have no effect, each told as what it is."""

from __future__ import annotations

from argosy.api import decode_objects, parse_documents
from argosy.galley.analyze_authorization import surroundings
from argosy.galley.analyze_peers import analyze_peer_authentication

POLICY = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}, creationTimestamp: "{year}-01-01T00:00:00Z"}}
spec: {{mtls: {{mode: STRICT}}{more}}}
"""


def policy(name: str, year: int, *, namespace: str = "shop", selector: str = "") -> str:
    more = f", selector: {{matchLabels: {{{selector}}}}}" if selector else ""
    return POLICY.format(name=name, namespace=namespace, year=year, more=more)


def told(*texts: str) -> list[str]:
    found = decode_objects(parse_documents("---".join(texts)))
    around = surroundings(found)
    return [f"{one.name}: {one.message}" for peer in around.peers for one in analyze_peer_authentication(peer, around)]


def test_the_later_of_two_has_no_effect() -> None:
    says = "is older and about the same pods: this one has no effect on them"
    assert told(policy("a", 2025), policy("z", 2024)) == [f"a: shop/z {says}"]
    assert told(policy("a", 2025), policy("z", 2025)) == [f"z: shop/a {says}"]
    assert told(policy("a", 2025, selector="app: x"), policy("z", 2024, selector="app: x")) == [f"a: shop/z {says}"]


def test_policies_of_different_reach_do_not_meet() -> None:
    assert told(policy("a", 2025), policy("b", 2024, namespace="bank"), policy("c", 2023, selector="app: x")) == []
    assert told(policy("a", 2025, selector="app: x"), policy("b", 2024, selector="app: y")) == []
