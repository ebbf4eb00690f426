"""Ways past a RequestAuthentication that its rules do not name: each is closed, on real Envoy. And roles
and rules of Mixer that are bound to what tokens say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.calls import in_pod
from tests.e2e.harness import EXAMPLES, running, wait_for
from tests.e2e.jwt_world import INLINE, ME, OTHER, ROLES_ON, World, authentication, good, grant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
GATE = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gateway}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: httpbin}
spec:
  hosts: ["*"]
  gateways: [gateway]
  http: [{route: [{destination: {host: httpbin, port: {number: 8000}}}]}]
"""
NOBODY_CALLED_BOB = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: deny, namespace: default}
spec: {compiledAdapter: denier, params: {status: {code: 7, message: Not you}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: nothing, namespace: default}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: bob, namespace: default}
spec:
  match: request.auth.principal == "%s/bob" && (request.auth.claims["groups"] | "none") == "sales,night"
  actions: [{handler: deny, instances: [nothing]}]
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("ways")
    (folder / "gate.yaml").write_text(GATE)
    names = ("httpbin/httpbin.yaml", "sleep/sleep.yaml")
    with running(folder / "mesh", *(EXAMPLES / name for name in names), folder / "gate.yaml") as mesh:
        one = World(mesh)
        wait_for(lambda: one.status() == 200, 60, "the gateway leads to httpbin")
        yield one
        one.client.close()


def test_a_token_that_the_filter_would_pass_over_is_refused(world: World) -> None:
    """Beside a good one at another place, an application may take it for the one that was verified."""
    forged = OTHER.sign(kid="k1", iss=ME, sub="root")
    with world.applied(authentication(INLINE)):
        for scheme in ("bEaReR ", "Bearer\t", "BEArer "):
            assert world.status(path=f"/headers?access_token={good()}", authorization=scheme + forged) == 401, scheme
        assert world.status(path=f"/headers?access_token={good()}", authorization="Basic YTpi") == 200


def test_what_is_not_http_goes_past_no_required_token(world: World) -> None:
    """A port whose protocol is detected: bytes before the request make it no HTTP for the proxy."""
    (service,) = (one for one in world.mesh.objects("Service") if one["metadata"]["name"] == "httpbin")
    ports = [{**service["spec"]["ports"][0], "name": "any"}]
    detected = {**service, "spec": {**service["spec"], "ports": ports}}

    def sent(line: str) -> str:
        ask = f"{line}Host: httpbin\\r\\nConnection: close\\r\\n\\r\\n"
        script = f"exec 3<>/dev/tcp/httpbin/8000 && printf '{ask}' >&3 && timeout 30 cat <&3"
        return in_pod(world.mesh, "sleep", "bash", "-c", f"{{ {script}; }} 2>/dev/null")

    plain, shifted = "GET /status/200 HTTP/1.1\\r\\n", "\\r\\nGET /status/200 HTTP/1.1\\r\\n"
    world.mesh.apply(detected)
    try:
        wait_for(lambda: "HTTP/1.1 " in sent(shifted), 60, "the application has the connection")
        with world.applied(authentication(INLINE, require="true")):
            wait_for(lambda: sent(shifted) == "", 60, "what is not HTTP is refused")
            wait_for(lambda: "401" in sent(plain), 60, "a token is asked for")
        told = {**INLINE, "outputClaimToHeaders": [{"header": "x-who", "claim": "sub"}]}
        with world.applied(authentication(told)):
            wait_for(lambda: sent(shifted) == "", 60, "what is not HTTP is refused")
            wait_for(lambda: "200" in sent(plain), 60, "requests are answered")
    finally:
        world.mesh.apply(service)
    wait_for(lambda: world.status() == 200, 60, "the gateway leads to httpbin")


def test_roles_are_bound_to_groups_of_tokens(world: World) -> None:
    """Istio 1.4's task rbac-groups: without a token 401, without a role 403, with the group's or scope's token 200."""
    tokens = [good(groups=["group1", "x"]), good(scope="read scope1"), good(groups=["group10"]), good()]
    with world.applied(authentication(INLINE, require="true"), ROLES_ON):
        assert [world.status(), world.status(tokens[0])] == [401, 403]
        with world.applied(*grant({"groups": ["group1"]}, {"properties": {"request.auth.claims[scope]": "scope1"}})):
            assert [world.status(), *(world.status(token) for token in tokens)] == [401, 200, 200, 403, 403]


def test_rules_of_mixer_know_who_a_token_names_and_what_it_claims(world: World) -> None:
    groups = ["sales", "night"]
    with world.applied(authentication(INLINE), NOBODY_CALLED_BOB % ME):
        wait_for(lambda: world.status(good(sub="bob", groups=groups)) == 403, 60, "the rule holds")
        told = world.ask(token=good(sub="bob", groups=groups))
        assert told.text == "PERMISSION_DENIED:deny.default:Not you"
        others = (good(sub="bob"), good(sub="ann", groups=groups), None)
        assert [world.status(token) for token in others] == [200, 200, 200]
        forged = good(sub="bob", groups=groups)[:-4] + "AAAA"
        assert world.status(forged) == 401
