"""Extensions: filters in the HTTP chains of listeners, and what they run, as a resource of its own.

A filter is put into a listener once; what it runs (a script, a module with its settings) is discovered (ECDS), so that
a change holds from the next request on and closes no connection. Until the first has come the listener waits. If the
proxy refuses it, the filter lets everything pass, or answers 500, as the object says.
Source: istio.io WasmPlugin, TrafficExtension; envoy.extensions.wasm.v3, envoy.extensions.filters.http.lua.v3.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from argosy.api.extensions import TrafficExtension, TrafficSelector, WasmModule, WasmPlugin, lua_of, wasm_of
from argosy.api.meta import Object
from argosy.core.names import ObjectKey
from argosy.envoy.api import TYPE_PREFIX, decode, encode, message, pack
from argosy.pilot.build.authn import NAME as AUTHN_FILTER
from argosy.pilot.build.filters import ADS
from argosy.pilot.build.resource import LISTENER, extension, resource_of_bytes
from argosy.pilot.build.route_filters import CORS, FAULT
from argosy.xds.messages import Resource

PREFIX = "extensions.istio.io/"
_NETWORK = "/network"
_LUA = "envoy.extensions.filters.http.lua.v3.Lua"
_WASM = "envoy.extensions.filters.http.wasm.v3.Wasm"
_NETWORK_WASM = "envoy.extensions.filters.network.wasm.v3.Wasm"
_NETWORK_RBAC = "envoy.extensions.filters.network.rbac.v3.RBAC"
_HTTP_FILTER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter"
_MANAGER_NAME = "envoy.filters.network.http_connection_manager"
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_TERMINAL = frozenset({_MANAGER_NAME, "envoy.filters.network.tcp_proxy"})
_NETWORK_POLICY = "envoy.filters.network.rbac"
_AFTER = frozenset({CORS, FAULT})
_TOLD = "envoy.filters.http.header_mutation"
_EARLY = frozenset({"AUTHN", "AUTHZ"})
# What has no phase, as either kind says it, comes last.
_LATE = ("STATS", "UNSPECIFIED_PHASE", "UNSPECIFIED")
_RANKS = {"AUTHN": 0, "AUTHZ": 1, "STATS": 2}
_RUNTIME = "envoy.wasm.runtime.v8"
_POLICIES = {"FAIL_CLOSE": "FAIL_CLOSED", "FAIL_OPEN": "FAIL_OPEN", "FAIL_RELOAD": "FAIL_RELOAD"}
INBOUND, OUTBOUND, GATEWAY = "inbound", "outbound", "gateway"


@dataclass(frozen=True, slots=True, order=True)
class Traffic:
    """Traffic that an extension sees: as its server, as its client, on these ports (none: all)."""

    server: bool
    client: bool
    ports: tuple[int, ...] = ()

    def covers(self, place: str, ports: Collection[int]) -> bool:
        """Whether it is about a chain at `place` for connections to one of `ports`."""
        side = self.server if place == INBOUND else self.client
        return side and (not self.ports or not set(self.ports).isdisjoint(ports))


@dataclass(frozen=True, slots=True, order=True)
class Placed:
    """What a listener must know of one extension; what it runs is not among it."""

    kind: str
    key: ObjectKey
    phase: str
    traffic: tuple[Traffic, ...]
    network: bool = False
    open: bool = False
    """Lets everything pass where it cannot be run."""

    @property
    def rank(self) -> int:
        """The phase's place among all."""
        return _RANKS.get(self.phase, len(_RANKS))

    @property
    def name(self) -> str:
        """Name of the filter and of the resource that it discovers."""
        return extension_name(self.kind, self.key, network=self.network)

    def covers(self, place: str, ports: Collection[int]) -> bool:
        """Whether it is about a chain."""
        return any(one.covers(place, ports) for one in self.traffic)


def extension_name(kind: str, key: ObjectKey, *, network: bool = False) -> str:
    """The name of an object's filter. One of connections has another than one of requests: a chain from before that
    still has the other one would be asked to run what it cannot."""
    return f"{PREFIX}{kind.lower()}/{key.namespace}/{key.name}{_NETWORK if network else ''}"


_KINDS = {kind.lower(): kind for kind in ("WasmPlugin", "TrafficExtension")}


def owner_of(name: str) -> tuple[str, ObjectKey] | None:
    """Kind and key of the object whose filter has that name."""
    if not name.startswith(PREFIX):
        return None
    kind, namespace, own = name.removeprefix(PREFIX).removesuffix(_NETWORK).split("/", 2)
    return (_KINDS[kind], ObjectKey(namespace, own)) if kind in _KINDS else None


def placed(found: Object[WasmPlugin] | Object[TrafficExtension]) -> Placed:
    """What listeners must know of an object."""
    spec = found.spec
    module = wasm_of(spec)
    return Placed(
        kind=found.kind,
        key=found.key,
        phase=spec.phase,
        traffic=tuple(_traffic(one) for one in spec.match) or (Traffic(server=True, client=True),),
        network=module is not None and module.type == "NETWORK",
        open=module is None or module.fail_strategy == "FAIL_OPEN",
    )


def _traffic(one: TrafficSelector) -> Traffic:
    both = one.mode in ("UNDEFINED", "CLIENT_AND_SERVER")
    ports = tuple(sorted(port.number for port in one.ports))
    return Traffic(server=both or one.mode == "SERVER", client=both or one.mode == "CLIENT", ports=ports)


# -- what a filter runs -----------------------------------------------------------------------------------------


def build_extension(found: Object[WasmPlugin] | Object[TrafficExtension], module: bytes | None) -> Resource:
    """What the filter of an object runs; `module`: the Wasm module, None while it is not there.

    Without it, or if the proxy cannot run it: what `failStrategy` says.
    """
    one = placed(found)
    name = one.name
    script, wasm = lua_of(found.spec), wasm_of(found.spec)
    if script is not None:
        return extension(name, message(_LUA)(default_source_code={"inline_string": script.inline_code}))
    assert wasm is not None, "galley has refused an extension that runs nothing"
    if module is None:
        return extension(name, _instead(one))
    made = message(_NETWORK_WASM if one.network else _WASM)
    return extension(name, made(config=_plugin(f"{found.namespace}.{found.name}", wasm, module)))


def _plugin(name: str, wasm: WasmModule, module: bytes) -> Any:
    env = wasm.vm_config.env if wasm.vm_config is not None else ()
    variables = {
        "key_values": {one.name: one.value for one in env if one.value_from == "INLINE"},
        "host_env_keys": sorted(one.name for one in env if one.value_from == "HOST"),
    }
    fields: dict[str, Any] = {
        "name": name,
        "root_id": wasm.plugin_name,
        "failure_policy": _POLICIES[wasm.fail_strategy],
        "vm_config": {
            "runtime": _RUNTIME,
            "code": {"local": {"inline_bytes": module}},
            "environment_variables": variables if env else None,
        },
    }
    if wasm.plugin_config:
        text = msgspec.json.encode(wasm.plugin_config, enc_hook=dict, order="sorted").decode()
        fields["configuration"] = pack(message("google.protobuf.StringValue")(value=text))
    return message("envoy.extensions.wasm.v3.PluginConfig")(**fields)


@cache
def _instead(one: Placed) -> Any:
    """What stands in for an extension that cannot be run."""
    if one.network:
        return message(_NETWORK_RBAC)(stat_prefix="extension.", **({} if one.open else {"rules": {"action": "ALLOW"}}))
    code = f'h:respond({{[":status"] = "500"}}, "{one.kind} {one.key} cannot be run\\n")'
    script = "-- passes everything" if one.open else f"function envoy_on_request(h) {code} end"
    return message(_LUA)(default_source_code={"inline_string": script})


# -- where filters stand ----------------------------------------------------------------------------------------


def insert_extensions(
    listener: Resource, extensions: Sequence[Placed], *, place: str, public_ports: dict[int, tuple[int, ...]]
) -> Resource:
    """A listener with the filters of all extensions that are about its chains, or the very same object.

    `extensions`: in the order in which they run. `public_ports`: of a gateway's port, those that lead to it.
    """
    if listener.type_url != LISTENER or listener.body is None:
        return listener
    made = decode(LISTENER.removeprefix(TYPE_PREFIX), listener.body)
    own = made.address.socket_address.port_value
    chains = list(made.filter_chains)
    if made.HasField("default_filter_chain"):
        chains.append(made.default_filter_chain)
    changed = False
    for chain in chains:
        inner = chain.filter_chain_match.destination_port.value if place == INBOUND else 0
        number = inner or own
        found = (one for one in extensions if one.covers(place, (number, *public_ports.get(number, ()))))
        about = sorted(found, key=lambda one: one.rank)
        changed |= _into_chain(chain, about)
    if not changed:
        return listener
    clusters = [one.name for one in listener.requires]
    return resource_of_bytes(
        listener.type_url,
        listener.name,
        encode(made),
        clusters=clusters,
        companion=next(iter(listener.companions), None),
    )


def _into_chain(chain: Any, about: Sequence[Placed]) -> bool:
    changed = False
    network = [one for one in about if one.network]
    names = [one.name for one in chain.filters]
    end = next((index for index, name in enumerate(names) if name in _TERMINAL), None)
    if network and end is not None:
        policies = names.index(_NETWORK_POLICY) if _NETWORK_POLICY in names else end
        for place, phases in ((end, _LATE), (policies, _EARLY)):
            _insert(chain.filters, place, [_network_filter(one) for one in network if one.phase in phases])
        changed = True
    requests = [one for one in about if not one.network]
    for one in chain.filters if requests else ():
        if one.name == _MANAGER_NAME:
            manager = decode(_MANAGER, one.typed_config.value)
            _into_manager(manager.http_filters, requests)
            one.typed_config.CopyFrom(pack(manager))
            changed = True
    return changed


def _into_manager(filters: Any, about: Sequence[Placed]) -> None:
    """Before authentication, between it and authorization, or after both: before faults and answers to other sites'
    pages are made, where a chain makes some, else before the router."""
    names = [one.name for one in filters]
    end = next((index for index, name in enumerate(names) if name in _AFTER), len(names) - 1)
    _insert(filters, end, [_http_filter(one) for one in about if one.phase in _LATE])
    # A gateway first tells servers whose request it is.
    first = 1 if names[0] == _TOLD else 0
    authn = names.index(AUTHN_FILTER) if AUTHN_FILTER in names else first - 1
    _insert(filters, authn + 1, [_http_filter(one) for one in about if one.phase == "AUTHZ"])
    _insert(filters, max(authn, first), [_http_filter(one) for one in about if one.phase == "AUTHN"])


def _insert(items: Any, place: int, added: list[Any]) -> None:
    if not added:
        return
    kept = [type(added[0]).FromString(encode(one)) for one in items]
    kept[place:place] = added
    del items[:]
    items.extend(kept)


@cache
def _http_filter(one: Placed) -> Any:
    source = _source(one, (_WASM, _LUA))
    return message(_HTTP_FILTER)(name=one.name, config_discovery=source)


@cache
def _network_filter(one: Placed) -> Any:
    source = _source(one, (_NETWORK_WASM, _NETWORK_RBAC))
    return message("envoy.config.listener.v3.Filter")(name=one.name, config_discovery=source)


def _source(one: Placed, types: Sequence[str]) -> dict[str, Any]:
    return {
        "config_source": ADS,
        "type_urls": [TYPE_PREFIX + name for name in types],
        "default_config": pack(_instead(one)),
    }


__all__ = ["Placed", "Traffic", "build_extension", "extension_name", "insert_extensions", "owner_of", "placed"]
