"""The types that fields of templates have, by the template's name and the field's path; what is not named has any type.

Given the text of a field, gives its expression or raises `ExpressionError`, when it is loaded. Source: Istio 1.4's
templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from argosy.mixer.attributes import ValueType
from argosy.mixer.expr import Expression, compile_expression
from argosy.mixer.report_values import number_of
from argosy.mixer.syntax import Constant, ExpressionError

T = ValueType
Types = frozenset[ValueType]
ANY: Types = frozenset(T)
BOOL: Types = frozenset({T.BOOL})
NUMBERS: Types = frozenset({T.INT64, T.DOUBLE})
MEASURES: Types = NUMBERS | {T.DURATION, T.STRING}
"""What handlers take for a number: of a text only requests tell."""
_STRING, _TIME, _INT, _ADDRESS = (frozenset({one}) for one in (T.STRING, T.TIMESTAMP, T.INT64, T.IP_ADDRESS))

_RESOURCE = {"monitored_resource_type": _STRING}
_EDGE = "workload_namespace workload_name owner uid"
FIELD_TYPES: Mapping[str, Mapping[str, Types]] = MappingProxyType(
    {
        "metric": {"value": MEASURES, **_RESOURCE},
        "logentry": {"severity": _STRING, "timestamp": _TIME, **_RESOURCE},
        "tracespan": {
            **dict.fromkeys(("trace_id", "span_id", "parent_span_id", "span_name"), _STRING),
            **dict.fromkeys(("start_time", "end_time"), _TIME),
            **dict.fromkeys(("client_span", "rewrite_client_span_id"), BOOL),
            **dict.fromkeys(("source_name", "destination_name", "api_protocol"), _STRING),
            **dict.fromkeys(("source_ip", "destination_ip"), _ADDRESS),
            **dict.fromkeys(
                ("http_status_code", "request_size", "request_total_size", "response_size", "response_total_size"),
                _INT,
            ),
        },
        "edge": {
            "timestamp": _TIME,
            **{f"{side}_{name}": _STRING for side in ("source", "destination") for name in _EDGE.split()},
            **dict.fromkeys(
                ("destination_service_namespace", "destination_service_name", "context_protocol", "api_protocol"),
                _STRING,
            ),
        },
        "authorization": dict.fromkeys(
            ("subject.user", "subject.groups", "action.namespace", "action.service", "action.method", "action.path"),
            _STRING,
        ),
        "apikey": {
            **dict.fromkeys(("api", "api_version", "api_operation", "api_key"), _STRING),
            "timestamp": _TIME,
        },
        "kubernetes": {
            **dict.fromkeys(("source_uid", "destination_uid"), _STRING),
            **dict.fromkeys(("source_ip", "destination_ip"), _ADDRESS),
            "destination_port": _INT,
        },
    }
)


def types_of(template: str, field: str) -> Types:
    """The types that a field may have; `field` is its path in snake case, as in `subject.user`."""
    return FIELD_TYPES.get(template, {}).get(field, ANY)


def compile_typed(text: str, types: Types, vocabulary: Mapping[str, ValueType]) -> Expression:
    """The expression, of one of these types; raises `ExpressionError`."""
    if len(types) == 1:
        return compile_expression(text, expect=next(iter(types)), vocabulary=vocabulary)
    made = compile_expression(text, vocabulary=vocabulary)
    if made.type not in types:
        raise ExpressionError(f"must be {' or '.join(sorted(types))}, is {made.type}", 1)
    if types is MEASURES and isinstance(made.tree, Constant) and number_of(made.tree.value) is None:
        raise ExpressionError("is not a number", 1)
    return made
