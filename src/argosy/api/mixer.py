"""`config.istio.io/v1alpha2`: Mixer's handler, instance and rule.

`params` are kept as frozen plain values; adapters and templates give them meaning. Source: Istio 1.4's policy API.
"""

from __future__ import annotations

from typing import Any

from argosy.api.meta import Strict
from argosy.core.frozen import FrozenMap

NO_PARAMS: FrozenMap[str, Any] = FrozenMap()


class Handler(Strict, frozen=True, kw_only=True):
    """One configured adapter."""

    not_yet = frozenset({"adapter", "connection"})
    compiled_adapter: str
    params: FrozenMap[str, Any] = NO_PARAMS


class Instance(Strict, frozen=True, kw_only=True):
    """How a template's value is made from attributes; expressions are strings in `params`."""

    not_yet = frozenset({"template", "attributeBindings"})
    compiled_template: str
    params: FrozenMap[str, Any] = NO_PARAMS


class Action(Strict, frozen=True, kw_only=True):
    """Which handler gets which instances; names are `[name.namespace | name]`."""

    handler: str
    instances: tuple[str, ...] = ()
    name: str = ""


class Rule(Strict, frozen=True, kw_only=True):
    """When `match` holds (empty: always), perform `actions`."""

    not_yet = frozenset({"requestHeaderOperations", "responseHeaderOperations", "sampling"})
    match: str = ""
    actions: tuple[Action, ...] = ()
