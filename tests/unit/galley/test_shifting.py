"""The documents that split a service's requests by weights."""

from typing import Any

import pytest
import yaml

from argosy.core.errors import ArgosyError
from argosy.core.names import ObjectKey
from argosy.galley.shifting import KINDS, Shift, shift_traffic

REVIEWS = ObjectKey("default", "reviews")
SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
"""
WORKLOADS = "".join(
    f"""---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: reviews-{version}, namespace: default}}
spec: {{template: {{metadata: {{labels: {{app: reviews, version: {version}}}}}}}}}
"""
    for version in ("v1", "v2", "v3")
)
SUBSETS = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rules, namespace: default, labels: {team: a}}
spec: {host: reviews, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}, subsets: [{name: v1, labels: {version: v1}}]}
"""


def routes(spec: str, name: str = "reviews") -> str:
    head = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\n"
    return f"{head}metadata: {{name: {name}, namespace: default}}\nspec: {spec}\n"


def shifted(text: str, **weights: int) -> list[dict[str, Any]]:
    objects: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for one in yaml.safe_load_all(text):
        objects[one["kind"]].append(one)
    return shift_traffic(Shift(REVIEWS, weights), objects)


def test_a_service_without_rules_gets_both() -> None:
    rule, new = shifted(SERVICE + WORKLOADS, v1=90, v3=10)
    assert (rule["kind"], rule["metadata"]) == ("DestinationRule", {"name": "reviews", "namespace": "default"})
    assert rule["spec"] == {
        "host": "reviews",
        "subsets": [{"name": "v1", "labels": {"version": "v1"}}, {"name": "v3", "labels": {"version": "v3"}}],
    }
    ways = [{"destination": {"host": "reviews", "subset": s}, "weight": w} for s, w in (("v1", 90), ("v3", 10))]
    assert (new["kind"], new["spec"]) == ("VirtualService", {"hosts": ["reviews"], "http": [{"route": ways}]})


def test_what_a_destination_rule_says_is_kept_and_only_what_lacks_is_added() -> None:
    rule, _routes = shifted(SERVICE + WORKLOADS + SUBSETS, v1=1, v2=1)
    assert rule["metadata"]["labels"] == {"team": "a"}
    assert rule["spec"]["trafficPolicy"] == {"tls": {"mode": "ISTIO_MUTUAL"}}
    assert [one["name"] for one in rule["spec"]["subsets"]] == ["v1", "v2"]
    [only] = shifted(SERVICE + WORKLOADS + SUBSETS, v1=100)
    assert only["kind"] == "VirtualService"


def test_the_rule_for_all_other_requests_is_changed_and_keeps_what_else_it_says() -> None:
    text = routes(
        "{hosts: [reviews], http: ["
        "{match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}, "
        "{timeout: 2s, route: [{destination: {host: reviews, subset: v1, port: {number: 9080}}, "
        "headers: {request: {set: {a: b}}}}]}]}"
    )
    before = yaml.safe_load(text)["spec"]["http"]
    [_rule, changed] = shifted(SERVICE + WORKLOADS + SUBSETS + text, v1=80, v3=20)
    first, last = changed["spec"]["http"]
    assert first == before[0]
    assert last == {
        "timeout": "2s",
        "route": [
            {**before[1]["route"][0], "weight": 80},
            {"destination": {"host": "reviews", "subset": "v3", "port": {"number": 9080}}, "weight": 20},
        ],
    }


def test_where_every_rule_has_conditions_one_for_the_rest_is_added() -> None:
    text = routes(
        "{hosts: [reviews.default.svc.cluster.local], http: [{match: [{uri: {exact: /a}}], redirect: {uri: /b}}]}"
    )
    [changed] = shifted(SERVICE + WORKLOADS + SUBSETS + text, v1=100)
    assert changed["spec"]["http"][1] == {
        "route": [{"destination": {"host": "reviews", "subset": "v1"}, "weight": 100}]
    }


def test_rules_of_gateways_are_others_even_by_name() -> None:
    text = routes(
        "{hosts: [reviews.example.com], gateways: [front], http: [{route: [{destination: {host: reviews}}]}]}"
    )
    [made] = shifted(SERVICE + WORKLOADS + SUBSETS + text, v1=100)
    assert (made["metadata"]["name"], made["spec"]["hosts"]) == ("reviews-shift", ["reviews"])


def test_connections_are_split_where_the_port_is_not_http() -> None:
    [_rule, made] = shifted(SERVICE.replace("name: http", "name: tcp") + WORKLOADS, v1=80, v2=20)
    assert [one["weight"] for one in made["spec"]["tcp"][0]["route"]] == [80, 20]


@pytest.mark.parametrize(
    "text, weights, code, words",
    [
        (SERVICE, {"v1": 0}, "ARG0719", "all weights are 0"),
        (SERVICE.replace("name: reviews", "name: review"), {"v1": 1}, "ARG0302", "did you mean review?"),
        (SERVICE + WORKLOADS, {"v9": 1}, "ARG0719", "there are v1, v2, v3"),
        (SERVICE, {"v1": 1}, "ARG0719", "label `version`"),
        (
            SERVICE + SUBSETS + routes("{hosts: [reviews]}", "a") + routes("{hosts: [reviews]}", "b"),
            {"v1": 1},
            "ARG0719",
            "default/a, default/b",
        ),
        (
            SERVICE + SUBSETS + routes("{hosts: [reviews], http: [{route: [{destination: {host: other}}]}]}"),
            {"v1": 1},
            "ARG0719",
            "elsewhere than to reviews.default.svc.cluster.local",
        ),
        (
            SERVICE + SUBSETS + routes("{hosts: [reviews], http: [{redirect: {uri: /x}}]}"),
            {"v1": 1},
            "ARG0719",
            "elsewhere",
        ),
    ],
)
def test_what_would_need_a_guess_is_refused(text: str, weights: dict[str, int], code: str, words: str) -> None:
    with pytest.raises(ArgosyError) as refused:
        shifted(text, **weights)
    [finding] = refused.value.findings
    assert finding.code == code
    assert words in f"{finding.message} {finding.hint}"
