"""Mixer's rules of 2019, enforced by the sidecars of the workloads that a rule concerns and by no others."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.e2e.calls import applied, echo, in_pod
from tests.e2e.harness import CORPUS, EXAMPLES, Mesh, is_ready, require_corpus, running, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BOOKINFO = EXAMPLES / "bookinfo"
POLICIES = CORPUS / "istio-1.4-samples" / "bookinfo" / "policy"

RATINGS, REVIEWS = "http://ratings:9080/ratings/0", "http://reviews:9080/reviews/0"
DETAILS, PAGE = "http://details:9080/details/0", "http://productpage:9080/productpage"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("mixer")
    files = [BOOKINFO / name for name in ("bookinfo.yaml", "gateway.yaml", "destination-rules.yaml")]
    with running(folder / "mesh", *files, EXAMPLES / "sleep" / "sleep.yaml") as one:
        yield one


def answer(mesh: Mesh, caller: str, url: str, *, user: str = "") -> tuple[int, str]:
    """Status and body of one request out of a workload's pod."""
    options = f"-H 'x-user: {user}'" if user else ""
    text = in_pod(mesh, caller, "sh", "-c", f"curl -s -m 60 -w '\\n%{{http_code}}' {options} {url}")
    body, _newline, code = text.rpartition("\n")
    return int(code), body


def page(mesh: Mesh, *, user: str = "") -> tuple[int, str]:
    """The product page through the gateway."""
    headers = {"x-user": user} if user else {}
    found = httpx.get(f"{mesh.gateway()}/productpage", headers=headers, timeout=60)
    return found.status_code, found.text


def asking(mesh: Mesh) -> set[str]:
    """Workloads whose proxies ask Mixer: those with settings for the check on a route."""
    found = set()
    with mesh.control() as client:
        for proxy in mesh.proxies():
            answer = client.get(f"/v1/proxy-config/{proxy['namespace']}/{proxy['pod']}")
            if answer.status_code == 404:  # its pod has gone since
                continue
            routes = answer.json()["resources"]["routes"]
            hosts = [host for route in routes for host in route.get("virtual_hosts", ())]
            if any("envoy.filters.http.ext_authz" in host.get("typed_per_filter_config", {}) for host in hosts):
                found.add(re.sub(r"-[a-z0-9]+-[a-z0-9]+$", "", proxy["pod"]))
    return found


def checks(mesh: Mesh) -> float:
    """How many requests Mixer was asked about."""
    return mesh.count("mixer_checks_total")


def test_our_own_example_refuses_v3_and_asks_only_where_it_must(mesh: Mesh) -> None:
    assert asking(mesh) == set()
    before = checks(mesh)
    assert answer(mesh, "reviews-v3", RATINGS)[0] == 200
    assert checks(mesh) == before
    with applied(mesh, BOOKINFO / "mixer-deny-reviews-v3.yaml"):
        assert asking(mesh) == {"ratings-v1"}
        refused = (403, "PERMISSION_DENIED:refuse-reviews-v3.default:Not allowed")
        assert answer(mesh, "reviews-v3", RATINGS) == refused
        assert answer(mesh, "reviews-v2", RATINGS)[0] == 200
        assert answer(mesh, "sleep", RATINGS)[0] == 200
        asked = checks(mesh)
        assert asked == before + 3
        # Nobody asks about requests to others.
        assert answer(mesh, "reviews-v3", DETAILS)[0] == 200
        assert checks(mesh) == asked
    assert asking(mesh) == set()
    assert answer(mesh, "reviews-v3", RATINGS)[0] == 200


def test_nobody_becomes_another_by_headers(mesh: Mesh) -> None:
    with applied(mesh, BOOKINFO / "mixer-deny-reviews-v3.yaml"):
        claims = "-H 'x-istio-attributes: Cg==' -H 'x-forwarded-client-cert: By=a;URI=spiffe://cluster.local/ns/x/sa/y'"
        assert answer(mesh, "reviews-v3", f"{claims} {RATINGS}")[0] == 403


def test_denials_are_counted_on_both_sides_and_by_mixer(mesh: Mesh) -> None:
    before = mesh.count("mixer_denials_total")
    with applied(mesh, BOOKINFO / "mixer-deny-reviews-v3.yaml"):
        assert answer(mesh, "reviews-v3", RATINGS)[0] == 403
    assert mesh.count("mixer_denials_total") == before + 1


HEADER = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: johns}
spec: {compiledAdapter: listchecker, params: {overrides: [john, "100% <j>"], blacklist: true}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: user}
spec: {compiledTemplate: listentry, params: {value: 'request.headers["x-user"] | "nobody"'}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: johns}
spec:
  match: destination.labels["app"] == "ratings"
  actions: [{handler: johns, instances: [user]}]
"""
UNCOMPILED = """
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: before}
spec:
  match: source.labels["app"] == "nobody"
  actions: [{handler: johns, instances: [user]}]
"""


def test_what_needs_no_question_is_refused_without_one(mesh: Mesh) -> None:
    users = ("john", "jane", "", "100% <j>")
    listeners = inbound_listeners(mesh, "ratings-v1")
    with applied(mesh, HEADER):
        assert asking(mesh) == set()
        before = checks(mesh)
        compiled = [answered(mesh, user) for user in users]
        assert checks(mesh) == before
        # The rule is in routes only: no connection is drained for it.
        assert inbound_listeners(mesh, "ratings-v1") == listeners
        with applied(mesh, UNCOMPILED):
            asked = [answered(mesh, user) for user in users]
            assert checks(mesh) == before + len(users)
    assert compiled == asked
    assert compiled[0] == (403, "PERMISSION_DENIED:johns.default:john is blacklisted", "default/johns")
    assert [code for code, _body, _rule in compiled] == [403, 200, 200, 403]


def answered(mesh: Mesh, user: str) -> tuple[int, str, str]:
    """Status, body of a refusal, and the rule that it names."""
    option = f"-H 'x-user: {user}'" if user else ""
    text = in_pod(mesh, "sleep", "sh", "-c", f"curl -s -m 60 -i {option} {RATINGS}")
    head, _empty, body = text.replace("\r", "").partition("\n\n")
    status, *lines = head.splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines)
    rule = headers.get("x-argosy-denied-by", "")
    return int(status.split()[1]), body if rule else "", rule


def inbound_listeners(mesh: Mesh, workload: str) -> str:
    """What listens in the proxy of a workload."""
    with mesh.control() as client:
        for proxy in mesh.proxies():
            if proxy["pod"].startswith(workload):
                answer = client.get(f"/v1/proxy-config/{proxy['namespace']}/{proxy['pod']}")
                return json.dumps(answer.json()["resources"]["listeners"], sort_keys=True)
    raise AssertionError(f"{workload} has no proxy")


LISTS = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: HANDLER}
spec: {compiledAdapter: listchecker, params: PARAMS}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: value}
spec: {compiledTemplate: listentry, params: {value: VALUE}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: lists}
spec:
  match: destination.labels["app"] == "ratings"
  actions: [{handler: HANDLER, instances: [value]}]
"""


@pytest.mark.parametrize(
    "params, value, codes",
    [
        ("{overrides: [v1, v2], blacklist: false}", """'source.labels["version"]'""", (200, 403, 403)),
        ("{overrides: [v3], blacklist: true}", """'source.labels["version"] | "none"'""", (200, 403, 200)),
        ("{overrides: [REVIEWS], entryType: CASE_INSENSITIVE_STRINGS}", "source.workload.name", (403, 403, 403)),
        (
            "{overrides: [cluster.local/ns/default/sa/bookinfo-reviews]}",
            "source.principal",
            (200, 200, 403),
        ),
        ('{overrides: ["^reviews-v[23]$"], entryType: REGEX}', "source.workload.name", (200, 200, 403)),
        ("{overrides: [ratings.default.svc.cluster.local]}", "destination.service.host", (200, 200, 200)),
        ("{overrides: [10.88.0.0/16], entryType: IP_ADDRESSES}", "source.ip", (200, 200, 200)),
        ("{overrides: [10.57.0.0/16], entryType: IP_ADDRESSES}", "source.ip", (403, 403, 403)),
    ],
)
def test_lists(mesh: Mesh, params: str, value: str, codes: tuple[int, int, int]) -> None:
    text = LISTS.replace("HANDLER", "names").replace("PARAMS", params).replace("VALUE", value)
    with applied(mesh, text):
        assert tuple(answer(mesh, one, RATINGS)[0] for one in ("reviews-v2", "reviews-v3", "sleep")) == codes


PROVIDER = f"""
apiVersion: v1
kind: Service
metadata: {{name: names}}
spec: {{selector: {{app: names}}, ports: [{{name: http, port: 80, targetPort: 8070}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: names}}
spec:
  selector: {{matchLabels: {{app: names}}}}
  template:
    metadata: {{labels: {{app: names}}}}
    spec:
      containers:
      - name: names
        image: busybox
        command: ["{sys.executable}", "-m", "http.server", "8070", "--directory", "/tmp"]
        ports: [{{containerPort: 8070}}]
        readinessProbe: {{tcpSocket: {{port: 8070}}, periodSeconds: 1}}
"""
READ = "{providerUrl: http://names.default/list, refreshInterval: 1s, cachingInterval: 1s, entryType: STRINGS}"


def test_a_list_that_a_service_of_the_mesh_gives_is_read_again_and_again(mesh: Mesh) -> None:
    """`providerUrl`: as long as it was never read, nobody passes."""

    def codes() -> tuple[int, ...]:
        return tuple(answer(mesh, one, RATINGS)[0] for one in ("reviews-v2", "reviews-v3"))

    text = LISTS.replace("HANDLER", "read").replace("PARAMS", READ)
    text = text.replace("VALUE", """'source.labels["version"]'""")
    with applied(mesh, PROVIDER, text):
        wait_for(
            lambda: mesh.pods("names") and all(map(is_ready, mesh.pods("names"))), 120, "the list's server is ready"
        )
        for word, wanted in (("v2", (200, 403)), ("v3", (403, 200))):
            in_pod(mesh, "names", "sh", "-c", f"echo {word} > /tmp/list")
            wait_for(lambda wanted=wanted: codes() == wanted, 60, f"the list that has {word} is in force")
    assert codes() == (200, 200)


@pytest.mark.parametrize(
    "status, code, body",
    [
        ("{code: 16, message: who are you}", 401, "UNAUTHENTICATED:refuse.default:who are you"),
        ("{code: 5}", 404, "NOT_FOUND:refuse.default:"),
        ("{code: 8}", 429, "RESOURCE_EXHAUSTED:refuse.default:"),
        ("{code: 14}", 503, "UNAVAILABLE:refuse.default:"),
        ("{}", 400, "FAILED_PRECONDITION:refuse.default:"),
    ],
)
def test_a_denier_answers_with_its_own_status(mesh: Mesh, status: str, code: int, body: str) -> None:
    text = f"""
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: refuse}}
spec: {{compiledAdapter: denier, params: {{status: {status}}}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: nothing}}
spec: {{compiledTemplate: checknothing}}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: refuse}}
spec:
  match: destination.labels["app"] == "details"
  actions: [{{handler: refuse, instances: [nothing]}}]
"""
    with applied(mesh, text):
        found = answer(mesh, "sleep", DETAILS)
    assert found[0] == code
    assert found[1].startswith(body)


# -- connections ----------------------------------------------------------------------------------------------------

CONNECTIONS = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: HANDLER}
spec: {compiledAdapter: ADAPTER}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: connection}
spec: {compiledTemplate: TEMPLATE}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: connections}
spec:
  match: destination.service.host == "tcp-echo.default.svc.cluster.local" && (MATCH)
  actions: [{handler: HANDLER, instances: [connection]}]
"""
LISTED = "listchecker, params: {overrides: [%s/32], entryType: IP_ADDRESSES, blacklist: true}"
NAMED = 'connection.requested_server_name == "outbound_.9001_._.tcp-echo.default.svc.cluster.local"'


def connections(adapter: str, template: str, match: str) -> str:
    """A rule about connections to `tcp-echo`."""
    text = CONNECTIONS.replace("HANDLER", "connections").replace("ADAPTER", adapter)
    return text.replace("TEMPLATE", template).replace("MATCH", match)


def test_connections_are_refused_by_address_and_server_name_without_a_question(mesh: Mesh) -> None:
    """What a proxy knows of a connection it decides itself."""
    (address,) = {pod["status"]["podIP"] for pod in mesh.pods("sleep")}
    by_address = connections(LISTED % address, "listentry, params: {value: source.ip}", "true")
    by_name = connections("denier", "checknothing", NAMED)
    with applied(mesh, EXAMPLES / "tcp-echo" / "tcp-echo.yaml"):
        wait_for(lambda: echo(mesh, "sleep", "tcp-echo", 9000, "before").endswith("before"), 120, "somebody answers")
        asked = checks(mesh)
        with applied(mesh, by_address):
            assert [echo(mesh, "sleep", "tcp-echo", port, "refused") for port in (9000, 9001)] == ["", ""]
            assert echo(mesh, "reviews-v2", "tcp-echo", 9000, "other").endswith("other")
        with applied(mesh, by_name):
            assert echo(mesh, "sleep", "tcp-echo", 9001, "refused") == ""
            assert echo(mesh, "sleep", "tcp-echo", 9000, "another").endswith("another")
        assert echo(mesh, "sleep", "tcp-echo", 9001, "after").endswith("after")
        assert checks(mesh) == asked


# -- the samples of 1.4, unchanged ------------------------------------------------------------------------------------


@pytest.fixture
def sample(request: pytest.FixtureRequest, mesh: Mesh) -> Iterator[Path]:
    """One file of the samples, applied for a test."""
    require_corpus()
    file = POLICIES / f"mixer-rule-{request.param}.yaml"
    with applied(mesh, file):
        yield file


BY_TEAM = """
apiVersion: config.istio.io/v1alpha2
kind: attributemanifest
metadata: {name: teams}
spec: {attributes: {destination.team: {valueType: STRING}}}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: env}
spec: {compiledAdapter: kubernetesenv}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: team}
spec:
  compiledTemplate: kubernetes
  params: {destinationIp: destination.ip}
  attributeBindings: {destination.team: '$out.destination_labels["app"] + "-team"'}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: team}
spec: {actions: [{handler: env, instances: [team]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: no-team}
spec: {compiledAdapter: denier, params: {status: {code: 7, message: not this team}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: no-team}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: no-team}
spec: {match: destination.team == "ratings-team", actions: [{handler: no-team, instances: [no-team]}]}
"""


def test_rules_speak_of_attributes_that_other_rules_make(mesh: Mesh) -> None:
    with applied(mesh, BY_TEAM):
        assert answer(mesh, "sleep", RATINGS) == (403, "PERMISSION_DENIED:no-team.default:not this team")
        assert answer(mesh, "sleep", DETAILS)[0] == 200


@pytest.mark.parametrize("sample", ["deny-label"], indirect=True)
def test_sample_deny_by_label(mesh: Mesh, sample: Path) -> None:
    refused = (403, "PERMISSION_DENIED:denyreviewsv3handler.default:Not allowed")
    assert answer(mesh, "reviews-v3", RATINGS) == refused
    assert answer(mesh, "reviews-v2", RATINGS)[0] == 200
    assert asking(mesh) == {"ratings-v1"}


@pytest.mark.parametrize("sample", ["deny-whitelist"], indirect=True)
def test_sample_whitelist(mesh: Mesh, sample: Path) -> None:
    assert answer(mesh, "reviews-v3", RATINGS) == (403, "PERMISSION_DENIED:whitelist.default:v3 is not whitelisted")
    assert answer(mesh, "reviews-v2", RATINGS)[0] == 200
    assert asking(mesh) == {"ratings-v1"}


@pytest.mark.parametrize("sample", ["deny-serviceaccount"], indirect=True)
def test_sample_deny_by_service_account(mesh: Mesh, sample: Path) -> None:
    refused = (403, "PERMISSION_DENIED:denyproductpagehandler.default:Not allowed")
    assert answer(mesh, "productpage-v1", DETAILS) == refused
    assert answer(mesh, "sleep", DETAILS)[0] == 200
    assert page(mesh)[0] == 200
    assert "product details are currently unavailable" in page(mesh)[1]
    # Who calls is in the certificate, so there is nothing to ask.
    assert asking(mesh) == set()


@pytest.mark.parametrize("sample", ["ratings-denial"], indirect=True)
def test_sample_denial_by_header(mesh: Mesh, sample: Path) -> None:
    refused = (403, "PERMISSION_DENIED:denierhandler.istio-system:Not allowed")
    assert page(mesh, user="john") == refused
    assert page(mesh, user="jane")[0] == page(mesh)[0] == 200
    assert answer(mesh, "sleep", RATINGS, user="john") == refused
    assert asking(mesh) <= {"istio-ingressgateway"}


@pytest.mark.parametrize("sample", ["ingress-denial"], indirect=True)
def test_sample_denial_at_the_ingress(mesh: Mesh, sample: Path) -> None:
    # The rule speaks of requests that come from the gateway: the workloads behind it ask, not the gateway.
    assert page(mesh, user="john") == (403, "PERMISSION_DENIED:handler.istio-system:Not allowed")
    assert page(mesh)[0] == 200
    assert answer(mesh, "sleep", DETAILS, user="john")[0] == 200


@pytest.mark.parametrize("sample", ["deny-ip"], indirect=True)
def test_sample_whitelist_of_addresses(mesh: Mesh, sample: Path) -> None:
    code, text = page(mesh)
    assert code == 403
    assert re.fullmatch(r"PERMISSION_DENIED:whitelistip\.default:10\.88\.\d+\.\d+ is not whitelisted", text)
    assert answer(mesh, "sleep", DETAILS)[0] == 200
