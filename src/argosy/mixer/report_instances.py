"""Instances of report templates: their expressions, compiled once, and the value that a bag gives them.

Given the parameters of an instance and the vocabulary; gives a `ReportInstance`, and findings for expressions that
cannot be used. Each template says in `_FIELDS` which type its fields have. Source: Istio 1.4's templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec

from argosy.core.errors import Finding
from argosy.core.frozen import EMPTY
from argosy.mixer.attributes import Attributes, Value, ValueType
from argosy.mixer.bind import BoundInstance, bad_expression, params_field
from argosy.mixer.expr import Expression, compile_expression
from argosy.mixer.names import Ref
from argosy.mixer.report_values import LogEntryValue, MetricValue, NothingValue, ReportValue, TraceSpanValue
from argosy.mixer.syntax import ExpressionError

T = ValueType
_NUMBERS = frozenset({T.INT64, T.DOUBLE, T.DURATION})
_STRING = frozenset({T.STRING})
_TIME = frozenset({T.TIMESTAMP})
_NUMBER = frozenset({T.INT64})
_TRUTH = frozenset({T.BOOL})
_ADDRESS = frozenset({T.IP_ADDRESS})
_ANY = frozenset(T)

_RESOURCE = {"monitored_resource_type": _STRING}
_FIELDS: Mapping[str, Mapping[str, frozenset[ValueType]]] = MappingProxyType(
    {
        "metric": {"value": _NUMBERS, **_RESOURCE},
        "logentry": {"severity": _STRING, "timestamp": _TIME, **_RESOURCE},
        "tracespan": {
            **dict.fromkeys(("trace_id", "span_id", "parent_span_id", "span_name"), _STRING),
            **dict.fromkeys(("start_time", "end_time"), _TIME),
            **dict.fromkeys(("client_span", "rewrite_client_span_id"), _TRUTH),
            **dict.fromkeys(("source_name", "destination_name", "api_protocol"), _STRING),
            **dict.fromkeys(("source_ip", "destination_ip"), _ADDRESS),
            **dict.fromkeys(
                ("http_status_code", "request_size", "request_total_size", "response_size", "response_total_size"),
                _NUMBER,
            ),
        },
        "reportnothing": {},
    }
)
"""Fields of templates that are expressions, and the types that they may have."""
_MAPS = ("dimensions", "variables", "span_tags", "monitored_resource_dimensions")
_SIZES = ("request_size", "request_total_size", "response_size", "response_total_size")
TEMPLATES = frozenset(_FIELDS)


@dataclass(frozen=True, slots=True)
class ReportInstance:
    """One instance, ready to be evaluated: single fields by name, and maps of them."""

    ref: Ref
    template: str
    fields: Mapping[str, Expression]
    maps: Mapping[str, Mapping[str, Expression]]

    @property
    def expressions(self) -> Iterator[Expression]:
        """All that it evaluates."""
        yield from self.fields.values()
        for members in self.maps.values():
            yield from members.values()

    def value(self, attributes: Attributes, moment: datetime) -> ReportValue:
        """What the bag makes of it; `moment` stands in where no time is said. Raises `EvaluationError`."""
        return _MAKERS[self.template](self, attributes, moment)

    def field(self, name: str, attributes: Attributes, default: Any = "") -> Any:
        """The value of one field, `default` if the instance does not say it."""
        expression = self.fields.get(name)
        return default if expression is None else expression.evaluate(attributes)

    def map(self, name: str, attributes: Attributes) -> Mapping[str, Value]:
        """The values of a map."""
        members = self.maps.get(name)
        return {key: one.evaluate(attributes) for key, one in members.items()} if members else EMPTY


def compile_instance(
    bound: BoundInstance, vocabulary: Mapping[str, ValueType]
) -> tuple[ReportInstance | None, list[Finding]]:
    """The instance, or None and what is wrong with it."""
    params = bound.object.spec.params
    types = _FIELDS[bound.template]
    findings: list[Finding] = []
    fields: dict[str, Expression] = {}
    maps: dict[str, dict[str, Expression]] = {}

    def add(into: dict[str, Expression], name: str, at: str, text: str, expect: frozenset[ValueType]) -> None:
        try:
            into[name] = _compile(text, expect, vocabulary)
        except ExpressionError as error:
            findings.append(bad_expression(bound.object, params_field(bound.object, at), text, error))

    for member in msgspec.structs.fields(params):
        given = getattr(params, member.name)
        if member.name in types and given:
            add(fields, member.name, member.encode_name, given, types[member.name])
        elif member.name in _MAPS:
            for key, text in given.items():
                add(maps.setdefault(member.name, {}), key, f"{member.encode_name}.{key}", text, _ANY)
    return (None if findings else ReportInstance(bound.ref, bound.template, fields, maps)), findings


def _compile(text: str, expect: frozenset[ValueType], vocabulary: Mapping[str, ValueType]) -> Expression:
    made = compile_expression(text, vocabulary=vocabulary)
    if made.type not in expect:
        raise ExpressionError(f"must be {' or '.join(sorted(expect))}, is {made.type}", 1)
    return made


def _metric(instance: ReportInstance, attributes: Attributes, _moment: datetime) -> MetricValue:
    return MetricValue(
        str(instance.ref),
        instance.field("value", attributes, 1),
        instance.map("dimensions", attributes),
        instance.field("monitored_resource_type", attributes),
        instance.map("monitored_resource_dimensions", attributes),
    )


def _log_entry(instance: ReportInstance, attributes: Attributes, moment: datetime) -> LogEntryValue:
    return LogEntryValue(
        str(instance.ref),
        instance.field("timestamp", attributes, moment),
        instance.field("severity", attributes),
        instance.map("variables", attributes),
        instance.field("monitored_resource_type", attributes),
        instance.map("monitored_resource_dimensions", attributes),
    )


def _trace_span(instance: ReportInstance, attributes: Attributes, moment: datetime) -> TraceSpanValue:
    sizes = {name: instance.field(name, attributes, None) for name in _SIZES}
    protocol = instance.field("api_protocol", attributes)
    tags = dict(instance.map("span_tags", attributes))
    tags.update({name.replace("_", "."): size for name, size in sizes.items() if size is not None})
    if protocol:
        tags["api.protocol"] = protocol
    return TraceSpanValue(
        instance=str(instance.ref),
        trace_id=instance.field("trace_id", attributes),
        span_id=instance.field("span_id", attributes),
        parent_span_id=instance.field("parent_span_id", attributes),
        name=instance.field("span_name", attributes),
        start=instance.field("start_time", attributes, moment),
        end=instance.field("end_time", attributes, moment),
        tags=tags,
        status_code=instance.field("http_status_code", attributes, 0),
        client=instance.field("client_span", attributes, False),
        rewrite_client_span_id=instance.field("rewrite_client_span_id", attributes, False),
        source_name=instance.field("source_name", attributes),
        source_ip=str(instance.field("source_ip", attributes)),
        destination_name=instance.field("destination_name", attributes),
        destination_ip=str(instance.field("destination_ip", attributes)),
    )


def _nothing(instance: ReportInstance, _attributes: Attributes, _moment: datetime) -> NothingValue:
    return NothingValue(str(instance.ref))


_MAKERS: Mapping[str, Callable[[ReportInstance, Attributes, datetime], ReportValue]] = MappingProxyType(
    {"metric": _metric, "logentry": _log_entry, "tracespan": _trace_span, "reportnothing": _nothing}
)
