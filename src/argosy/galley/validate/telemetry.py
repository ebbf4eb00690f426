"""Telemetry: is what it says possible?

Given the typed object, adds findings to a `Check`. Source: Istio's rules for telemetry.istio.io.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from argosy.api.telemetry import (
    METRIC_NAMES,
    AccessLogging,
    CustomTag,
    Metrics,
    MetricsOverride,
    ProviderRef,
    TagOverride,
    Telemetry,
    Tracing,
)
from argosy.core.generated_attributes import is_name
from argosy.core.tag_value import TagValueError, evaluated_parts, label_of, parse_tag_value
from argosy.galley.validate.cel import CelProblem, cel_problem
from argosy.galley.validate.check import Check, member
from argosy.galley.validate.log_format import format_problem
from argosy.galley.validate.security import validate_selector

CEL = "ARG0191"
METRIC_ATTRIBUTES = {
    "upstream_peer": "any",
    "downstream_peer": "any",
    "node": "envoy.config.core.v3.Node",
    "cluster_name": "string",
    "route_name": "string",
    "listener_direction": "int",
}
"""What expressions of metrics' tags may use besides Envoy's attributes: Istio's, with their kinds."""


_OWN_END = {"CLIENT": "downstream", "SERVER": "upstream"}
_OTHER_END = {"CLIENT": "upstream", "SERVER": "downstream"}


def validate_telemetry(check: Check, telemetry: Telemetry) -> None:
    """All rules about one Telemetry."""
    validate_selector(check, telemetry.selector)
    if not (telemetry.metrics or telemetry.tracing or telemetry.access_logging):
        check.warn("ARG0151", "spec", "without metrics, tracing and accessLogging it does nothing")
    for index, metrics in enumerate(telemetry.metrics):
        _validate_metrics(check, f"spec.metrics[{index}]", metrics)
    for index, tracing in enumerate(telemetry.tracing):
        _validate_tracing(check, f"spec.tracing[{index}]", tracing)
    for index, logging in enumerate(telemetry.access_logging):
        _validate_logging(check, f"spec.accessLogging[{index}]", logging)


def _validate_providers(check: Check, at: str, providers: Sequence[ProviderRef]) -> None:
    for index, one in enumerate(providers):
        check.not_empty(f"{at}.providers[{index}].name", one.name, "the name of a provider")


# -- metrics --------------------------------------------------------------------------------------------------------


def _validate_metrics(check: Check, at: str, metrics: Metrics) -> None:
    _validate_providers(check, at, metrics.providers)
    check.duration(f"{at}.reportingInterval", metrics.reporting_interval_s)
    for index, override in enumerate(metrics.overrides):
        _validate_override(check, f"{at}.overrides[{index}]", override)


def _validate_override(check: Check, at: str, override: MetricsOverride) -> None:
    match = override.match
    if match is not None:
        given = {"metric": match.metric is not None, "customMetric": match.custom_metric is not None}
        check.one_of(f"{at}.match", given, required=False)
        if match.custom_metric is not None:
            _validate_custom_metric(check, f"{at}.match.customMetric", match.custom_metric)
    if override.disabled and override.tag_overrides:
        check.warn("ARG0151", f"{at}.tagOverrides", "the metrics are left out: their tags say nothing")
    elif override.disabled is None and not override.tag_overrides:
        check.warn("ARG0151", at, "without disabled and tagOverrides it changes nothing")
    mode = match.mode if match is not None else "CLIENT_AND_SERVER"
    for name, tag in override.tag_overrides.items():
        here = member(f"{at}.tagOverrides", name)
        _validate_tag(check, here, name, tag)
        if mode in _OWN_END and tag.value.startswith(f"{_OWN_END[mode]}_peer."):
            message = f"with mode {mode} it is unknown: {_OWN_END[mode]}_peer is the end that counts"
            check.warn("ARG0193", f"{here}.value", message, f"write {_OTHER_END[mode]}_peer")


def _validate_custom_metric(check: Check, at: str, name: str) -> None:
    """Proxies count standard metrics only; their names may be written with or without the prefix."""
    check.not_empty(at, name, "the name of a metric")
    if name and f"istio_{name.removeprefix('istio_')}" not in METRIC_NAMES.values():
        message = f"no proxy counts a metric of the name {name!r}"
        check.warn("ARG0151", at, message, "name one of Istio's metrics")


def _validate_tag(check: Check, at: str, name: str, tag: TagOverride) -> None:
    check.not_empty(at, name, "a tag's name")
    if name != label_of(name):
        check.warn("ARG0151", at, f"labels have letters, digits and '_': it is called {label_of(name)}")
    if tag.operation == "REMOVE" and tag.value:
        check.error("ARG0121", f"{at}.value", "a tag that is removed has no value", "remove value or operation")
    elif tag.operation == "UPSERT":
        if not tag.value:
            check.error("ARG0110", f"{at}.value", "a value is needed", "write an expression, or operation: REMOVE")
        elif is_name(tag.value.strip()):
            return  # of attributegen; whether somebody makes it is told by the whole configuration
        elif problem := _tag_problem(tag.value):
            _tell_expression(check, f"{at}.value", problem)
        else:
            _validate_use(check, f"{at}.value", tag.value)


def _tag_problem(text: str) -> CelProblem | None:
    """What is wrong with what the proxy evaluates of a tag's expression: texts are joined from several."""
    found = (cel_problem(part, extra=METRIC_ATTRIBUTES, result="text") for part in evaluated_parts(text))
    return next((problem for problem in found if problem is not None), None)


def _tell_expression(check: Check, at: str, problem: CelProblem) -> None:
    if problem.refused:
        check.error(CEL, at, problem.message, problem.hint)
    else:
        check.warn("ARG0193", at, problem.message, problem.hint)


def _validate_use(check: Check, at: str, expression: str) -> None:
    """Whether a proxy or Mixer can work it out."""
    try:
        parse_tag_value(expression)
    except TagValueError as error:
        check.error(CEL, at, f"cannot be worked out: {error}")


# -- tracing --------------------------------------------------------------------------------------------------------


def _validate_tracing(check: Check, at: str, tracing: Tracing) -> None:
    _validate_providers(check, at, tracing.providers)
    if len(tracing.providers) > 1:
        message = f"spans go to one provider: {tracing.providers[0].name!r}, the first"
        check.warn("ARG0151", f"{at}.providers[1]", message, "leave the others out")
    check.percent(f"{at}.randomSamplingPercentage", tracing.random_sampling_percentage)
    validate_custom_tags(check, f"{at}.customTags", tracing.custom_tags or {})


def validate_custom_tags(check: Check, at: str, tags: Mapping[str, CustomTag]) -> None:
    """The tags of spans; those of the mesh configuration have the same shape."""
    for name, tag in tags.items():
        here = member(at, name)
        check.not_empty(here, name, "a tag's name")
        check.printable(here, name)
        kinds = ("literal", "environment", "header", "formatter")
        check.one_of(here, {kind: getattr(tag, kind) is not None for kind in kinds})
        if tag.literal is not None:
            check.not_empty(f"{here}.literal.value", tag.literal.value, "a value")
        if tag.environment is not None:
            check.not_empty(f"{here}.environment.name", tag.environment.name, "the name of a variable")
        if tag.header is not None:
            check.header_name(f"{here}.header.name", tag.header.name, pseudo=True)
        if tag.formatter is not None:
            check.not_empty(f"{here}.formatter.value", tag.formatter.value, "a format")
            if problem := format_problem(tag.formatter.value, logs=False):
                check.error("ARG0192", f"{here}.formatter.value", problem.message, problem.hint)


# -- access logs ----------------------------------------------------------------------------------------------------


def _validate_logging(check: Check, at: str, logging: AccessLogging) -> None:
    _validate_providers(check, at, logging.providers)
    if logging.filter is not None and logging.filter.expression:
        if problem := cel_problem(logging.filter.expression):
            _tell_expression(check, f"{at}.filter.expression", problem)
    elif logging.filter is not None:
        check.warn("ARG0151", f"{at}.filter", "without an expression it filters nothing")
