"""Parameters of report handlers, judged: what of them cannot work, and what the `prometheus` handlers define.

Given handlers that rules name; gives definitions of metrics and findings. Source: Istio 1.4's adapters of these names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from argosy.api.meta import Object
from argosy.api.mixer import INSTANCE_KINDS, Handler
from argosy.api.mixer_adapters import (
    Buckets,
    DogstatsdMetric,
    DogstatsdParams,
    FluentdParams,
    OtlpParams,
    PrometheusMetric,
    PrometheusParams,
    StatsdMetric,
    StatsdParams,
    StdioParams,
    ZipkinParams,
)
from argosy.core.errors import Finding
from argosy.core.hosts import is_http_url, parse_host_port
from argosy.mixer.attributes import ValueType
from argosy.mixer.bind import finding, params_field
from argosy.mixer.names import Ref, parse_reference
from argosy.mixer.report_handlers.prometheus import (
    DEFAULT_BOUNDS,
    DISTRIBUTION,
    MetricDefinition,
    exponential_bounds,
    full_name,
    linear_bounds,
    safe_name,
)
from argosy.mixer.report_handlers.statsd import TYPES as LINE_TYPES
from argosy.mixer.report_handlers.statsd import parse_name_template

BAD_PARAMS = "ARG0912"
BUCKETS_MAX = 200
RESERVED = ("argosy_", "mixer_", "pilot_", "citadel_", "galley_")
"""Beginnings of metrics that the control plane has itself."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """All metrics of all `prometheus` handlers: by name, and which of them an instance feeds through a handler."""

    metrics: Mapping[str, tuple[MetricDefinition, float]] = field(default_factory=dict)
    fed: Mapping[tuple[Ref, Ref], tuple[str, ...]] = field(default_factory=dict)


def define_metrics(
    handlers: Iterable[tuple[Ref, Object[Handler]]], dimensions: Mapping[Ref, frozenset[str]]
) -> tuple[Definitions, list[Finding]]:
    """What the handlers define. `dimensions` are those of the instances that exist.

    A metric that two handlers define alike is one; if they differ, the first stays.
    """
    metrics: dict[str, tuple[MetricDefinition, float]] = {}
    fed: dict[tuple[Ref, Ref], tuple[str, ...]] = {}
    findings: list[Finding] = []
    for ref, about in handlers:
        params = about.spec.params
        if not isinstance(params, PrometheusParams):
            continue
        policy = params.metrics_expiration_policy
        expiry_s = policy.metrics_expiry_duration if policy is not None else 0.0
        for index, metric in enumerate(params.metrics):
            instance = parse_reference(metric.instance_name, namespace=about.namespace, kinds=INSTANCE_KINDS)
            definition, problem = _definition(metric, instance, dimensions)
            known = metrics.get(definition.name) if definition is not None else None
            if definition is not None and known is not None and known[0] != definition:
                problem = ("name", f"{definition.name} is defined otherwise elsewhere", "give it another name")
            if problem is not None or definition is None:
                at, message, hint = problem or ("", "", "")
                where = params_field(about, f"metrics[{index}].{at}")
                findings.append(finding(about, BAD_PARAMS, where, message, hint))
                continue
            metrics.setdefault(definition.name, (definition, expiry_s))
            fed[ref, instance] = (*fed.get((ref, instance), ()), definition.name)
    return Definitions(metrics, fed), findings


def judge_lines(
    handlers: Iterable[tuple[Ref, Object[Handler]]],
    fed: Mapping[Ref, frozenset[Ref]],
    types: Mapping[Ref, ValueType],
    dimensions: Mapping[Ref, frozenset[str]],
) -> list[Finding]:
    """What of the metrics of `statsd` and `dogstatsd` handlers is not sent. `fed`: the instances that they are given;
    `types`: those of the values of instances that exist."""
    findings: list[Finding] = []
    for ref, about in handlers:
        params = about.spec.params
        if not isinstance(params, StatsdParams | DogstatsdParams):
            continue
        known = set()
        for name, metric in params.metrics.items():
            instance = parse_reference(name, namespace=about.namespace, kinds=INSTANCE_KINDS)
            known.add(instance)
            problem = _line_problem(metric, instance, types, dimensions)
            if problem is not None:
                where = params_field(about, f'metrics["{name}"].{problem[0]}')
                findings.append(finding(about, BAD_PARAMS, where, *problem[1:]))
        for missing in sorted(fed.get(ref, frozenset()) - known):
            hint = "metrics says by the name of an instance what becomes of its values"
            at = params_field(about, "metrics")
            findings.append(
                finding(about, BAD_PARAMS, at, f"nothing is said about {missing}, which a rule sends", hint)
            )
    return findings


def _line_problem(
    metric: StatsdMetric | DogstatsdMetric,
    instance: Ref,
    types: Mapping[Ref, ValueType],
    dimensions: Mapping[Ref, frozenset[str]],
) -> _Problem | None:
    if metric.type not in LINE_TYPES:
        return "type", "a metric has a type", "COUNTER, GAUGE or DISTRIBUTION"
    kind = types.get(instance)
    if kind is not None and kind not in LINE_TYPES[metric.type]:
        wanted = " or ".join(sorted(LINE_TYPES[metric.type]))
        return "type", f"a {metric.type} takes {wanted}, and the value of {instance} is {kind}", "it is not sent"
    if isinstance(metric, DogstatsdMetric):
        return None if metric.name else ("name", "a metric has a name", "the name that it has at the server")
    template = parse_name_template(metric.name_template)
    has = dimensions.get(instance)
    missing = [name for name in template.dimensions if has is not None and name not in has]
    if missing:
        return "nameTemplate", f"{instance} has no dimension {missing[0]!r}", f"it has {_listed(has)}"
    return None


_Problem = tuple[str, str, str]


def _definition(
    metric: PrometheusMetric, instance: Ref, dimensions: Mapping[Ref, frozenset[str]]
) -> tuple[MetricDefinition | None, _Problem | None]:
    if metric.kind == "UNSPECIFIED":
        return None, ("kind", "a metric has a kind", "COUNTER, GAUGE or DISTRIBUTION")
    bounds: tuple[float, ...] = ()
    if metric.kind == DISTRIBUTION:
        try:
            bounds = _bounds(metric.buckets)
        except ValueError as error:
            return None, ("buckets", str(error), "")
    known = dimensions.get(instance)
    missing = [name for name in metric.label_names if known is not None and name not in known]
    if missing:
        return None, ("labelNames", f"{instance} has no dimension {missing[0]!r}", f"it has {_listed(known)}")
    written = [safe_name(label) for label in metric.label_names]
    if len(set(written)) < len(written) or (metric.kind == DISTRIBUTION and "le" in written):
        return None, (
            "labelNames",
            "two labels are written alike",
            "Prometheus takes letters, digits and _; le is its own",
        )
    name = full_name(metric.namespace, metric.name or metric.instance_name)
    if name.startswith(RESERVED):
        return None, ("namespace", f"{name} would be a metric of the control plane", "leave the namespace at istio")
    about = metric.description or metric.name or metric.instance_name
    return MetricDefinition(name, metric.kind, metric.label_names, about, bounds), None


def _listed(names: frozenset[str] | None) -> str:
    return ", ".join(sorted(names or ())) or "none"


def _bounds(buckets: Buckets | None) -> tuple[float, ...]:
    if buckets is None:
        return DEFAULT_BOUNDS
    linear, exponential, explicit = buckets.linear_buckets, buckets.exponential_buckets, buckets.explicit_buckets
    if sum(one is not None for one in (linear, exponential, explicit)) > 1:
        raise ValueError("buckets are said in one way: linearBuckets, exponentialBuckets or explicitBuckets")
    if linear is not None:
        bounds = linear_bounds(_count(linear.num_finite_buckets), linear.width, linear.offset)
    elif exponential is not None:
        count = _count(exponential.num_finite_buckets)
        bounds = exponential_bounds(count, exponential.growth_factor, exponential.scale)
    else:
        bounds = (explicit.bounds if explicit is not None else ()) or DEFAULT_BOUNDS
    if len(bounds) > BUCKETS_MAX:
        raise ValueError(f"1 to {BUCKETS_MAX} buckets, not {len(bounds)}")
    if any(after <= before for before, after in pairwise(bounds)):
        raise ValueError("the bounds of buckets must rise")
    return bounds


def _count(number: int) -> int:
    if not 0 < number < BUCKETS_MAX:
        raise ValueError(f"numFiniteBuckets is 1 to {BUCKETS_MAX - 1}, not {number}")
    return number


def judge_handler(about: Object[Handler]) -> list[Finding]:
    """What of a handler's parameters cannot work."""
    params = about.spec.params
    problem: _Problem | None = None
    if isinstance(params, StdioParams):
        problem = _judge_stdio(params)
    elif isinstance(params, FluentdParams | StatsdParams | DogstatsdParams):
        problem = _judge_address(params.address) or _judge_templates(params)
    elif isinstance(params, ZipkinParams):
        problem = _judge_zipkin(params)
    elif isinstance(params, OtlpParams):
        problem = _judge_address(params.address)
    if problem is None:
        return []
    return [finding(about, BAD_PARAMS, params_field(about, problem[0]), problem[1], problem[2])]


def _judge_stdio(params: StdioParams) -> _Problem | None:
    to_file = params.log_stream in ("FILE", "ROTATED_FILE")
    if to_file and not params.output_path:
        return "outputPath", f"{params.log_stream} needs a path", "it is taken below the folder mixer-logs"
    if to_file and ".." in params.output_path.split("/"):
        return "outputPath", "a path goes down only", "leave out .."
    if params.output_path and not to_file:
        return "outputPath", f"{params.log_stream} has no path", "say logStream: FILE or ROTATED_FILE"
    limits = {
        "maxMegabytesBeforeRotation": params.max_megabytes_before_rotation,
        "maxDaysBeforeRotation": params.max_days_before_rotation,
        "maxRotatedFiles": params.max_rotated_files,
    }
    negative = next((name for name, limit in limits.items() if limit < 0), "")
    return (negative, "must not be negative", "0 is no limit") if negative else None


def _judge_address(address: str) -> _Problem | None:
    return None if parse_host_port(address) else ("address", f"{address!r} is no address", "host:port")


def _judge_templates(params: Any) -> _Problem | None:
    """A name that cannot be made is no handler's: all its metrics would be in doubt."""
    for name, metric in params.metrics.items() if isinstance(params, StatsdParams) else ():
        try:
            parse_name_template(metric.name_template)
        except ValueError as error:
            at = f'metrics["{name}"].nameTemplate'
            return at, f"{metric.name_template!r}: {error}", "e.g. {{.method}}-{{.code}}"
    return None


def _judge_zipkin(params: ZipkinParams) -> _Problem | None:
    if not is_http_url(params.url):
        return "url", f"{params.url!r} is no URL", "http://zipkin.istio-system:9411/api/v2/spans"
    if urlsplit(params.url).path.rstrip("/").endswith("/api/v1/spans"):
        return "url", "spans are sent in Zipkin's second form", "end it in /api/v2/spans"
    if not 0 <= params.sample_probability <= 1:
        return "sampleProbability", f"{params.sample_probability:g} is no probability", "0 to 1"
    return None
