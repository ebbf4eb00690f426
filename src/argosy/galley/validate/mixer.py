"""Mixer's handler, instance and rule: known adapters and templates, shapes of their parameters.

Given typed objects, adds findings to a `Check`. Expressions are checked by whoever compiles them. Source: Istio 1.4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from argosy.api.mixer import Handler, Instance, Rule
from argosy.api.scalars import DurationError, parse_duration_s
from argosy.core.frozen import FrozenMap
from argosy.galley.validate.check import Check, member

# Parameter name -> type; None: valid in Istio 1.4, not supported yet.
_ADAPTERS: Mapping[str, Mapping[str, type | tuple[type, ...] | None]] = FrozenMap(
    {
        "denier": FrozenMap({"status": FrozenMap, "validDuration": str, "validUseCount": int}),
        "listchecker": FrozenMap(
            {
                "overrides": tuple,
                "blacklist": bool,
                "entryType": str,
                "cachingInterval": str,
                "cachingUseCount": int,
                "providerUrl": None,
                "refreshInterval": None,
                "ttl": None,
            }
        ),
    }
)
_TEMPLATES: Mapping[str, Mapping[str, type | tuple[type, ...] | None]] = FrozenMap(
    {"checknothing": FrozenMap(), "listentry": FrozenMap({"value": str})}
)
_NOT_YET_ADAPTERS = frozenset(
    [
        "apigee",
        "bypass",
        "circonus",
        "cloudwatch",
        "datadog",
        "dogstatsd",
        "fluentd",
        "kubernetesenv",
        "memquota",
        "noop",
        "opa",
        "prometheus",
        "rbac",
        "redisquota",
        "servicecontrol",
        "signalfx",
        "solarwinds",
        "stackdriver",
        "statsd",
        "stdio",
        "zipkin",
    ]
)
_NOT_YET_TEMPLATES = frozenset(
    [
        "apikey",
        "authorization",
        "edge",
        "kubernetes",
        "logentry",
        "metric",
        "quota",
        "reportnothing",
        "servicecontrolreport",
        "tracespan",
    ]
)
_ENTRY_TYPES = ("STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX")
_NAMES = {FrozenMap: "an object", str: "a string", int: "an integer", tuple: "a list of strings", bool: "a boolean"}


def validate_handler(check: Check, handler: Handler) -> None:
    """All rules about one handler."""
    adapter = handler.compiled_adapter
    if not _known(check, "spec.compiledAdapter", "adapter", adapter, _ADAPTERS, _NOT_YET_ADAPTERS):
        return
    _validate_params(check, handler.params, _ADAPTERS[adapter])
    if adapter == "denier":
        _validate_denier(check, handler.params)
    if adapter == "listchecker":
        _validate_list(check, handler.params)


def validate_instance(check: Check, instance: Instance) -> None:
    """All rules about one instance."""
    template = instance.compiled_template
    if not _known(check, "spec.compiledTemplate", "template", template, _TEMPLATES, _NOT_YET_TEMPLATES):
        return
    _validate_params(check, instance.params, _TEMPLATES[template])
    if template == "listentry":
        check.not_empty("spec.params.value", instance.params.get("value"), "a value expression")


def validate_rule(check: Check, rule: Rule) -> None:
    """All rules about one rule."""
    check.not_empty("spec.actions", rule.actions, "at least one action")
    for index, action in enumerate(rule.actions):
        check.not_empty(f"spec.actions[{index}].handler", action.handler, "the name of a handler")
        check.not_empty(f"spec.actions[{index}].instances", action.instances, "at least one instance")


def _known(
    check: Check, field: str, what: str, name: str, known: Mapping[str, object], not_yet: frozenset[str]
) -> bool:
    if name in not_yet:
        check.error("ARG0015", field, f"{what} {name!r} is valid Istio 1.4, but not supported yet")
    elif name not in known:
        check.error("ARG0127", field, f"unknown {what} {name!r}", f"known: {', '.join(known)}")
    return name in known


def _validate_params(
    check: Check, params: Mapping[str, Any], known: Mapping[str, type | tuple[type, ...] | None]
) -> None:
    for name, value in params.items():
        at = member("spec.params", name)
        if name not in known:
            check.error("ARG0010", at, f"unknown parameter {name!r}", f"known: {', '.join(known) or 'none'}")
            continue
        type_ = known[name]
        if type_ is None:
            check.error("ARG0011", at, f"parameter {name!r} is valid Istio 1.4, but not supported yet")
        elif not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
            check.error("ARG0012", at, f"must be {_NAMES[type_] if isinstance(type_, type) else 'another type'}")


def _validate_denier(check: Check, params: Mapping[str, Any]) -> None:
    _validate_duration(check, "spec.params.validDuration", params.get("validDuration"))
    status = params.get("status", FrozenMap())
    if not isinstance(status, FrozenMap):
        return
    code, message = status.get("code", 7), status.get("message", "")
    if isinstance(code, bool) or not isinstance(code, int):
        check.error("ARG0012", "spec.params.status.code", "must be an integer")
    elif not 0 <= code <= 16:
        check.error("ARG0122", "spec.params.status.code", f"{code} is not a google.rpc code", "7 is PERMISSION_DENIED")
    if not isinstance(message, str):
        check.error("ARG0012", "spec.params.status.message", "must be a string")


def _validate_list(check: Check, params: Mapping[str, Any]) -> None:
    entry_type = params.get("entryType", "STRINGS")
    if isinstance(entry_type, str) and entry_type not in _ENTRY_TYPES:
        hint = f"one of: {', '.join(_ENTRY_TYPES)}"
        check.error("ARG0014", "spec.params.entryType", f"{entry_type!r} is not a possible value", hint)
    _validate_duration(check, "spec.params.cachingInterval", params.get("cachingInterval"))
    overrides = params.get("overrides", ())
    for index, entry in enumerate(overrides if isinstance(overrides, tuple) else ()):
        at = f"spec.params.overrides[{index}]"
        if not isinstance(entry, str):
            check.error("ARG0012", at, "must be a string", f'quote it: "{entry}"')
        elif entry_type == "IP_ADDRESSES":
            check.network(at, entry)
        elif entry_type == "REGEX":
            check.regex(at, entry)


def _validate_duration(check: Check, field: str, value: object) -> None:
    if not isinstance(value, str):
        return
    try:
        check.duration(field, parse_duration_s(value), zero=True)
    except DurationError as error:
        check.error("ARG0016", field, str(error), "write a number and a unit: 10s, 250ms")
