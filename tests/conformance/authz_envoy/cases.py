"""Random AuthorizationPolicies, and calls of the same small vocabulary, so that many of them meet."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from argosy.api import Object, decode_object, parse_documents
from argosy.api.security import AuthorizationPolicy
from argosy.authz.call import Call

DOMAINS = ("td", "old-td")
PEERS = (
    "",
    "spiffe://td/ns/shop/sa/web",
    "spiffe://td/ns/shop/sa/a.b",
    "spiffe://old-td/ns/bank/sa/web",
    "spiffe://other/ns/shop/sa/axb",
)
CLAIMS: tuple[dict[str, Any] | None, ...] = (
    None,
    {
        "iss": "https://issuer.example/a",
        "sub": "alice",
        "aud": "books",
        "azp": "app",
        "role": "admin",
        "groups": ["a", "b"],
        "deep": {"team": "blue"},
    },
    {"iss": "issuer", "sub": "bob/x", "aud": ["books", "films"], "groups": "b", "count": 3, "ok": True},
)
FOUND = {"envoy.filters.http.lua": {"team": "blue", "marks": ["one", "two"]}}
ADDRESSES = ("127.0.0.1", "127.0.0.2", "127.0.1.3")
SERVERS = ("127.0.0.1", "127.0.2.1")
NAMES = ("", "a.example", "b.example")

_PATTERNS: dict[str, tuple[str, ...]] = {
    "principals": (
        "td/ns/shop/sa/web",
        "td/ns/shop/sa/a.b",
        "td/ns/shop/*",
        "*/sa/web",
        "*",
        "old-td/ns/bank/sa/web",
        "cluster.local/ns/shop/sa/web",
        "*-td/ns/shop/sa/web",
    ),
    "namespaces": ("shop", "bank", "sh*", "*nk", "*", "ns", "s*p"),
    "serviceAccounts": ("web", "shop/web", "shop/a.b", "bank/web"),
    "trustDomains": ("td", "other", "o*", "*td", "*"),
    "ipBlocks": ("127.0.0.1", "127.0.0.0/24", "127.0.1.0/24", "10.0.0.0/8"),
    "remoteIpBlocks": ("127.0.0.0/16", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24"),
    "requestPrincipals": (
        "https://issuer.example/a/alice",
        "issuer/bob/x",
        "https://issuer.example/*",
        "*/alice",
        "*",
        "issuer/*",
        "*x",
        "iss*",
        "issuer/bob",
        "bob",
    ),
    "hosts": ("a.example", "b.example", "*.example", "a.*", "*", "A.Example", "a.example:80", "[::1]"),
    "methods": ("GET", "POST", "P*", "*ST", "*"),
    "paths": (
        "/a",
        "/a/b",
        "/a/*",
        "*/b",
        "*",
        "/",
        "/a/{*}",
        "/a/{**}",
        "/{*}/b",
        "/a/{**}/c",
        "/a.b",
        "/a:b",
        "/a%3Ab*",
        "/é",
        "/a(b/{*}",
        "/a*b",
        "*a*",
        "/a/{**}b",
        "/a{*}",
    ),
    "header": ("admin", "user", "us*", "*min", "*", "a,b", "a.b"),
    "claim": ("admin", "a", "b", "*", "adm*", "*n"),
    "count": ("3", "3.0", "4", "*"),
    "truth": ("true", "false", "*"),
    "audience": ("books", "films", "b*", "*"),
    "presenter": ("app", "ap*", "other"),
    "team": ("blue", "red", "bl*"),
    "sni": ("a.example", "*.example", "b*", "*"),
    "found": ("blue", "b*", "red"),
    "marks": ("[one]", "[t*]", "[three]", "one"),
    "destinationIp": ("127.0.0.1", "127.0.2.0/24"),
}
_WHEN = {
    "request.headers[x-role]": "header",
    "request.headers[:method]": "methods",
    "request.headers[host]": "hosts",
    "source.ip": "ipBlocks",
    "remote.ip": "remoteIpBlocks",
    "source.namespace": "namespaces",
    "source.principal": "principals",
    "source.serviceAccount": "serviceAccounts",
    "source.trustDomain": "trustDomains",
    "request.auth.principal": "requestPrincipals",
    "request.auth.audiences": "audience",
    "request.auth.presenter": "presenter",
    "request.auth.claims[role]": "claim",
    "request.auth.claims[groups]": "claim",
    "request.auth.claims[count]": "count",
    "request.auth.claims[ok]": "truth",
    "request.auth.claims[deep][team]": "team",
    "destination.ip": "destinationIp",
    "destination.port": "ports",
    "connection.sni": "sni",
    "experimental.envoy.filters.http.lua[team]": "found",
    "experimental.envoy.filters.http.lua[marks]": "marks",
}
_SOURCE = (
    "principals",
    "namespaces",
    "serviceAccounts",
    "trustDomains",
    "ipBlocks",
    "remoteIpBlocks",
    "requestPrincipals",
)
_OPERATION = ("hosts", "methods", "paths", "ports")
_PATHS = ("/", "/a", "/a/b", "/a/b/c", "/a/", "/x/b", "/axb", "/a.b", "/A", "/a;v=1", "/a;q/b", "/a?x=/a/b", "/a/x/y/c")
_SPELLED = ("/a:b", "/a%3ab", "/a%3Ab/c", "/%c3%A9", "/a%28b/c", "/a(b/c", "/a%2Fb", "/a*b", "/a%2Ab")
_LINES = (
    "admin",
    "user",
    "users",
    "guest",
    "a,admin",
    "admin , a",
    "axb",
    "a.b",
    "",
    "\xe9",
    "adm\xeen",
    "a,b",
    "root",
)
_HOSTS = (
    "a.example",
    "A.EXAMPLE",
    "b.example:80",
    "x.a.example",
    "a.example.",
    "other",
    "a.example:x",
    "o:a.example:80",
    "[::1]:80",
)
PROVIDER = "outside"


@dataclass(frozen=True)
class Case:
    """Policies of one workload, and the YAML that says so."""

    policies: tuple[Object[AuthorizationPolicy], ...]
    default_action: str
    text: str


def case_of(text: str, default_action: str = "ALLOW") -> Case:
    """The case that some YAML describes."""
    made = tuple(decode_object(one) for one in parse_documents(text))
    return Case(made, default_action, text)


def random_case(rng: random.Random, ports: Sequence[int]) -> Case:
    """One to three policies."""
    documents = [_policy(rng, f"p{number}", ports) for number in range(rng.choice((1, 1, 2, 3)))]
    return case_of("---\n".join(documents), rng.choice(("ALLOW", "ALLOW", "ALLOW", "DENY")))


def _policy(rng: random.Random, name: str, ports: Sequence[int]) -> str:
    import json

    action = rng.choice(("ALLOW", "ALLOW", "DENY", "DENY", "AUDIT", "CUSTOM"))
    spec: dict[str, Any] = {"action": action, "rules": [_rule(rng, ports) for _ in range(rng.choice((1, 1, 2, 3)))]}
    if action == "CUSTOM":
        spec["provider"] = {"name": PROVIDER}
    annotations = {"istio.io/dry-run": "true"} if action in ("ALLOW", "DENY") and rng.random() < 0.2 else {}
    metadata = {"name": name, "namespace": rng.choice(("shop", "bank")), "annotations": annotations}
    kind = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy"}
    return json.dumps({**kind, "metadata": metadata, "spec": spec}) + "\n"


def _rule(rng: random.Random, ports: Sequence[int]) -> dict[str, Any]:
    rule: dict[str, Any] = {}
    if rng.random() < 0.6:
        rule["from"] = [{"source": _fields(rng, _SOURCE, ports)} for _ in range(rng.choice((1, 1, 2)))]
    if rng.random() < 0.6:
        rule["to"] = [{"operation": _fields(rng, _OPERATION, ports)} for _ in range(rng.choice((1, 1, 2)))]
    if rng.random() < 0.5 or not rule:
        rule["when"] = [_condition(rng, ports) for _ in range(rng.choice((1, 1, 2)))]
    return rule


def _fields(rng: random.Random, names: Sequence[str], ports: Sequence[int]) -> dict[str, list[str]]:
    made = {}
    for name in rng.sample(names, rng.choice((1, 1, 2))):
        key = name if rng.random() < 0.65 else f"not{name[0].upper()}{name[1:]}"
        made[key] = _values(rng, name, ports)
    return made


def _condition(rng: random.Random, ports: Sequence[int]) -> dict[str, Any]:
    key = rng.choice(tuple(_WHEN)) if rng.random() < 0.7 else "request.headers[x-role]"
    made: dict[str, Any] = {"key": key}
    which = rng.choice(("values", "values", "notValues", "both"))
    for field in ("values", "notValues") if which == "both" else (which,):
        made[field] = _values(rng, _WHEN[key], ports)
    return made


def _values(rng: random.Random, name: str, ports: Sequence[int]) -> list[str]:
    known = tuple(str(port) for port in ports) if name == "ports" else _PATTERNS[name]
    return rng.sample(known, min(len(known), rng.choice((1, 1, 2, 3))))


def random_call(rng: random.Random, ports: Sequence[int]) -> Call:
    """One request. Its token's claims come with the port that it is sent to."""
    number = rng.randrange(len(ports))
    peer = rng.choice(PEERS)
    told = rng.choice(("", "", "10.1.2.3", "192.0.2.7"))
    source = rng.choice(ADDRESSES)
    headers = [("x-role", rng.choice(_LINES)) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
    if told:
        headers.append(("x-argosy-client-address", told))
    if rng.random() < 0.3:
        headers.append(("x-forwarded-for", "10.1.2.3"))  # counts for nothing
    return Call(
        peer=peer,
        source_ip=source,
        remote_ip=told or source,
        destination_ip=rng.choice(SERVERS),
        destination_port=ports[number],
        sni=rng.choice(NAMES) if peer else "",
        method=rng.choice(("GET", "POST", "PUT")),
        path=rng.choice(_PATHS if rng.random() < 0.7 else _SPELLED),
        host=rng.choice(_HOSTS),
        headers=tuple(headers),
        claims=CLAIMS[number],
        metadata=FOUND,
    )


def random_connection(rng: random.Random, port: int) -> Call:
    """One TCP connection."""
    call = random_call(rng, [port])
    return replace(call, http=False, headers=(), claims=None, remote_ip=call.source_ip, metadata={})
