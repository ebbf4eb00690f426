"""Tokens: whose are taken, where they may stand, what the application learns of them, and what becomes of forged ones.

One mesh: `httpbin` behind the gateway, and an issuer (`programs/issuer.py`) that publishes what a test tells it to.
Source: Istio's tasks authn-policy, claim-to-header, jwt-route and authz-jwt; the JWT rows of the security matrix.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.e2e.harness import EXAMPLES, in_sync, kill, running, wait_for
from tests.e2e.jwt_world import (
    CURVE,
    FETCHED,
    INLINE,
    ISSUER,
    KEY,
    MANIFEST,
    ME,
    OTHER,
    SET,
    World,
    authentication,
    authorization,
    findings,
    good,
    source,
)
from tests.e2e.tokens import hmac_signed, jwks, mutations, rsa_key, unsigned, with_header

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("jwt")
    (folder / "issuer.yaml").write_text(MANIFEST)
    names = ("httpbin/httpbin.yaml", "sleep/sleep.yaml")
    with running(folder / "mesh", *(EXAMPLES / name for name in names), folder / "issuer.yaml") as mesh:
        one = World(mesh)
        one.publish("/keys", body=SET)
        wait_for(lambda: one.status() == 200, 60, "the gateway leads to httpbin")
        yield one
        one.client.close()


# -- Istio's tasks --------------------------------------------------------------------------------------------------


def test_a_gateway_refuses_bad_tokens_and_with_a_policy_missing_ones(world: World) -> None:
    """authn-policy: 200 without a token, 401 with a bad one; DENY without a principal: 403, for a path only there."""
    no_principal = source(notRequestPrincipals=["*"])
    with world.applied(authentication(FETCHED, gateway=True)):
        assert [world.status(), world.status("deadbeef"), world.status(good())] == [200, 401, 200]
        with world.applied(authorization(no_principal, action="DENY", gateway=True)):
            assert [world.status(), world.status(good())] == [403, 200]
        at_headers = {**no_principal, "to": [{"operation": {"paths": ["/headers"]}}]}
        with world.applied(authorization(at_headers, action="DENY", gateway=True)):
            assert [world.status(), world.status(path="/ip"), world.status(good())] == [403, 200, 200]
        # A minute is allowed for clocks that differ.
        now = int(time.time())
        assert [world.status(good(exp=now - 5)), world.status(good(exp=now - 90))] == [200, 401]


def test_claims_become_headers_that_no_client_can_make(world: World) -> None:
    """claim-to-header; and what a client sends under those names never reaches the application."""
    outputs = [{"header": "x-jwt-claim-foo", "claim": "foo"}, {"header": "X-Jwt-Deep", "claim": "a.b"}]
    rule = {**INLINE, "outputClaimToHeaders": outputs, "outputPayloadToHeader": "x-jwt-payload"}
    other = {"issuer": "second", "jwks": jwks(OTHER), "fromHeaders": [{"name": "x-second"}]}
    other["outputClaimToHeaders"] = [{"header": "x-second-foo", "claim": "foo"}]
    forged = {"x-jwt-claim-foo": "admin", "X-Jwt-Deep": "admin", "x-jwt-payload": "admin", "x-second-foo": "admin"}
    with world.applied(authentication(rule, other)):
        assert world.status("not-a-token") == 401
        seen = world.seen(good(foo="bar", a={"b": 7}))
        assert (seen["X-Jwt-Claim-Foo"], seen["X-Jwt-Deep"]) == (["bar"], ["7"])
        assert "Authorization" not in seen
        for token in (None, good()):
            seen = world.seen(token, **forged)
            assert not [name for name in seen if "admin" in str(seen[name])], seen
        # The first rule's good token does not open the second rule's headers, nor its place for tokens.
        assert "X-Second-Foo" not in world.seen(good(foo="bar"), **forged)
        assert world.seen(good(), x_second=OTHER.sign(iss="second", foo="baz"))["X-Second-Foo"] == ["baz"]
        assert world.status(good(), x_second=KEY.sign(iss="second", foo="baz")) == 401
        # Nor do those that CGI and WSGI take for the same.
        seen = world.sent_within("-H 'x_jwt_claim_foo: admin' -H 'x_jwt-claim_foo: admin' -H 'other_name: kept'")
        assert ("admin" in seen, "kept" in seen) == (False, True)
        # A browser's question beforehand is a request like others here.
        asked = {"access-control-request-method": "GET", "origin": "https://elsewhere.test", **forged}
        answer = world.client.options(f"{world.mesh.gateway()}/anything", headers={"host": "app.test", **asked})
        assert "admin" not in answer.text
        # A claim with a line end would be a header of its own.
        assert world.status(good(foo="x\r\nx-evil: 1")) == 403


def test_a_gateway_routes_by_claims(world: World) -> None:
    """jwt-route: no token 404, invalid 401, group1 200, another valid token 404."""
    rules = []
    for name, status in (
        ("@request.auth.claims.groups", 201),
        ("@request.auth.claims[https://x.y/team][lead]", 202),
    ):
        match = {"headers": {name: {"exact": "group1"}}}
        rules.append({"match": [match], "directResponse": {"status": status}})
    without = {"uri": {"prefix": "/any"}, "withoutHeaders": {"@request.auth.claims.groups": {}}}
    rules.append({"match": [without], "directResponse": {"status": 203}})
    service = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "by-claims"},
        "spec": {"hosts": ["route.test"], "gateways": ["gateway"], "http": rules},
    }

    def route(token: str | None, path: str = "/") -> int:
        return world.status(token, path, host="route.test")

    with world.applied(authentication(FETCHED, gateway=True), json.dumps(service)):
        assert [route(None), route("garbage"), route(good())] == [404, 401, 404]
        assert [route(good(groups=["group0", "group1"])), route(good(groups="group1"))] == [201, 201]
        assert route(good(groups=["group10"])) == 404
        assert route(good(**{"https://x.y/team": {"lead": "group1"}})) == 202
        assert [route(None, "/any"), route(good(groups=["a"]), "/any")] == [203, 404]


def test_policies_on_principals_and_claims(world: World) -> None:
    """authz-jwt: without a policy none passes; with requestPrincipals none 403; by groups 200 and 403."""
    alice = good(sub="alice")
    with world.applied(authentication(FETCHED)):
        assert [world.status("invalid"), world.status(), world.status(alice)] == [401, 200, 200]
        for principal in (f"{ME}/alice", f"{ME}/*", "*/alice", "*"):
            with world.applied(authorization(source(requestPrincipals=[principal]))):
                assert [world.status(alice), world.status(), world.status("invalid")] == [200, 403, 401], principal
        # An issuer below the one that is named is another.
        for principal in (f"{ME}/bob", "https://me.test/*", "https://me.test/realms/other/*", "*/lice/x"):
            with world.applied(authorization(source(requestPrincipals=[principal]))):
                assert world.status(alice) == 403, principal

    def when(key: str, *values: str, negated: bool = False) -> dict[str, Any]:
        return {"when": [{"key": key, "notValues" if negated else "values": list(values)}]}

    claims = "request.auth.claims"
    spaced = {**INLINE, "audiences": ["web", "api"], "spaceDelimitedClaims": ["roles"]}
    cases: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        (when(f"{claims}[groups]", "group1"), {"groups": ["g", "group1"]}, {"groups": ["group10"]}),
        (when(f"{claims}[groups]", "group1"), {"groups": "group1"}, {}),
        (when(f"{claims}[a][b]", "x*"), {"a": {"b": "xyz"}}, {"a": "xyz"}),
        (when(f"{claims}[scope]", "write"), {"scope": "read write"}, {"scope": "read writer"}),
        (when(f"{claims}[roles]", "admin"), {"roles": "user admin"}, {"other": "user admin"}),
        (when(f"{claims}[verified]", "true"), {"verified": True}, {"verified": False}),
        (when(f"{claims}[level]", "3"), {"level": 3}, {"level": 30}),
        (when(f"{claims}[groups]", "bad", negated=True), {"groups": ["good"]}, {"groups": ["good", "bad"]}),
        (when("request.auth.audiences", "api"), {"aud": ["web", "api"]}, {"aud": "web"}),
        (when("request.auth.presenter", "app"), {"azp": "app"}, {"azp": "application"}),
        (when("request.auth.principal", f"{ME}/bob"), {"sub": "bob"}, {"sub": "bobby"}),
    ]
    with world.applied(authentication(spaced)):
        for rule, passes, fails in cases:
            with world.applied(authorization(rule)):
                found = [world.status(good(**{"aud": "web", **claims})) for claims in (passes, fails)]
                assert found == [200, 403], rule


# -- which tokens, and where (J01-J10) ------------------------------------------------------------------------------


def test_forged_and_stale_tokens_are_refused(world: World) -> None:
    rule = {**FETCHED, "audiences": ["web", "api"]}
    with world.applied(authentication(FETCHED)):
        now, token = int(time.time()), good()
        claims = {"iss": ME, "sub": "alice", "exp": now + 600}
        good_ones = {
            "signed by RSA": token,
            "signed on a curve": good(CURVE),
            "no kid": good(kid=""),
            "expired within the skew": good(exp=now - 5),
            "not before within the skew": good(nbf=now + 55),
            "never expires": good(exp=None),
        }
        assert {name: world.status(one) for name, one in good_ones.items()} == dict.fromkeys(good_ones, 200)
        bad_ones = {
            "alg none": unsigned(claims),
            "alg none, a signature": unsigned(claims) + token.rpartition(".")[2],
            "HS256 with the public key": hmac_signed(KEY.public_pem(), "k1", claims),
            "HS256 with the modulus": hmac_signed(KEY.jwk()["n"].encode(), "k1", claims),
            "RS to ES": with_header(token, alg="ES256"),
            "RS to ES of the other key": with_header(token, alg="ES256", kid="e1"),
            "ES to RS": with_header(good(CURVE), alg="RS256"),
            "kid of another key": good(kid="e1"),
            "kid of nothing": good(kid="k9"),
            "kid traversal": good(kid="../../../../dev/null"),
            "key that nobody published": good(OTHER, kid="k1"),
            "a key of its own": with_header(good(OTHER), jwk=OTHER.jwk()),
            "expired": good(exp=now - 90),
            "not yet": good(nbf=now + 600),
            "wrong issuer": good(iss="https://me.test/realms/two"),
            "issuer is a list": good(iss=[ME]),
            "no issuer": good(iss=None),
            "payload of another token": ".".join(
                (token.split(".")[0], good(sub="bob").split(".")[1], token.split(".")[2])
            ),
            "too many parts": f"{token}.{token}",
            "nothing": ".",
        }
        assert {name: world.status(one) for name, one in bad_ones.items()} == dict.fromkeys(bad_ones, 401)
        # No server takes so large a header; what matters is that it does not pass.
        assert world.status(good(filler="x" * 48_000)) in (400, 431)
    with world.applied(authentication(rule)):
        audiences = {"web": 200, "mobile": 403, None: 403}
        assert {one: world.status(good(aud=one)) for one in audiences} == audiences
        assert [world.status(good(aud=["x", "api"])), world.status(good(aud=["x"]))] == [200, 403]


def test_tokens_count_where_rules_look_for_them(world: World) -> None:
    token = good()
    bad = good(OTHER, kid="k1")
    with world.applied(authentication(INLINE)):
        assert world.status(authorization=f"bearer {bad}") == 401
        assert world.status(authorization=f"BEARER {token}") == 200
        assert world.status(authorization="Basic YTpi") == 200
        assert world.status(path=f"/headers?access_token={bad}") == 401
        # Elsewhere nobody looks: what stands there is no token.
        assert world.status(path=f"/headers?token={bad}", cookie=f"session={bad}", x_token=bad) == 200
        # All that count must be good.
        assert world.status(token, path=f"/headers?access_token={bad}") == 401
        assert world.status(bad, path=f"/headers?access_token={token}") == 401
        address, sent = world.mesh.gateway(), [("host", "app.test")]
        for first, second in ((token, bad), (bad, token), (token, token)):
            both = [*sent, ("authorization", f"Bearer {first}"), ("authorization", f"Bearer {second}")]
            assert world.client.get(f"{address}/headers", headers=both).status_code == 401
    places = {
        **INLINE,
        "fromHeaders": [{"name": "x-assertion", "prefix": "JWT "}, {"name": "x-raw"}],
        "fromParams": ["token"],
        "fromCookies": ["session"],
        "forwardOriginalToken": True,
    }
    with world.applied(authentication(places), authorization(source(requestPrincipals=["*"]))):
        for one in ({"x_assertion": f"JWT {token}"}, {"x_raw": token}, {"cookie": f"a=b; session={token}"}):
            assert world.status(**one) == 200, one
        assert world.status(path=f"/headers?token={token}") == 200
        assert world.seen(x_raw=token)["X-Raw"] == [token]
        # The usual place is none any more.
        assert world.status(token) == 403
        assert world.status(x_raw=token, cookie=f"session={bad}") == 401


def test_a_missing_token_is_401_where_it_is_required(world: World) -> None:
    """G9: Istio lets a request without a token pass, and with a policy answers 403."""
    with world.applied(authentication(FETCHED, require="true")):
        answer = world.ask()
        assert (answer.status_code, answer.text) == (401, "Jwt is missing")
        assert answer.headers["www-authenticate"].startswith('Bearer realm="')
        assert "error=" not in answer.headers["www-authenticate"]
        assert 'error="invalid_token"' in world.ask(token="x.y.z").headers["www-authenticate"]
        assert world.status(good()) == 200
        asked = {"host": "app.test", "origin": "https://elsewhere.test", "access-control-request-method": "GET"}
        url = f"{world.mesh.gateway()}/anything"
        assert world.client.options(url, headers=asked).status_code != 401
        # A preflight has no credentials that anybody would look at; what only looks like one is asked for them.
        bad = {**asked, "authorization": "Bearer x.y.z"}
        assert world.client.options(url, headers=bad).status_code != 401
        del bad["origin"]
        assert world.client.options(url, headers=bad).status_code == 401
    two = {"issuer": "second", "jwks": jwks(OTHER), "fromHeaders": [{"name": "x-second"}]}
    second = OTHER.sign(iss="second")
    with world.applied(authentication(FETCHED, two, require="true")):
        assert [world.status(), world.status(good()), world.status(x_second=second)] == [401, 200, 200]
        assert [world.status(good(), x_second=second), world.status(good(), x_second="x.y.z")] == [200, 401]


def test_an_audit_refuses_nothing_and_logs_what_would_be_refused(world: World) -> None:
    now = int(time.time())
    rule = {**FETCHED, "audiences": ["web"]}
    tokens = {
        "-": None,
        "Jwt is expired": good(aud="web", exp=now - 90),
        "Audiences in Jwt are not allowed": good(aud="app"),
        "Jwt verification fails": good(OTHER, kid="k1", aud="web"),
    }

    def lines() -> list[str]:
        text = world.mesh.cli("logs", "deploy/httpbin", "-c", "istio-proxy", "--tail", "100").stdout
        return [line for line in text.splitlines() if "token audit: " in line]

    with world.applied(authentication(rule, require="audit")):
        # Connections from before end with their next answer, which is not logged yet.
        assert world.status(good(aud="web")) == 200
        assert [world.status(one) for one in tokens.values()] == [200] * len(tokens)
        assert world.status(good(aud="web")) == 200
        wait_for(lambda: len(lines()) == len(tokens), 60, "a line for each")
        for reason in tokens:
            (line,) = [one for one in lines() if f"would be refused: {reason} (" in one]
            assert "GET app.test/headers " in line


# -- keys (J11, J12, G8) --------------------------------------------------------------------------------------------


FAILURES = {
    "status": {"status": 500},
    "slow": {"body": SET, "delay_s": 4},
    "html": {"body": "<html><body>Please log in</body></html>"},
    "empty": {"body": '{"keys": []}'},
    "no-list": {"body": '{"keys": 1}'},
    "broken": {"body": '{"keys": [{"kty": "RSA", "kid": "k1", "n": "AQAB", "e": "AQAB"}]}'},
    "metadata": {"status": 302, "location": "http://169.254.169.254/latest/meta-data"},
    "loopback": {"status": 302, "location": "http://127.0.0.1:15000/config_dump"},
    "loop": {"status": 302, "location": "/loop"},
    "large": {"bytes": 100_000_000},
    "secret": {"body": '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "k1"}]}'},
}


def test_an_issuer_that_fails_harms_nobody_else_and_works_once_it_answers(world: World) -> None:
    """First load: whatever is wrong, all tokens of that issuer are 401, and no key is made up for it."""
    rules = [{"issuer": f"https://{name}.test", "jwksUri": f"{ISSUER}/{name}", "timeout": "2s"} for name in FAILURES]
    rules.append({"issuer": "https://tls.test", "jwksUri": "https://issuer.default:8443/keys"})
    rules.append({"issuer": "https://gone.test", "jwksUri": "http://nowhere.default:8000/keys"})
    for name, answer in FAILURES.items():
        world.publish(f"/{name}", **answer)
    with world.applied(authentication(*rules), authentication(FETCHED, name="good")) as told:
        assert {one["level"] for one in told["findings"] if one["code"] == "ARG0510"} == {"error"}
        issuers = [rule["issuer"] for rule in rules]
        assert {one: world.status(KEY.sign(iss=one)) for one in issuers} == dict.fromkeys(issuers, 401)
        assert world.status(hmac_signed(b"secret", "k1", {"iss": "https://secret.test"})) == 401
        assert [world.status(good()), world.status()] == [200, 200]
        wait_for(lambda: len(findings(world)) == len(rules), 60, "all that fail are told")
        refused = "169.254.169.254, which is not asked for keys"
        wait_for(lambda: any(refused in message for _level, message in findings(world)), 60, "why one is not asked")
        # They come up: each works within seconds.
        for name in FAILURES:
            world.publish(f"/{name}", body=SET)
        for name in FAILURES:
            token = KEY.sign(iss=f"https://{name}.test")
            wait_for(lambda token=token: world.status(token) == 200, 60, f"{name} works")
        wait_for(lambda: len(findings(world)) == 2, 60, "only what is still away is told")


def test_keys_are_refreshed_and_kept_while_their_issuer_is_down(world: World) -> None:
    """Refresh: last good keys stay while the issuer fails, forged tokens never pass; new keys count once published."""

    def settings(stale: str) -> dict[str, Any]:
        annotations = {"argosy.io/jwks-refresh": "1s", "argosy.io/jwks-stale": stale}
        metadata = {"name": "istio", "namespace": "istio-system", "annotations": annotations}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}

    new = rsa_key("k3")
    world.publish("/rotating", body=jwks(KEY))
    rule = {"issuer": ME, "jwksUri": f"{ISSUER}/rotating", "timeout": "5s"}
    forged = good(OTHER, kid="k1")
    world.mesh.apply(settings("600s"))
    try:
        with world.applied(authentication(rule)):
            assert [world.status(good()), world.status(good(new))] == [200, 401]
            pushes = [one["offered"] for one in world.mesh.proxies()]
            before = world.asked("/rotating")
            wait_for(lambda: world.asked("/rotating") >= before + 2, 60, "it is fetched again")
            assert [one["offered"] for one in world.mesh.proxies()] == pushes, "equal keys are sent to nobody"
            world.publish("/rotating", body=jwks(new, KEY))
            wait_for(lambda: world.status(good(new)) == 200, 60, "the new key counts")
            assert [world.status(good()), world.status(forged)] == [200, 401]
            for answer in ({"status": 503}, {"body": "<html>"}, {"body": '{"keys": []}'}, {"bytes": 10_000_000}):
                world.publish("/rotating", **answer)
                before = world.asked("/rotating")
                wait_for(lambda before=before: world.asked("/rotating") > before, 60, "it is tried again")
                assert [world.status(good()), world.status(forged)] == [200, 401], answer
                world.publish("/rotating", body=jwks(new, KEY))
                wait_for(lambda: not findings(world), 60, "loaded again")
            world.publish("/rotating", status=503)
            wait_for(lambda: [level for level, _ in findings(world)] == ["warning"], 60, "told, while keys are there")
            world.mesh.apply(settings("5s"))
            wait_for(lambda: world.status(good()) == 401, 60, "too old to be trusted")
            wait_for(lambda: [level for level, _ in findings(world)] == ["error"], 60, "told, now that none are there")
    finally:
        world.mesh.delete(settings("5s"))


def test_keys_are_discovered_by_the_issuers_name(world: World) -> None:
    issuer = f"{ISSUER}/realms/a"
    rule = {"issuer": issuer}
    with world.applied(authentication(rule)):
        token = KEY.sign(iss=issuer)
        assert world.status(token) == 401
        document = json.dumps({"issuer": issuer, "jwks_uri": f"{ISSUER}/keys"})
        world.publish("/realms/a/.well-known/openid-configuration", body=document)
        wait_for(lambda: world.status(token) == 200, 60, "the document leads to the keys")


def test_private_networks_are_refused_by_a_setting(world: World) -> None:
    annotations = {"argosy.io/jwks-blocked-cidrs": "private"}
    metadata = {"name": "istio", "namespace": "istio-system", "annotations": annotations}
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}
    world.publish("/blocked", body=SET)
    world.mesh.apply(settings)
    try:
        with world.applied(authentication({"issuer": ME, "jwksUri": f"{ISSUER}/blocked"})):
            assert world.status(good()) == 401
            wait_for(lambda: any("which is not asked for keys" in one for _, one in findings(world)), 60, "it is told")
            assert world.asked("/blocked") == 0
    finally:
        world.mesh.delete(settings)


def test_a_restart_while_the_issuer_is_down_refuses_nobody(world: World) -> None:
    world.publish("/kept", body=SET)
    with world.applied(authentication({"issuer": ME, "jwksUri": f"{ISSUER}/kept"})):
        assert world.status(good()) == 200
        world.publish("/kept", status=500)
        kill(world.mesh.host_pid("argosy.app.control_plane"))
        wait_for(lambda: in_sync(world.mesh, 3), 60, "proxies are in sync with the new control plane")
        wait_for(lambda: findings(world), 60, "the issuer was asked in vain")
        assert [world.status(good()), world.status(good(OTHER, kid="k1"))] == [200, 401]


def test_policies_may_go_while_their_keys_are_being_fetched(world: World) -> None:
    """J12: nothing fails, and nothing of it is left."""
    world.publish("/slow", body=SET, delay_s=1)
    for _again in range(3):
        with world.applied(authentication({"issuer": ME, "jwksUri": f"{ISSUER}/slow", "timeout": "3s"})):
            pass
    assert [world.status("x.y.z"), world.status()] == [200, 200]
    assert findings(world) == []


def test_metrics_count_fetches_and_tell_the_age_of_keys(world: World) -> None:
    with world.applied(authentication(FETCHED)):
        assert world.mesh.count("pilot_jwks_resolver_network_fetch_success_total") > 0
        assert world.mesh.count("pilot_jwks_resolver_network_fetch_fail_total") > 0
        assert world.mesh.count("pilot_jwks_sources") == 1
        assert world.mesh.count("pilot_jwks_age_seconds_max") > 0


# -- a change under load, and a fuzz --------------------------------------------------------------------------------


def test_a_policy_and_new_keys_lose_no_good_request(world: World) -> None:
    """Policies hold from the next request on, without a connection closed; no good token is ever refused."""
    token, answers = good(), Counter[int]()

    async def load(stop: asyncio.Event) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            while not stop.is_set():
                headers = {"host": "app.test", "authorization": f"Bearer {token}"}
                answers[(await client.get(f"{world.mesh.gateway()}/headers", headers=headers)).status_code] += 1

    async def change() -> None:
        stop = asyncio.Event()
        loads = [asyncio.create_task(load(stop)) for _ in range(4)]
        policy = authentication(FETCHED), authorization(source(requestPrincipals=["*"]))
        for _again in range(3):
            await asyncio.to_thread(world.mesh.apply, *policy)
            assert await asyncio.to_thread(world.status) == 403
            # The demand goes before what fulfils it: in one step, either may be first.
            await asyncio.to_thread(world.mesh.delete, policy[1])
            await asyncio.to_thread(world.mesh.delete, policy[0])
            assert await asyncio.to_thread(world.status) == 200
        stop.set()
        await asyncio.gather(*loads)

    asyncio.run(change())
    assert set(answers) == {200}, answers
    assert answers[200] > 50


def test_2000_broken_tokens_are_all_refused(world: World) -> None:
    """2019-002 and its kind: 401 each, and the same Envoy afterwards."""
    seed = 2019_002  # always the same tokens: what an earlier run has passed, a later one passes
    pid = world.mesh.envoy_pid("httpbin")
    token = good(groups=["a", "b"], nested={"c": [1, 2, {"d": "e"}]})
    answers: dict[str, int] = {}

    async def send(client: httpx.AsyncClient, tokens: Iterator[str]) -> None:
        for one in tokens:
            headers = {"host": "app.test", "authorization": f"Bearer {one}"}
            answers[one] = (await client.get(f"{world.mesh.gateway()}/headers", headers=headers)).status_code

    async def send_all() -> None:
        tokens = iter(mutations(token, seed, 2000))
        async with httpx.AsyncClient(timeout=60) as client:
            await asyncio.gather(*(send(client, tokens) for _ in range(8)))

    with world.applied(authentication(FETCHED)):
        asyncio.run(send_all())
        wrong = {one: status for one, status in answers.items() if status != 401}
        assert not wrong, f"seed {seed}: {list(wrong.items())[:5]}"
        assert len(answers) == 2000
        assert world.status(token) == 200
    assert world.mesh.envoy_pid("httpbin") == pid
