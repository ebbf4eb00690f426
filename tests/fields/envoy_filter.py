"""EnvoyFilter."""

from __future__ import annotations

from tests.fields.cases import CLIENT, INGRESS, SERVER, Case

KIND = "EnvoyFilter"
HEAD = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: it}\nspec: "
CLUSTER = "Cluster/outbound|80||server.default.svc.cluster.local"
HOST = "VirtualHost/80/server.default.svc.cluster.local"
GATEWAY = """---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 443, name: https, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: pair}}
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example.com]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: bound, namespace: istio-system}
spec:
  hosts: [a.example.com]
  gateways: [gw]
  http: [{name: mine, route: [{destination: {host: server.default.svc.cluster.local}}]}]
"""
RULES = """---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: rule}
spec: {host: server, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes}
spec: {hosts: [server], http: [{match: [{uri: {prefix: /a}}], name: moved, redirect: {uri: /b}},
  {name: named, route: [{destination: {host: server}}]}]}
"""
MERGE = "patch: {operation: MERGE, value: {%s}}"
MARK = '"alt_stat_name":"marked"'
MANAGER = "envoy.filters.network.http_connection_manager"
LUA = (
    "{name: lua, typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, "
    "default_source_code: {inline_string: 'function envoy_on_request(h) end'}}}"
)
PREFIX = (
    "{name: " + MANAGER + ", typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.network."
    "http_connection_manager.v3.HttpConnectionManager, via: marked}}"
)


def patch(
    field: str, spec: str, text: str, resource: str, *, more: str = "", proxy: str = CLIENT, top: str = ""
) -> Case:
    namespace, _slash, _pod = proxy.partition("/")
    head = HEAD.replace("name: it", f"name: it, namespace: {namespace}")
    return Case(KIND, (field,), f"{head}{{{top}configPatches: [{{{spec}}}]}}\n{more}", resource, text, proxy)


def cluster(field: str, match: str, where: str) -> Case:
    """A condition that does not hold for one cluster keeps the patch from it."""
    spec = f"applyTo: CLUSTER, match: {{{match}}}, {MERGE % 'alt_stat_name: marked'}"
    return patch(f"configPatches[].match.{field}", spec, "!" + MARK, where, more=RULES)


def listener(
    field: str,
    match: str,
    text: str = '!"via":"marked"',
    where: str = "Listener/0.0.0.0_80",
    proxy: str = CLIENT,
    more: str = "",
) -> Case:
    value = PREFIX[1:-1]
    spec = f"applyTo: NETWORK_FILTER, match: {{listener: {{{match}}}}}, {MERGE % value}"
    return patch(f"configPatches[].match.listener.{field}", spec, text, where, proxy=proxy, more=more)


def routing(
    field: str,
    match: str,
    text: str,
    where: str,
    *,
    apply_to: str = "HTTP_ROUTE",
    value: str = "stat_prefix: marked",
    proxy: str = CLIENT,
    more: str = RULES,
) -> Case:
    spec = f"applyTo: {apply_to}, match: {{routeConfiguration: {{{match}}}}}, {MERGE % value}"
    return patch(f"configPatches[].match.routeConfiguration.{field}", spec, text, where, more=more, proxy=proxy)


ROUTED = '!"stat_prefix":"marked"'
CASES: list[Case] = [
    Case(KIND, ("workloadSelector.labels",), f"{HEAD}{{workloadSelector: {{labels: {{app: nobody}}}}, configPatches: "
         f"[{{applyTo: CLUSTER, {MERGE % 'alt_stat_name: marked'}}}]}}", CLUSTER, "!" + MARK),
    Case(KIND, ("targetRefs", "targetRefs[].group", "targetRefs[].kind", "targetRefs[].name", "targetRefs[].namespace"),
         f"{HEAD}{{targetRefs: [{{kind: Gateway, name: g}}]}}",
         refused="targets are Gateways of Kubernetes and waypoints; workloads are selected by labels"),
    Case(KIND, ("configPatches[].match.waypoint",),
         f"{HEAD}{{configPatches: [{{applyTo: CLUSTER, match: {{waypoint: {{portNumber: 80}}}}, patch: {{operation: REMOVE}}}}]}}",
         refused="there are no waypoints here"),
    Case(KIND, ("configPatches[].match.listener.portName",),
         f"{HEAD}{{configPatches: [{{applyTo: LISTENER, match: {{listener: {{portName: http}}}}, patch: {{operation: REMOVE}}}}]}}",
         refused="listeners are shared by services, so a service's port name says nothing about them"),
    Case(KIND, ("priority",), f"{HEAD}{{priority: 5, configPatches: [{{applyTo: CLUSTER, {MERGE % 'alt_stat_name: marked'}}}]}}\n---\n"
         + HEAD.replace("name: it", "name: jt") + f"{{configPatches: [{{applyTo: CLUSTER, {MERGE % 'alt_stat_name: later'}}}]}}",
         CLUSTER, MARK),
    patch("configPatches[].applyTo", f"applyTo: CLUSTER, {MERGE % 'alt_stat_name: marked'}", MARK, CLUSTER),
    patch("configPatches[].patch.value", f"applyTo: CLUSTER, {MERGE % 'alt_stat_name: marked'}", MARK, CLUSTER),
    patch("configPatches[].patch.operation", "applyTo: HTTP_FILTER, match: {listener: {filterChain: {filter: {name: "
          "envoy.filters.network.http_connection_manager, subFilter: {name: envoy.filters.http.cors}}}}}, "
          "patch: {operation: REMOVE}", "!envoy.filters.http.cors", "Listener/0.0.0.0_80"),
    patch("configPatches[].patch.filterClass", "applyTo: HTTP_FILTER, match: {context: SIDECAR_INBOUND}, "
          f"patch: {{operation: ADD, filterClass: AUTHN, value: {LUA}}}", '"name":"envoy.filters.http.jwt_authn"},{"name":"lua"',
          "Listener/virtualInbound", proxy=SERVER),
    cluster("context", "context: GATEWAY", CLUSTER),
    cluster("proxy.proxyVersion", "proxy: {proxyVersion: '^0[.].*'}", CLUSTER),
    cluster("proxy.metadata", "proxy: {metadata: {NAMESPACE: elsewhere}}", CLUSTER),
    cluster("cluster.name", "cluster: {name: another}", CLUSTER),
    cluster("cluster.service", "cluster: {service: another}", CLUSTER),
    cluster("cluster.portNumber", "cluster: {portNumber: 9999}", CLUSTER),
    cluster("cluster.subset", "cluster: {subset: v2}", "Cluster/outbound|80|v1|server.default.svc.cluster.local"),
    listener("name", "name: another"),
    listener("portNumber", "portNumber: 9999"),
    patch("configPatches[].match.listener.listenerFilter", "applyTo: LISTENER_FILTER, match: {listener: {listenerFilter: "
          "envoy.filters.listener.http_inspector}}, patch: {operation: REMOVE}", "!envoy.filters.listener.http_inspector",
          "Listener/0.0.0.0_80"),
    listener("filterChain.name", "filterChain: {name: another}"),
    listener("filterChain.sni", "filterChain: {sni: b.example.com}", where="Listener/0.0.0.0_8443", proxy=INGRESS, more=GATEWAY),
    listener("filterChain.transportProtocol", "filterChain: {transportProtocol: tls}"),
    listener("filterChain.applicationProtocols", "filterChain: {applicationProtocols: 'h9'}"),
    listener("filterChain.destinationPort", "filterChain: {destinationPort: 9999}"),
    patch("configPatches[].match.listener.filterChain.filter.name", "applyTo: NETWORK_FILTER, match: {listener: {filterChain: "
          "{filter: {name: envoy.filters.network.http_connection_manager}}}}, patch: {operation: REMOVE}",
          "!http_connection_manager", "Listener/0.0.0.0_80"),
    patch("configPatches[].match.listener.filterChain.filter.subFilter.name", "applyTo: HTTP_FILTER, match: {listener: "
          "{filterChain: {filter: {name: envoy.filters.network.http_connection_manager, subFilter: {name: "
          f"envoy.filters.http.router}}}}}}}}}}, patch: {{operation: INSERT_BEFORE, value: {LUA}}}",
          '"@type":"type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig","emit_filter_state":true}},'
          '{"name":"lua"', "Listener/0.0.0.0_80"),
    routing("name", "name: another", ROUTED, HOST),
    routing("portNumber", "portNumber: 9999", ROUTED, HOST),
    routing("portName", "portName: another", ROUTED, "VirtualHost/https.443*/a.example.com", proxy=INGRESS, more=GATEWAY),
    routing("gateway", "gateway: istio-system/another", ROUTED, "VirtualHost/https.443*/a.example.com", proxy=INGRESS,
            more=GATEWAY),
    routing("vhost.name", "vhost: {name: another}", ROUTED, HOST),
    routing("vhost.domainName", "vhost: {domainName: another}", ROUTED, HOST),
    routing("vhost.route.name", "vhost: {route: {name: another}}", ROUTED, HOST),
    routing("vhost.route.action", "vhost: {route: {action: DIRECT_RESPONSE}}", ROUTED, HOST),
]  # fmt: skip
