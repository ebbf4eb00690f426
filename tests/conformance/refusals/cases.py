"""Rules that are compiled, and requests to try them on."""

from __future__ import annotations

from dataclasses import dataclass, field

NOTHING = """
apiVersion: config.istio.io/v1alpha2
kind: checknothing
metadata: {name: nothing, namespace: default}
spec: {}
"""


def denier(name: str, status: str) -> str:
    """A denier."""
    return f"""---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: {name}, namespace: default}}
spec: {{compiledAdapter: denier, params: {{status: {status}}}}}
"""


def listing(value: str, params: str, *, name: str = "names") -> str:
    """A list and the value that it is about."""
    return f"""---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {{name: {name}, namespace: default}}
spec: {{compiledAdapter: listchecker, params: {params}}}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {{name: {name}-value, namespace: default}}
spec: {{compiledTemplate: listentry, params: {{value: '{value}'}}}}
"""


def rule(name: str, match: str, handler: str, instance: str, more: str = "") -> str:
    """A rule with one action."""
    return f"""---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: {name}, namespace: default}}
spec:
  match: '{match}'
  actions: [{{handler: {handler}, instances: [{instance}]}}]
{more}"""


def denial(match: str, status: str = "{code: 7, message: Not allowed}") -> str:
    """A rule that denies what matches."""
    return NOTHING + denier("deny", status) + rule("r", match, "deny", "nothing.checknothing")


def listed(value: str, params: str, match: str = "true") -> str:
    """A rule that looks a value up."""
    return listing(value, params) + rule("r", match, "names", "names-value")


@dataclass(frozen=True)
class Case:
    """`refusals`: how many refusals are made of it; `asks`: whether Mixer has to be asked all the same."""

    name: str
    text: str
    refusals: int
    asks: bool = False


REVIEWS, PRODUCTPAGE = (
    "cluster.local/ns/default/sa/bookinfo-reviews",
    "cluster.local/ns/default/sa/bookinfo-productpage",
)

CASES = [
    Case("everything", denial(""), 1),
    Case("by header", denial('(request.headers["x-user"] | "") == "john"'), 1),
    Case("by header without default", denial('request.headers["x-user"] != "john"'), 1),
    Case("by path and method", denial('request.method == "POST" && request.path.startsWith("/a")'), 1),
    Case("by regular expression", denial('"^/a/[0-9]+$".matches(request.url_path)'), 1),
    Case("by service account", denial(f'source.user == "{REVIEWS}"'), 1),
    Case("not by service account", denial(f'source.principal != "{REVIEWS}"'), 1),
    Case("by pattern of accounts", denial('match(source.principal, "*/sa/bookinfo-reviews")'), 1),
    Case("without mutual TLS", denial("connection.mtls == false"), 1),
    Case("by server name", denial('match(connection.requested_server_name, "*.example")'), 1),
    Case("of gRPC", denial('context.protocol == "grpc"'), 1),
    Case("of others", denial('destination.labels["app"] == "reviews"'), 0),
    Case("of this and a header", denial('destination.labels["app"] == "ratings" && request.headers["x-user"] == "john"'), 1),
    Case("of this service", denial('destination.service.host == "ratings.default.svc.cluster.local"'), 1),
    Case("of this port", denial("destination.port == 9080"), 1),
    Case("of connections", denial('context.protocol == "tcp"'), 0),
    *(Case(f"with code {code}", denial("true", f'{{code: {code}, message: "100% no: \\"é\\""}}'), 1) for code in range(1, 17)),
    Case("without status", denial("true", "{}"), 1),
    Case("white", listed('request.headers["x-user"] | "nobody"', "{overrides: [john, nobody]}"), 2),
    Case("white, empty is listed", listed('request.headers["x-user"] | "nobody"', '{overrides: [john, ""]}'), 2),
    Case("white without default", listed('request.headers["x-user"]', "{overrides: [john]}"), 3),
    Case("black", listed('request.headers["x-user"] | "nobody"', "{overrides: [john], blacklist: true}"), 1),
    Case("black, by default", listed('request.headers["x-user"] | "nobody"', "{overrides: [nobody], blacklist: true}"), 2),
    Case("nobody is white", listed('request.headers["x-user"] | "nobody"', "{}"), 3),
    Case("nobody is black", listed('request.headers["x-user"] | "nobody"', "{blacklist: true}"), 0),
    Case("in any case", listed('request.headers["x-user"]', "{overrides: [JOHN, a.k-s], entryType: CASE_INSENSITIVE_STRINGS}"), 3),
    Case("patterns", listed('request.headers["x-user"] | ""', '{overrides: ["^jo", "n$"], entryType: REGEX, blacklist: true}'), 1),
    Case("paths", listed("request.url_path", '{overrides: ["^/a"], entryType: REGEX}'), 2),
    Case("when it matches", listed("request.path", "{overrides: [/]}", 'request.method == "POST"'), 2),
    Case("accounts that are black", listed("source.principal", f"{{overrides: [{REVIEWS}, x], blacklist: true}}"), 3),
    Case("accounts, black, or nobody", listed('source.principal | "none"', f"{{overrides: [{REVIEWS}, none], blacklist: true}}"), 3),
    Case("names of servers", listed("connection.requested_server_name", "{overrides: [a.example], blacklist: true}"), 2),
    Case("of two headers", listed('request.headers["x-a"] | request.headers["x-user"]', "{overrides: [john]}"), 5),
    Case("joined", listed('request.method + request.url_path', "{overrides: [GET/]}"), 0, asks=True),
    Case("services", listed("destination.service.host", "{overrides: [x]}"), 1),
    Case("ports", listed("destination.port", '{overrides: ["9080"]}'), 0),
    Case("labels of this", listed('destination.labels["version"]', "{overrides: [v2]}"), 1),
    Case("addresses, white", listed("source.ip", "{overrides: [127.0.0.1/32, 10.0.0.0/8], entryType: IP_ADDRESSES}"), 1),
    Case("addresses, black", listed('source.ip | ip("0.0.0.0")', "{overrides: [127.0.0.2], entryType: IP_ADDRESSES, blacklist: true}"), 1),
    Case("no address is white", listed("source.ip", "{entryType: IP_ADDRESSES}"), 1),
    Case("a constant", listed('"x"', "{overrides: [y]}"), 1),
    Case("a constant that is no address", listed('"x"', "{overrides: [10.0.0.0/8], entryType: IP_ADDRESSES}"), 1),
    Case("denied only where there is a value", NOTHING + denier("deny", "{code: 5}") + listing('request.headers["x-user"]', "{}")
         + rule("r", "true", "deny", "names-value"), 2),
    Case("the first of two", NOTHING + denier("one", "{code: 5, message: one}") + denier("two", "{code: 16, message: two}")
         + rule("a", 'request.headers["x-user"] == "john"', "one", "nothing.checknothing")
         + rule("b", 'request.method == "GET"', "two", "nothing.checknothing"), 2),
    Case("labels of callers", denial('source.labels["app"] == "reviews"'), 0, asks=True),
    Case("before one that is asked about", denial('request.headers["x-user"] == "john"').replace("name: r,", "name: a,")
         + rule("b", 'source.labels["app"] == "reviews"', "deny", "nothing.checknothing"), 1, asks=True),
    Case("after one that is asked about", denial('request.headers["x-user"] == "john"').replace("name: r,", "name: z,")
         + rule("b", 'source.labels["app"] == "reviews"', "deny", "nothing.checknothing"), 0, asks=True),
    Case("accounts that are white", listed("source.principal", f"{{overrides: [{REVIEWS}]}}"), 0, asks=True),
    Case("headers besides", NOTHING + denier("deny", "{code: 7}")
         + rule("r", 'request.headers["x-user"] == "john"', "deny", "nothing.checknothing",
                "  requestHeaderOperations: [{name: x-more, values: ['request.method']}]\n"), 1, asks=True),
]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """`peer`: who calls with mutual TLS, if anybody."""

    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    peer: str = ""
    address: str = "127.0.0.1"
    server_name: str = ""
    host: str = "ratings:9080"
    joined: dict[str, str] = field(default_factory=dict)
    """Headers as Mixer is told them, where that differs."""

    @property
    def grpc(self) -> bool:
        """Answers to it come as gRPC's."""
        return ("content-type", "application/grpc") in self.headers


REQUESTS = [
    Request(),
    Request(headers=(("x-user", "john"),)),
    Request(headers=(("x-user", "JOHN"),)),
    Request(headers=(("x-user", "A.K-S"),)),
    Request(headers=(("x-user", "a_k-s"),)),
    Request(headers=(("x-user", ""),)),
    Request(headers=(("x-user", 'a "quoted\\" % <b>'),), address="127.0.0.2"),
    Request(headers=(("x-user", "jo"), ("x-user", "hn")), joined={"x-user": "jo,hn"}),
    Request(headers=(("x-a", "b"), ("x-user", "john"))),
    Request(method="POST", path="/a/7?b=c", headers=(("content-length", "0"),)),
    Request(method="POST", path="/b", headers=(("content-length", "0"), ("x-user", "john"))),
    Request(headers=(("content-type", "application/grpc"),), method="POST", path="/x.Y/Z"),
    Request(headers=(("content-type", "application/grpc-web"),), method="POST", path="/x.Y/Z"),
    Request(peer=f"spiffe://{REVIEWS}", server_name="a.example"),
    Request(peer=f"spiffe://{PRODUCTPAGE}", server_name="b.other", headers=(("x-user", "john"),)),
]
