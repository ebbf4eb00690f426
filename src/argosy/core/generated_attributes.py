"""Attributes that attributegen would make, written into the expressions that name them.

Given an expression and what attributes there are, as chains of conditions; gives an expression of Envoy's own
attributes. A name stands alone (`istio_operationId`), as the module's older form has it, or as the state that the
module leaves (`filter_state['wasm.istio_operationId']`). Source: istio.io, classify-metrics.
"""

from __future__ import annotations

import re  # noqa: TID251 - patterns of our own
from collections.abc import Iterable, Mapping

UNKNOWN = "'unknown'"
"""What such a tag says in Istio where there is no value."""
_ALONE = re.compile(r"[A-Za-z_]\w*")
_STATE = re.compile(r"""filter_state\[\s*(?:'wasm\.(?P<k1>[^'\\]+)'|"wasm\.(?P<k2>[^"\\]+)")\s*\]""")
# What stands alone and is no attribute that somebody makes.
_WORDS = frozenset(
    {"true", "false", "null", "request", "response", "source", "destination", "connection", "upstream", "xds"}
    | {"metadata", "filter_state", "upstream_filter_state", "upstream_peer", "downstream_peer"}
    | {"node", "cluster_name", "route_name", "listener_direction"}
)


def generated_names(expression: str) -> tuple[str, ...]:
    """The attributes of attributegen that an expression names."""
    alone = expression.strip()
    if is_name(alone):
        return (alone,)
    return tuple(dict.fromkeys(found["k1"] or found["k2"] for found in _STATE.finditer(expression)))


def is_name(text: str) -> bool:
    """Whether `text` alone names such an attribute."""
    return _ALONE.fullmatch(text) is not None and text not in _WORDS


def chain(cases: Iterable[tuple[str, str]]) -> str:
    """The value of the first of these (condition, value) that holds; a blank condition always does."""
    made = ""
    for condition, value in cases:
        if not condition:
            return f"{made}'{value}'"
        made += f"({condition}) ? '{value}' : "
    return made + UNKNOWN


def expand(expression: str, known: Mapping[str, str]) -> str:
    """The expression with the values of `known` in place of the names; an attribute that nobody makes is unknown.

    A state that no attribute has is left to the proxy: some other filter may set it.
    """
    alone = expression.strip()
    if is_name(alone):
        return known.get(alone, UNKNOWN)

    def value(found: re.Match[str]) -> str:
        made = known.get(found["k1"] or found["k2"])
        return found[0] if made is None else made if found[0] == alone else f"({made})"

    return _STATE.sub(value, expression)
