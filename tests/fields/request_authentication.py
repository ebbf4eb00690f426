"""RequestAuthentication."""

from __future__ import annotations

from tests.fields.cases import CLIENT, SERVER, Case

HEAD = "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: tokens}\nspec: "
CONFIG = "Extension/envoy.filters.http.jwt_authn"
KEYS = """jwks: '{"keys": [{"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'"""
TARGETS = "policies are attached by selectors"


def rule(field: str, spec: str, text: str, *more: str) -> Case:
    fields = tuple(f"jwtRules[].{one}" for one in (field, *more))
    return Case(
        "RequestAuthentication", fields, f"{HEAD}{{jwtRules: [{{issuer: me, {KEYS}, {spec}}}]}}", CONFIG, text, SERVER
    )


def shown(field: str, node: str) -> Case:
    return Case("RequestAuthentication", (field,), node=node)


CASES: list[Case] = [
    Case(
        "RequestAuthentication",
        ("jwtRules", "jwtRules[].issuer"),
        f"{HEAD}{{jwtRules: [{{issuer: me, {KEYS}}}]}}",
        CONFIG,
        '"issuer":"me"',
        SERVER,
    ),
    Case(
        "RequestAuthentication",
        ("selector", "selector.matchLabels"),
        f"{HEAD}{{selector: {{matchLabels: {{app: server}}}}, jwtRules: [{{issuer: me, {KEYS}}}]}}",
        CONFIG,
        '!"issuer":"me"',
        CLIENT,
    ),
    rule("audiences", "audiences: [web]", '"audiences":["web"]'),
    rule("forwardOriginalToken", "forwardOriginalToken: true", '"forward":true'),
    rule("fromCookies", "fromCookies: [session]", '"from_cookies":["session"]'),
    rule(
        "fromHeaders",
        "fromHeaders: [{name: x-t, prefix: 'JWT '}]",
        '"from_headers":[{"name":"x-t","value_prefix":"JWT "}]',
        "fromHeaders[].name",
        "fromHeaders[].prefix",
    ),
    rule("fromParams", "fromParams: [token]", '"from_params":["token"]'),
    rule("jwks", "audiences: [web]", '\\"kid\\":\\"a\\"'),
    rule(
        "outputClaimToHeaders",
        "outputClaimToHeaders: [{header: x-c, claim: a.b}]",
        '"claim_to_headers":[{"claim_name":"a.b","header_name":"x-c"}]',
        "outputClaimToHeaders[].header",
        "outputClaimToHeaders[].claim",
    ),
    rule("outputPayloadToHeader", "outputPayloadToHeader: x-p", '"forward_payload_header":"x-p"'),
    rule(
        "spaceDelimitedClaims",
        "spaceDelimitedClaims: [roles]",
        '"space_delimited_claims":["scope","permission","roles"]',
    ),
    shown("jwtRules[].jwksUri", "tests/e2e/test_jwt.py"),
    shown("jwtRules[].jwks_uri", "tests/unit/pilot/test_key_sources.py"),
    shown("jwtRules[].timeout", "tests/unit/pilot/test_key_sources.py"),
    Case("RequestAuthentication", ("targetRef",), f"{HEAD}{{targetRef: {{kind: Gateway, name: g}}}}", refused=TARGETS),
    Case(
        "RequestAuthentication", ("targetRefs",), f"{HEAD}{{targetRefs: [{{kind: Gateway, name: g}}]}}", refused=TARGETS
    ),
]
