"""`extensions.istio.io`: WasmPlugin and TrafficExtension, programs of users inside of proxies.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, extensions v1alpha1.
"""

from __future__ import annotations

from typing import Any, Literal

from argosy.api.meta import Strict, WorkloadSelector
from argosy.core.frozen import FrozenMap

FILE = "file://"


class PortSelector(Strict, frozen=True, kw_only=True):
    """One port."""

    number: int


class TrafficSelector(Strict, frozen=True, kw_only=True):
    """Which traffic of a workload: its direction, and ports of it (any of them; none: all)."""

    mode: Literal["UNDEFINED", "CLIENT", "SERVER", "CLIENT_AND_SERVER"] = "UNDEFINED"
    ports: tuple[PortSelector, ...] = ()


class EnvVar(Strict, frozen=True, kw_only=True):
    """A variable of the module's environment: its value, or that of the proxy's own."""

    name: str
    value_from: Literal["INLINE", "HOST"] = "INLINE"
    value: str = ""


class VmConfig(Strict, frozen=True, kw_only=True):
    """How the module's machine is set up."""

    env: tuple[EnvVar, ...] = ()


class WasmModule(Strict, frozen=True, kw_only=True):
    """A module, where it is, and how it is run."""

    # No image registry is asked: modules are files, or come over HTTP, and are known by what is in them (`sha256`).
    not_yet = frozenset({"imagePullSecret", "verificationKey"})
    url: str
    image_pull_policy: Literal["UNSPECIFIED_POLICY", "IfNotPresent", "Always"] = "UNSPECIFIED_POLICY"
    sha256: str = ""
    plugin_config: FrozenMap[str, Any] | None = None
    plugin_name: str = ""
    fail_strategy: Literal["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"] = "FAIL_CLOSE"
    vm_config: VmConfig | None = None
    type: Literal["UNSPECIFIED_PLUGIN_TYPE", "HTTP", "NETWORK"] = "UNSPECIFIED_PLUGIN_TYPE"


class WasmPlugin(WasmModule, frozen=True, kw_only=True):
    """A module for the workloads that are selected; in the root namespace, for those of the mesh."""

    # Targets are Gateways of Kubernetes and waypoints; workloads are selected by labels here.
    not_yet = frozenset({*WasmModule.not_yet, "targetRef", "targetRefs"})
    selector: WorkloadSelector | None = None
    phase: Literal["UNSPECIFIED_PHASE", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED_PHASE"
    priority: int | None = None
    match: tuple[TrafficSelector, ...] = ()


class LuaScript(Strict, frozen=True, kw_only=True):
    """A script with `envoy_on_request` or `envoy_on_response`."""

    inline_code: str


class TrafficExtension(Strict, frozen=True, kw_only=True):
    """A module or a script for the workloads that are selected."""

    not_yet = frozenset({"targetRefs"})
    selector: WorkloadSelector | None = None
    phase: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"
    priority: int | None = None
    match: tuple[TrafficSelector, ...] = ()
    wasm: WasmModule | None = None
    lua: LuaScript | None = None


def wasm_of(spec: WasmPlugin | TrafficExtension) -> WasmModule | None:
    """The module that an object runs."""
    return spec if isinstance(spec, WasmPlugin) else spec.wasm


def lua_of(spec: WasmPlugin | TrafficExtension) -> LuaScript | None:
    """The script that an object runs."""
    return None if isinstance(spec, WasmPlugin) else spec.lua
