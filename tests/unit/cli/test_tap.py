"""`argosy tap`, over the real control API."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from argosy.agent.pod import PodPlan
from argosy.cli.tap_lines import Table, Watch, choose, nobody, watched
from argosy.core.errors import ArgosyError
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
    assert rest[4].split()[4:7] == ["TCP", "cart.shop", "open"]


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
    _head, coloured, *_ = Table(colour=True).lines_of(shown)
    assert "\x1b[" in coloured
    assert "\x1b[" not in "".join(Table(colour=False).lines_of(shown))
    assert coloured.rstrip("\x1b[0m").endswith("plaintext")


@pytest.mark.parametrize(
    ("sni", "service", "shown"),
    [
        ("outbound_.9000_._.echo.shop.svc.cluster.local", "echo.shop.svc.cluster.local", "TCP echo.shop"),
        ("outbound_.9000_._.echo.shop.svc.cluster.local", "", "TCP outbound_.9000_._.echo.shop.svc.cluster.local"),
        ("www.example.com", "*.example.com", "TCP www.example.com"),
        ("", "PassthroughCluster", "TCP PassthroughCluster"),
        ("", "", "TCP 10.88.0.6:80"),
    ],
)
def test_a_connection_is_called_by_the_name_that_a_person_knows(sni, service, shown):
    connection = view(replace(OUT, http=None, flags=(), event=ConnectionEvent.OPEN), DIRECTORY)
    _head, line, *_ = Table(colour=False).lines_of({**connection, "sni": sni, "service": service})
    assert f" {shown} " in line


def test_a_column_grows_with_its_names_and_has_its_head_again():
    shown = view(OUT, DIRECTORY)
    long = {**shown, "source": {**shown["source"], "workload": "istio-ingressgateway", "namespace": "istio-system"}}
    table = Table(colour=False)
    first, _, *_ = table.lines_of(shown)
    assert not table.lines_of(shown)[0].startswith("TIME")
    head, line, *_ = table.lines_of(long)
    assert head.index("REQUEST") == line.index("GET") > first.index("REQUEST")
    again = table.lines_of(shown)[0]
    assert again.index("GET") == head.index("REQUEST")
    endless = {**long, "source": {**long["source"], "workload": "w" * 90}}
    head, line, *_ = table.lines_of(endless)
    assert head.index("DESTINATION") == len("09:43:14.191 out  ") + 48 + 1
    assert line.index("GET") > head.index("REQUEST"), "one name beyond all bounds stands out alone"


@pytest.mark.parametrize(
    ("places", "from_", "to", "words"),
    [
        ([("", "")], [], [], "the whole mesh"),
        ([("shop", "")], [], [], "shop"),
        ([("shop", "cart")], [], [], "shop/cart"),
        ([("", "")], ["a"], ["shop/b"], "calls from a to shop/b"),
        ([("", "")], [], ["b", "c"], "calls to b, c"),
    ],
)
def test_whom_a_watch_is_about(places, from_, to, words):
    assert watched(places, from_, to) == words


def test_a_target_and_a_peer_are_both_told():
    assert watched([("shop", "cart")], [], ["db"], target=True) == "calls to db as shop/cart sees them"
    assert watched([("shop", "cart")], [], [], target=True) == "shop/cart"


@pytest.mark.parametrize(
    ("namespace", "names", "words"),
    [
        ("", [], ""),
        ("shop", ["cart-v1"], ""),
        ("", ["shop/cart-v1", "deploy/cart-v1", "alone"], ""),
        ("shoq", [], "no pod runs in namespace shoq now; there are pods in default, shop"),
        ("", ["cart"], "no pod of cart runs now; did you mean cart-v1?"),
        ("", ["default/cart-v1"], "no pod of default/cart-v1 runs now; did you mean cart-v1?"),
        ("shop", ["alone"], "no pod of alone runs now; did you mean alone?"),
        ("", ["zzz"], "no pod of zzz runs now"),
    ],
)
def test_a_name_that_nobody_has_is_told(namespace, names, words):
    rows = [
        {"namespace": "shop", "name": "cart-v1-abc", "owner": "cart-v1"},
        {"namespace": "default", "name": "alone", "owner": ""},
    ]
    assert nobody(rows, namespace, names) == words


def test_a_watch_of_nobody_goes_on_and_says_so(tapped):
    tell(tapped)
    result = tapped.run("tap", "-n", "nope", "--duration", "0.1")
    assert result.exit_code == 0
    assert result.stderr.splitlines()[0] == "watching nope; Ctrl-C ends it"
    assert "no such request in 0.1 s" in result.stderr


class Restarting:
    """A mesh whose streams end as a test says; one more, and it does not answer."""

    def __init__(self, *streams: list[bytes]) -> None:
        self.streams = list(streams)

    def post(self, path: str, body: object, *, wait_s: float = 0.0) -> dict[str, list[str]]:
        return {"headers": []}

    def lines(self, path: str, query: object):
        if self.streams and self.streams[0]:
            yield from self.streams.pop(0)
        else:
            self.streams = self.streams[1:]
            raise ArgosyError.of("ARG0705", "no answer")


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only while the command waits."""
    now = [0.0]
    passing = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr("argosy.cli.tap_lines.time", passing)


@pytest.mark.usefixtures("clock")
def test_a_watch_outlives_a_restart_and_says_so():
    told: list[str] = []
    watch = Watch(Restarting([b'{"code": 1}'], [], [], [b"", b'{"code": 2}']), [], [], inbound=True, outbound=True)
    found = watch.requests(0, lambda: told.append("watching"), lambda: told.append("away"))
    assert [next(found)["code"], next(found)["code"]] == [1, 2]
    assert told == ["watching", "away", "watching"]


@pytest.mark.usefixtures("clock")
def test_its_duration_ends_a_watch_while_the_mesh_is_away():
    told: list[str] = []
    watch = Watch(Restarting([b""]), [], [], inbound=True, outbound=True)
    assert list(watch.requests(0.1, lambda: told.append("watching"), lambda: told.append("away"))) == []
    assert told == ["watching", "away"]
    never = Watch(Restarting(), [], [], inbound=True, outbound=True)
    with pytest.raises(ArgosyError, match="no answer"):
        list(never.requests(0.1, lambda: told.append("never"), lambda: told.append("never")))
