"""VirtualService."""

from __future__ import annotations

from tests.fields.cases import CLIENT, INGRESS, Case

KIND = "VirtualService"
HEAD = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: it}\nspec: "
HOST = "VirtualHost/80/server.default.svc.cluster.local"
ROUTE = "route: [{destination: {host: server}}]"
SUBSETS = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule}
spec: {host: server, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
"""
ENTRY = """---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: outside}
spec: {hosts: [a.example.com], addresses: [240.0.0.9], ports: [{number: 443, name: tls, protocol: TLS}], resolution: DNS}
"""
GATEWAY = """---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
"""


def http(fields: str | tuple[str, ...], rule: str, text: str, resource: str = HOST, more: str = "") -> Case:
    names = (fields,) if isinstance(fields, str) else fields
    return Case(
        KIND, tuple(f"http[].{name}" for name in names), f"{HEAD}{{hosts: [server], http: [{{{rule}}}]}}\n{more}",
        resource, text,
    )  # fmt: skip


def match(field: str, block: str, text: str) -> Case:
    return http(f"match[].{field}", f"match: [{{{block}}}], {ROUTE}", text)


def action(fields: str | tuple[str, ...], rule: str, text: str) -> Case:
    return http(fields, f"{rule}, {ROUTE}", text)


def strings(field: str, member: str = "") -> list[Case]:
    """The three ways to compare a string."""
    shape = "{{}}.{}" if member else ".{}"
    made = []
    for way, value in (("exact", "/one"), ("prefix", "/two"), ("regex", "/th.*")):
        block = f"{field}: {{{member}: {{{way}: {value}}}}}" if member else f"{field}: {{{way}: {value}}}"
        made.append(match(field + shape.format(way), block, value))
    return made


def l4(kind: str, field: str, rule: str, text: str, resource: str, more: str = "", proxy: str = CLIENT) -> Case:
    host = "a.example.com" if kind == "tls" else "server"
    return Case(
        KIND, (f"{kind}[]{field}",), f"{HEAD}{{hosts: [{host}], {kind}: [{rule}]}}\n{more}", resource, text, proxy
    )


def tcp(field: str, rule: str, text: str, resource: str = "Listener/10.96.*_9000", more: str = SUBSETS) -> Case:
    return l4("tcp", field, rule, text, resource, more)


def tls(field: str, rule: str, text: str) -> Case:
    return l4("tls", field, rule, text, "Listener/240.0.0.9_443", SUBSETS + ENTRY)


NAMES = "match: [{sniHosts: [a.example.com]}]"
TO_V2 = "route: [{destination: {host: server, subset: v2, port: {number: 80}}}]"

CASES: list[Case] = [
    Case(KIND, ("hosts",), f"{HEAD}{{hosts: [server], http: [{{name: mine, {ROUTE}}}]}}", HOST, '"name":"mine"'),
    Case(KIND, ("exportTo",), f"{HEAD}{{hosts: [server], exportTo: [other], http: [{{name: mine, {ROUTE}}}]}}",
         HOST, '!"name":"mine"'),
    Case(KIND, ("gateways",), f"{HEAD}{{hosts: [a.example.com], gateways: [default/gw], http: [{{name: mine, {ROUTE}}}]}}\n"
         + GATEWAY, "VirtualHost/http.8080/a.example.com", '"name":"mine"', INGRESS),
    http("name", f"name: mine, {ROUTE}", '"name":"mine"'),
    *strings("uri"), *strings("scheme"), *strings("method"), *strings("authority"),
    *strings("headers", "x-a"), *strings("withoutHeaders", "x-a"), *strings("queryParams", "a"),
    match("ignoreUriCase", "uri: {prefix: /a}, ignoreUriCase: true", '"case_sensitive":false'),
    match("name", "name: part, uri: {prefix: /a}", '"name":"part"'),
    match("statPrefix", "statPrefix: counted", '"stat_prefix":"counted"'),
    http("match[].port", "match: [{port: 9999}], redirect: {uri: /no}", "!/no"),
    http("match[].sourceLabels", "match: [{sourceLabels: {app: nobody}}], redirect: {uri: /no}", "!/no"),
    http("match[].sourceNamespace", "match: [{sourceNamespace: elsewhere}], redirect: {uri: /no}", "!/no"),
    http("match[].gateways", "match: [{gateways: [elsewhere]}], redirect: {uri: /no}", "!/no"),
    http("route[].destination.host", "route: [{destination: {host: other.other.svc.cluster.local}}]",
         "outbound|80||other.other.svc.cluster.local"),
    http("route[].destination.subset", "route: [{destination: {host: server, subset: v2}}]", "outbound|80|v2|server",
         more=SUBSETS),
    http("route[].destination.port.number", "route: [{destination: {host: server, port: {number: 7070}}}]",
         "outbound|7070||server"),
    http("route[].weight", "route: [{destination: {host: server}, weight: 7}, {destination: {host: client}, weight: 93}]",
         '"weight":93'),
    *[
        http(f"{at}headers.{side}.{verb}",
             f"headers: {{{side}: {{{verb}: {value}}}}}, {ROUTE}" if not at else
             f"route: [{{destination: {{host: server}}, headers: {{{side}: {{{verb}: {value}}}}}}}]",
             text)
        for at in ("", "route[].")
        for side in ("request", "response")
        for verb, value, text in (
            ("set", "{x-set: '1'}", '"key":"x-set"'),
            ("add", "{x-add: '2'}", '"key":"x-add"'),
            ("remove", "[x-gone]", f'"{side}_headers_to_remove":["x-gone"]'),
        )
    ],
    action("timeout", "timeout: 3s", '"timeout":"3s"'),
    action("retries.attempts", "retries: {attempts: 7}", '"num_retries":7'),
    action("retries.perTryTimeout", "retries: {attempts: 7, perTryTimeout: 2s}", '"per_try_timeout":"2s"'),
    action("retries.retryOn", "retries: {attempts: 7, retryOn: 'gateway-error,504'}", '"retriable_status_codes":[504]'),
    action("retries.backoff", "retries: {attempts: 7, backoff: 0.2s}", '"base_interval":"0.200s"'),
    action("retries.retryIgnorePreviousHosts", "retries: {attempts: 7, retryIgnorePreviousHosts: false}",
           "!previous_hosts"),
    action("retries.retryRemoteLocalities", "retries: {attempts: 7, retryRemoteLocalities: true}", "previous_priorities"),
    action("fault.delay.fixedDelay", "fault: {delay: {fixedDelay: 5s}}", '"fixed_delay":"5s"'),
    action("fault.delay.percentage.value", "fault: {delay: {fixedDelay: 5s, percentage: {value: 12.5}}}",
           '"numerator":125000'),
    action("fault.delay.percent", "fault: {delay: {fixedDelay: 5s, percent: 13}}", '"numerator":130000'),
    action("fault.abort.httpStatus", "fault: {abort: {httpStatus: 418}}", '"http_status":418'),
    action("fault.abort.grpcStatus", "fault: {abort: {grpcStatus: UNAVAILABLE}}", '"grpc_status":14'),
    action("fault.abort.percentage.value", "fault: {abort: {httpStatus: 418, percentage: {value: 12.5}}}",
           '"numerator":125000'),
    Case(KIND, ("http[].fault.delay.exponentialDelay",),
         f"{HEAD}{{hosts: [server], http: [{{fault: {{delay: {{exponentialDelay: 1s}}}}, {ROUTE}}}]}}",
         refused="Envoy delays by a fixed time only"),
    Case(KIND, ("http[].fault.abort.http2Error",),
         f"{HEAD}{{hosts: [server], http: [{{fault: {{abort: {{http2Error: REFUSED_STREAM}}}}, {ROUTE}}}]}}",
         refused="Envoy's fault filter cannot reset a stream with a chosen error"),
    action("mirror.host", "mirror: {host: other.other.svc.cluster.local}", "outbound|80||other.other"),
    action("mirror.subset", "mirror: {host: server, subset: v2}", "outbound|80|v2|server"),
    action("mirror.port.number", "mirror: {host: server, port: {number: 7070}}", "outbound|7070||server"),
    action("mirrorPercentage.value", "mirror: {host: client}, mirrorPercentage: {value: 12.5}", '"numerator":125000'),
    action("mirrorPercent", "mirror: {host: client}, mirrorPercent: 13", '"numerator":130000'),
    action("mirror_percent", "mirror: {host: client}, mirror_percent: 14", '"numerator":140000'),
    action("mirrors[].destination.host", "mirrors: [{destination: {host: client}}]", "outbound|80||client"),
    action("mirrors[].destination.subset", "mirrors: [{destination: {host: server, subset: v2}}]", "outbound|80|v2|server"),
    action("mirrors[].destination.port.number", "mirrors: [{destination: {host: server, port: {number: 7070}}}]",
           "outbound|7070||server"),
    action("mirrors[].percentage.value", "mirrors: [{destination: {host: client}, percentage: {value: 12.5}}]",
           '"numerator":125000'),
    action("rewrite.uri", "rewrite: {uri: /new}", '"prefix_rewrite":"/new"'),
    action("rewrite.authority", "rewrite: {authority: new.example.com}", "new.example.com"),
    action("rewrite.uriRegexRewrite.match", "rewrite: {uriRegexRewrite: {match: '^/(a+)', rewrite: '/\\1'}}", "^/(a+)"),
    action("rewrite.uriRegexRewrite.rewrite", "rewrite: {uriRegexRewrite: {match: '^/(a+)', rewrite: '/x/\\1'}}", "/x/"),
    http("redirect.uri", "redirect: {uri: /there}", '"path_redirect":"/there"'),
    http("redirect.prefixRewrite", "match: [{uri: {prefix: /a}}], redirect: {prefixRewrite: /b}", '"prefix_rewrite":"/b"'),
    http("redirect.authority", "redirect: {authority: new.example.com}", '"host_redirect":"new.example.com"'),
    http("redirect.port", "redirect: {port: 8081}", '"port_redirect":8081'),
    http("redirect.derivePort", "redirect: {scheme: https, derivePort: FROM_REQUEST_PORT}", '"port_redirect":80'),
    http("redirect.scheme", "redirect: {scheme: https}", '"scheme_redirect":"https"'),
    http("redirect.redirectCode", "redirect: {uri: /there, redirectCode: 308}", "PERMANENT_REDIRECT"),
    http("directResponse.status", "directResponse: {status: 418}", '"status":418'),
    http("directResponse.body.string", "directResponse: {status: 418, body: {string: hello}}", '"inline_string":"hello"'),
    http("directResponse.body.bytes", "directResponse: {status: 418, body: {bytes: aGVsbG8=}}", '"inline_bytes":"aGVsbG8="'),
    action("corsPolicy.allowOrigin", "corsPolicy: {allowOrigin: [https://a.example.com]}", "https://a.example.com"),
    *[
        action(f"corsPolicy.allowOrigins[].{way}", f"corsPolicy: {{allowOrigins: [{{{way}: {value}}}]}}", value)
        for way, value in (("exact", "https://one"), ("prefix", "https://two"), ("regex", "https://th.*"))
    ],
    action("corsPolicy.allowMethods", "corsPolicy: {allowMethods: [POST, PUT]}", '"allow_methods":"POST,PUT"'),
    action("corsPolicy.allowHeaders", "corsPolicy: {allowHeaders: [x-one]}", '"allow_headers":"x-one"'),
    action("corsPolicy.exposeHeaders", "corsPolicy: {exposeHeaders: [x-two]}", '"expose_headers":"x-two"'),
    action("corsPolicy.maxAge", "corsPolicy: {maxAge: 24h}", '"max_age":"86400"'),
    action("corsPolicy.allowCredentials", "corsPolicy: {allowCredentials: true}", '"allow_credentials":true'),
    action("corsPolicy.unmatchedPreflights", "corsPolicy: {unmatchedPreflights: IGNORE}",
           '"forward_not_matching_preflights":false'),
    http("delegate.name", "match: [{uri: {prefix: /a}}], delegate: {name: part}", "outbound|80||client",
         more="---\n" + HEAD.replace("it}", "part}") + "{http: [{route: [{destination: {host: client}}]}]}\n"),
    http("delegate.namespace", "match: [{uri: {prefix: /a}}], delegate: {name: part, namespace: other}",
         "outbound|80||other.other",
         more="---\n" + HEAD.replace("it}", "part, namespace: other}") + "{http: [{route: [{destination: {host: other}}]}]}\n"),
    # TCP
    tcp(".route[].destination.host", "{route: [{destination: {host: other.other.svc.cluster.local, port: {number: 80}}}]}",
        "outbound|80||other.other"),
    tcp(".route[].destination.port.number", "{route: [{destination: {host: client, port: {number: 81}}}]}",
        "outbound|81||client"),
    tcp(".route[].destination.subset", "{route: [{destination: {host: server, subset: v2}}]}", "outbound|9000|v2|server",
        more=SUBSETS),
    tcp(".route[].weight", "{route: [{destination: {host: server, subset: v1}, weight: 7}, "
        "{destination: {host: server, subset: v2}, weight: 93}]}", '"weight":93', more=SUBSETS),
    tcp(".match[].destinationSubnets", "{match: [{destinationSubnets: [10.9.0.0/16]}], " + TO_V2 + "}", "10.9.0.0"),
    tcp(".match[].sourceSubnet", "{match: [{sourceSubnet: 10.8.0.0/16}], " + TO_V2 + "}", "10.8.0.0"),
    tcp(".match[].port", "{match: [{port: 9999}], " + TO_V2 + "}", "!|v2|"),
    tcp(".match[].sourceLabels", "{match: [{sourceLabels: {app: nobody}}], " + TO_V2 + "}", "!|v2|"),
    tcp(".match[].sourceNamespace", "{match: [{sourceNamespace: elsewhere}], " + TO_V2 + "}", "!|v2|"),
    tcp(".match[].gateways", "{match: [{gateways: [elsewhere]}], " + TO_V2 + "}", "!|v2|"),
    # TLS
    tls(".route[].destination.host", "{" + NAMES + ", route: [{destination: {host: client, port: {number: 81}}}]}",
        "outbound|81||client"),
    tls(".route[].destination.port.number", "{" + NAMES + ", route: [{destination: {host: server, port: {number: 8443}}}]}",
        "outbound|8443||server"),
    tls(".route[].destination.subset", "{" + NAMES + ", " + TO_V2 + "}", "outbound|80|v2|server"),
    tls(".route[].weight", "{" + NAMES + ", route: [{destination: {host: server}, weight: 7}, "
        "{destination: {host: client}, weight: 93}]}", '"weight":93'),
    tls(".match[].sniHosts", "{" + NAMES + ", " + TO_V2 + "}", '"server_names":["a.example.com"]'),
    tls(".match[].destinationSubnets", "{match: [{sniHosts: [a.example.com], destinationSubnets: [10.9.0.0/16]}], "
        + TO_V2 + "}", "10.9.0.0"),
    tls(".match[].port", "{match: [{sniHosts: [a.example.com], port: 9999}], " + TO_V2 + "}", "!|v2|"),
    tls(".match[].sourceLabels", "{match: [{sniHosts: [a.example.com], sourceLabels: {app: nobody}}], " + TO_V2 + "}",
        "!|v2|"),
    tls(".match[].sourceNamespace", "{match: [{sniHosts: [a.example.com], sourceNamespace: elsewhere}], " + TO_V2 + "}",
        "!|v2|"),
    tls(".match[].gateways", "{match: [{sniHosts: [a.example.com], gateways: [elsewhere]}], " + TO_V2 + "}", "!|v2|"),
]  # fmt: skip
