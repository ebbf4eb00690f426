"""Instances of report templates: their expressions, compiled once, and the value that a bag gives them.

Given the parameters of an instance and the vocabulary; gives a `ReportInstance`, and findings for expressions that
cannot be used. Source: Istio 1.4's templates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

import msgspec
import re2

from argosy.core.errors import Finding
from argosy.core.frozen import EMPTY
from argosy.mixer.attributes import Attributes, Value, ValueType
from argosy.mixer.bind import BoundInstance, bad_expression, params_field
from argosy.mixer.expr import Expression
from argosy.mixer.field_types import ANY, compile_typed, types_of
from argosy.mixer.instances import Fields, compile_fields, evaluate_fields, expressions_of
from argosy.mixer.names import Ref
from argosy.mixer.report_values import (
    LogEntryValue,
    MetricValue,
    NothingValue,
    RemoteValue,
    ReportValue,
    TraceSpanValue,
)
from argosy.mixer.syntax import ExpressionError

_MAPS = ("dimensions", "variables", "span_tags", "monitored_resource_dimensions")
_SIZES = ("request_size", "request_total_size", "response_size", "response_total_size")
_SPAN_ID = re2.compile(r"[0-9A-Fa-f]{1,16}")
_CLIENTS = 0x5DA7_B1E0_93C4_2F68
TEMPLATES = frozenset({"metric", "logentry", "tracespan", "reportnothing"})
"""Those that report to compiled adapters."""


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

    def value(self, known: Evaluated, moment: datetime) -> ReportValue:
        """What the bag makes of it; `moment` stands in where no time is said. Raises `EvaluationError`."""
        return _MAKERS[self.template](self, known, moment)

    def field(self, name: str, known: Evaluated, default: Any = "") -> Any:
        """The value of one field, `default` if the instance does not say it."""
        expression = self.fields.get(name)
        return default if expression is None else known.value(expression)

    def map(self, name: str, known: Evaluated) -> Mapping[str, Value]:
        """The values of a map."""
        members = self.maps.get(name)
        return {key: known.value(one) for key, one in members.items()} if members else EMPTY


@dataclass(frozen=True, slots=True)
class RemoteInstance:
    """An instance for an adapter out of process, whose template is an object of the configuration."""

    ref: Ref
    template: str
    fields: Fields

    @property
    def expressions(self) -> Iterator[Expression]:
        """All that it evaluates."""
        return expressions_of(self.fields)

    def value(self, known: Evaluated, _moment: datetime) -> ReportValue:
        """What the bag makes of it. Raises `EvaluationError`."""
        return RemoteValue(self.ref, self.template, evaluate_fields(self.fields, known.bag))


class Evaluated:
    """A bag, with the values of the expressions that were asked before: instances of one rule have most in common."""

    __slots__ = ("_values", "bag")

    def __init__(self, bag: Attributes) -> None:
        self.bag = bag
        self._values: dict[str, Value] = {}

    def value(self, expression: Expression) -> Value:
        """The value; raises `EvaluationError`."""
        found = self._values.get(expression.text)
        if found is None:
            found = self._values[expression.text] = expression.evaluate(self.bag)
        return found


def compile_instance(
    bound: BoundInstance, vocabulary: Mapping[str, ValueType]
) -> tuple[ReportInstance | None, list[Finding]]:
    """The instance, or None and what is wrong with it."""
    params = bound.object.spec.params
    findings: list[Finding] = []
    fields: dict[str, Expression] = {}
    maps: dict[str, dict[str, Expression]] = {}

    def add(into: dict[str, Expression], name: str, at: str, text: str) -> None:
        try:
            into[name] = compile_typed(text, types_of(bound.template, name) if into is fields else ANY, vocabulary)
        except ExpressionError as error:
            findings.append(bad_expression(bound.object, params_field(bound.object, at), text, error))

    for member in msgspec.structs.fields(params):
        given = getattr(params, member.name)
        if isinstance(given, str) and given:
            add(fields, member.name, member.encode_name, given)
        elif member.name in _MAPS:
            for key, text in given.items():
                add(maps.setdefault(member.name, {}), key, f"{member.encode_name}.{key}", text)
    return (None if findings else ReportInstance(bound.ref, bound.template, fields, maps)), findings


def compile_remote(
    bound: BoundInstance, vocabulary: Mapping[str, ValueType]
) -> tuple[RemoteInstance | None, list[Finding]]:
    """The instance for an adapter out of process, or None and what is wrong with it."""
    fields, bad = compile_fields(bound.object.spec.params, vocabulary)
    at = bound.object
    findings = [bad_expression(at, params_field(at, one.field), one.text, one.error) for one in bad]
    return (None if bad else RemoteInstance(bound.ref, bound.template, fields)), findings


def _metric(instance: ReportInstance, known: Evaluated, _moment: datetime) -> MetricValue:
    return MetricValue(
        str(instance.ref),
        instance.field("value", known, 1),
        instance.map("dimensions", known),
        instance.field("monitored_resource_type", known),
        instance.map("monitored_resource_dimensions", known),
    )


def _log_entry(instance: ReportInstance, known: Evaluated, moment: datetime) -> LogEntryValue:
    return LogEntryValue(
        str(instance.ref),
        instance.field("timestamp", known, moment),
        instance.field("severity", known),
        instance.map("variables", known),
        instance.field("monitored_resource_type", known),
        instance.map("monitored_resource_dimensions", known),
    )


def _trace_span(instance: ReportInstance, known: Evaluated, moment: datetime) -> TraceSpanValue:
    sizes = {name: instance.field(name, known, None) for name in _SIZES}
    protocol = instance.field("api_protocol", known)
    tags = dict(instance.map("span_tags", known))
    tags.update({name.replace("_", "."): size for name, size in sizes.items() if size is not None})
    if protocol:
        tags["api.protocol"] = protocol
    client, rewrite = (
        instance.field("client_span", known, False),
        instance.field("rewrite_client_span_id", known, False),
    )
    span_id, parent = instance.field("span_id", known), instance.field("parent_span_id", known)
    if rewrite:
        # The client's span has an id of its own, by which the server's, which keeps the one that was sent, names it.
        span_id, parent = (_of_client(span_id), parent) if client else (span_id, _of_client(span_id))
    return TraceSpanValue(
        instance=str(instance.ref),
        trace_id=instance.field("trace_id", known),
        span_id=span_id,
        parent_span_id=parent,
        name=instance.field("span_name", known),
        start=instance.field("start_time", known, moment),
        end=instance.field("end_time", known, moment),
        tags=tags,
        status_code=instance.field("http_status_code", known, 0),
        client=client,
        rewrite_client_span_id=rewrite,
        source_name=instance.field("source_name", known),
        source_ip=str(instance.field("source_ip", known)),
        destination_name=instance.field("destination_name", known),
        destination_ip=str(instance.field("destination_ip", known)),
    )


def _of_client(span_id: str) -> str:
    """The id of the client's part of a span, the same whoever tells of it; what is no id stays as it is."""
    return f"{int(span_id, 16) ^ _CLIENTS:016x}" if _SPAN_ID.fullmatch(span_id) else span_id


def _nothing(instance: ReportInstance, _known: Evaluated, _moment: datetime) -> NothingValue:
    return NothingValue(str(instance.ref))


_MAKERS: Mapping[str, Callable[[ReportInstance, Evaluated, datetime], ReportValue]] = MappingProxyType(
    {"metric": _metric, "logentry": _log_entry, "tracespan": _trace_span, "reportnothing": _nothing}
)
