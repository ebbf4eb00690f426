"""`argosy tap`, over the real control API."""

import json
from dataclasses import replace

import pytest

from argosy.agent.pod import PodPlan
from argosy.cli.tap_lines import choose, lines_of
from argosy.mixer.access_record import ConnectionEvent
from argosy.mixer.tap import view

from ..mixer.test_tap import DIRECTORY, HTTP, IN, OUT

POLICY = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nothing}
spec: {}
"""


@pytest.fixture
def tapped(mesh, pod: PodPlan):
    """A mesh with one pod and a Mixer that is told of the requests that a test names."""
    mesh.add_pod(pod)
    mesh.connect(pod)
    return mesh


def tell(mesh, *records) -> None:
    mesh.records = list(records)


def test_requests_are_shown_with_their_reason_below(tapped):
    tell(tapped, OUT, replace(OUT, http=None, flags=(), event=ConnectionEvent.OPEN))
    result = tapped.run("tap", "--limit", "2")
    assert result.exit_code == 0, result.output
    assert result.stderr == "watching the whole mesh; Ctrl-C ends it\n"
    head, line, *rest = result.stdout.splitlines()
    assert head.split()[:3] == ["TIME", "VIEW", "SOURCE"]
    assert line.split()[1:] == ["out", "sleep.shop", "cart.shop", "GET", "/items", "503", "12.3", "ms", "mTLS"]
    assert [one.strip() for one in rest[:4]] == [
        "UH: no healthy upstream",
        "route to-cart of VirtualService shop/cart (cart.yaml:3)",
        "upstream 10.88.0.6:80 of outbound|80||cart.shop.svc.cluster.local, 2 retries",
        "peer spiffe://cluster.local/ns/shop/sa/cart",
    ]
    assert rest[4].split()[4:7] == ["TCP", "cart.shop.svc.cluster.local", "open"]


def test_json_is_one_object_a_line_and_the_lease_is_given_back(tapped):
    tell(tapped, OUT, OUT)
    result = tapped.run("tap", "-o", "json", "--status", "5xx", "--limit", "2")
    assert [json.loads(line)["code"] for line in result.stdout.splitlines()] == [503, 503]
    assert len(tapped.pilot.watchers) == 0


def test_a_refusal_is_explained_by_the_policies_as_they_are(tapped):
    tapped.apply(POLICY)
    refused = replace(HTTP, code=403, details="rbac_access_denied_matched_policy[none]")
    node = IN.node._replace(namespace="default", pod="web-v1-abc-xyz")
    record = replace(IN, http=refused, flags=(), node=node)
    tell(tapped, record)
    (line,) = tapped.run("tap", "-o", "json", "--limit", "1").stdout.splitlines()
    found = json.loads(line)
    assert found["reason"] == ["no rule of the ALLOW policies matched"]
    assert [one["name"] for one in found["refusedBy"]["policies"]] == ["nothing"]
    tell(tapped, record)
    text = tapped.run("tap", "--limit", "1").stdout
    assert "policy default/nothing" in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--status", "7xx"], "ARG0717", "'7xx' is no status"),
        (["--path", "x"], "ARG0717", "begins with /"),
        (["--header", "x-nope=1"], "ARG0718", "do not tell of the header 'x-nope'"),
        (["deploy/nope"], "ARG0302", "no pod of this Deployment"),
    ],
)
def test_what_cannot_be_watched_is_said(tapped, arguments: list[str], code: str, words: str):
    result = tapped.run("tap", *arguments)
    assert result.exit_code == 1
    assert code in result.stderr
    assert words in result.stderr
    assert result.stdout == ""
    assert len(tapped.pilot.watchers) == 0


def test_a_header_that_the_mesh_lists_may_be_asked_for(tapped):
    tapped.apply(
        """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  argosy: |
    reports: {requestHeaders: [X-Nope]}
"""
    )
    tell(tapped, OUT)
    assert tapped.run("tap", "--header", "x-nope=1", "--duration", "0.1").exit_code == 0


def test_without_a_mesh_it_says_how_to_start_one(no_mesh):
    from typer.testing import CliRunner

    from argosy.cli.main import build_app

    result = CliRunner().invoke(build_app(), ["tap"])
    assert (result.exit_code, "ARG0701" in result.stderr) == (1, True)


def test_duration_ends_it(tapped):
    tell(tapped)
    assert tapped.run("tap", "--duration", "0.1").exit_code == 0


@pytest.mark.parametrize(
    ("given", "places", "filters"),
    [
        (("", "", [], [], ""), [("", "")], {"direction": "both"}),
        (("", "shop", [], [], ""), [("shop", "")], {"namespace": "shop", "direction": "both"}),
        (("", "", ["shop/a"], ["b"], ""), [("shop", "a")], {"direction": "outbound"}),
        (("", "", ["a"], [], ""), [("", "")], {"direction": "outbound"}),
        (("", "shop", [], ["deploy/b"], ""), [("shop", "b")], {"namespace": "shop", "direction": "inbound"}),
        (("", "", ["shop/a"], ["shop/b"], "inbound"), [("shop", "b")], {"direction": "inbound"}),
        (("", "", ["shop/a"], [], "both"), [("", "")], {"direction": "both"}),
    ],
)
def test_who_has_to_report(given, places, filters):
    assert choose(*given) == (places, list(filters.items()))


def test_a_deployment_and_a_pod_are_found(tapped):
    assert choose("deploy/web-v1", "", [], [], "") == (
        [("default", "web-v1")],
        [("namespace", "default"), ("workload", "web-v1"), ("direction", "both")],
    )
    assert choose("web-v1-abc-xyz", "", [], [], "inbound")[1] == [
        ("namespace", "default"),
        ("pod", "web-v1-abc-xyz"),
        ("direction", "inbound"),
    ]


def test_colour_is_for_terminals():
    shown = view(replace(IN, peer_principal="", peer_workload=""), DIRECTORY)
    coloured = lines_of(shown, colour=True, first=False)
    assert "\x1b[" in "".join(coloured)
    assert "\x1b[" not in "".join(lines_of(shown, colour=False, first=False))
    assert coloured[0].rstrip("\x1b[0m").endswith("plaintext")
