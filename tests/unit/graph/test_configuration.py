"""Badges and findings on the view's nodes."""

from typing import Any

import pytest

from argosy.core.errors import Finding, Level
from argosy.graph.build import GraphOptions, GraphType, build_graph
from argosy.graph.configuration import Configuration, decorate, describe_configuration
from argosy.graph.view import build_view

from .bookinfo import bookinfo_window
from .settings import objects

NO_GATEWAY = Finding("ARG0203", Level.WARNING, "there is no Gateway", "VirtualService", "default", "bookinfo")
NO_PROTOCOL = Finding("ARG0216", Level.INFO, "names no protocol", "Service", "default", "details")
REFUSED = Finding("ARG0502", Level.ERROR, "refused by a proxy", "DestinationRule", "default", "reviews")
ELSEWHERE = Finding("ARG0901", Level.WARNING, "too many series")
FINDINGS = (NO_PROTOCOL, NO_GATEWAY, ELSEWHERE, REFUSED, NO_GATEWAY)


def decorated(type_: GraphType = GraphType.VERSIONED_APP, *, services: bool = False) -> dict[str, Any]:
    view = build_view(build_graph(bookinfo_window(), GraphOptions(service_nodes=services, type=type_)))
    return decorate(view, describe_configuration(objects(), 7), FINDINGS, type_)


def badges(view: dict[str, Any]) -> dict[str, str]:
    """Badges and codes of the nodes that have any, by the nodes' test names."""
    found = {}
    for node in view["nodes"]:
        words = [*(one["text"] for one in node["badges"]), *(one["code"] for one in node["findings"])]
        if words:
            found[node["test"].removeprefix("node:")] = " ".join(words)
    return found


REVIEWS = "VS DR ARG0502"
BY_NAME = {"productpage": "VS ARG0203", "details": "ARG0216", "reviews": REVIEWS}


def by_version(form: str) -> dict[str, str]:
    versions = [(app, 1, words) for app, words in BY_NAME.items()] + [("reviews", n, REVIEWS) for n in (2, 3)]
    return {form.format(app, n): words for app, n, words in versions}


@pytest.mark.parametrize(
    "type_, expected",
    [
        (GraphType.VERSIONED_APP, by_version("{}:v{}")),
        (GraphType.APP, BY_NAME),
        (GraphType.WORKLOAD, by_version("{}-v{}")),
        (GraphType.SERVICE, BY_NAME),
    ],
)
def test_nodes_have_the_badges_of_what_rules_them(type_: GraphType, expected: dict[str, str]) -> None:
    """Whatever a node is. A wildcard host is about the external host that it covers."""
    assert badges(decorated(type_)) == {**expected, "www.googleapis.com": "DR"}


def test_service_nodes_have_them_too() -> None:
    found = badges(decorated(services=True))
    assert (found["reviews"], found["reviews:v1"], found["details"]) == (REVIEWS, REVIEWS, "ARG0216")


def test_findings_are_listed_the_worst_first_each_once_with_its_nodes() -> None:
    view = decorated()
    assert [(one["code"], one["nodes"]) for one in view["findings"]] == [
        ("ARG0502", [f"default/reviews/v{n}" for n in (1, 2, 3)]),
        ("ARG0203", ["default/productpage/v1"]),
        ("ARG0901", []),
        ("ARG0216", ["default/details/v1"]),
    ]
    assert view["revision"] == 7


def test_a_badge_and_the_panel_say_what_the_objects_do() -> None:
    [node] = [one for one in decorated()["nodes"] if one["test"] == "node:reviews:v1"]
    rule = "VirtualService default/reviews: traffic shifting 90/10 (v1, v3), request timeout 1 s"
    assert node["badges"][0] == {"text": "VS", "title": rule}
    assert [(one["object"], one["says"], one["origin"].partition(":")[0]) for one in node["settings"]] == [
        ("DestinationRule default/reviews", "subsets v1, v3, circuit breaker", "mesh.yaml"),
        ("PeerAuthentication istio-system/default", "STRICT", "mesh.yaml"),
        ("VirtualService default/reviews", "traffic shifting 90/10 (v1, v3), request timeout 1 s", "mesh.yaml"),
    ]


def test_a_policy_is_about_those_that_it_selects() -> None:
    about = {node["test"]: [one["object"] for one in node["settings"]] for node in decorated()["nodes"]}
    deny = "AuthorizationPolicy default/ratings-only"
    assert [name for name, found in about.items() if deny in found] == ["node:ratings:v1"]
    # One in the root namespace selects in the whole mesh, but for a PeerAuthentication; any other in its own only.
    everywhere = "AuthorizationPolicy istio-system/whole-mesh"
    assert [name for name, found in about.items() if everywhere in found] == ["node:details:v1"]
    strangers = {"AuthorizationPolicy shop/elsewhere", "PeerAuthentication istio-system/of-gateways"}
    assert not strangers & {one for found in about.values() for one in found}


def test_nothing_in_force_decorates_with_nothing() -> None:
    view = build_view(build_graph(bookinfo_window()))
    plain = decorate(view, Configuration(), (), GraphType.VERSIONED_APP)
    assert plain["findings"] == []
    assert all(not (one["badges"] or one["settings"] or one["findings"]) for one in plain["nodes"])
    assert [{**node, "badges": [], "settings": [], "findings": []} for node in view["nodes"]] == plain["nodes"]
