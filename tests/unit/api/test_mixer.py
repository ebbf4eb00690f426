"""Mixer's objects: one normal form for all the ways to write them."""

from typing import Any

import pytest

from argosy.api import decode_objects, parse_documents
from argosy.api.meta import Object
from argosy.api.mixer import HANDLER_KINDS, INSTANCE_KINDS, Handler, QuotaSpecBinding, Rule
from argosy.api.mixer_adapters import (
    ADAPTERS,
    REFUSED_ADAPTERS,
    DenierParams,
    ListCheckerParams,
    MemQuota,
    MemQuotaOverride,
    MemQuotaParams,
    PrometheusParams,
    Status,
    StdioParams,
)
from argosy.api.mixer_templates import TEMPLATES, CheckNothing, ListEntry, LogEntry, Metric, Quota
from argosy.core.errors import ArgosyError
from argosy.core.frozen import FrozenMap


def decoded(kind: str, spec: str) -> Object[Any]:
    text = f"apiVersion: config.istio.io/v1alpha2\nkind: {kind}\nmetadata: {{name: x}}\nspec: {spec}\n"
    (found,) = decode_objects(parse_documents(text, "mixer.yaml"))
    return found


def refused(kind: str, spec: str) -> list[tuple[str, str]]:
    with pytest.raises(ArgosyError) as caught:
        decoded(kind, spec)
    return [(one.code, one.field) for one in caught.value.findings]


def test_a_handlers_parameters_have_the_type_of_its_adapter() -> None:
    spec = decoded("handler", "{compiledAdapter: denier, params: {status: {code: 7, message: Not allowed}}}").spec
    assert isinstance(spec, Handler)
    assert spec.params == DenierParams(status=Status(code=7, message="Not allowed"))


def test_the_older_kinds_mean_the_same() -> None:
    new = decoded("handler", "{compiledAdapter: listchecker, params: {overrides: [a], entryType: REGEX}}").spec
    old = decoded("listchecker", "{overrides: [a], entry_type: REGEX}").spec
    assert old == new
    assert new.params == ListCheckerParams(overrides=("a",), entry_type="REGEX")
    new = decoded("instance", "{compiledTemplate: listentry, params: {value: source.ip}}").spec
    old = decoded("listentry", "{value: source.ip}").spec
    assert old == new
    assert new.params == ListEntry(value="source.ip")


@pytest.mark.parametrize("level", ["9", "true", "1.0", "[]", '"1"', "warn", "-1"])
def test_a_level_that_is_none_is_told_with_those_there_are(level: str) -> None:
    with pytest.raises(ArgosyError) as caught:
        decoded("stdio", f"{{severity_levels: {{warning: {level}}}}}")
    (found,) = caught.value.findings
    assert (found.code, found.field) == ("ARG0014", "spec.severity_levels.warning")
    assert "1" in found.hint or "WARNING" in found.hint


def test_nothing_is_as_good_as_empty() -> None:
    assert decoded("checknothing", "").spec.params == CheckNothing()
    assert decoded("handler", "{compiledAdapter: noop, params: null}").spec.params == ADAPTERS["noop"]()
    assert decoded("adapter", "{description: , session_based: false, templates: [keyval]}").spec.templates == (
        "keyval",
    )


def test_fields_are_read_in_both_spellings_at_every_depth() -> None:
    text = "{quotas: [{name: q, max_amount: 5, validDuration: 1s, overrides: [{maxAmount: 2, valid_duration: 5s}]}]}"
    quota = MemQuota(
        name="q", max_amount=5, valid_duration=1.0, overrides=(MemQuotaOverride(max_amount=2, valid_duration=5.0),)
    )  # type: ignore[arg-type]
    assert decoded("memquota", text).spec.params == MemQuotaParams(quotas=(quota,))
    assert decoded("stdio", "{severity_levels: {warning: 1}, outputAsJson: true}").spec.params == StdioParams(
        severity_levels=FrozenMap({"warning": 1}), output_as_json=True
    )
    metric = decoded("prometheus", "{metrics: [{instance_name: m.metric.x, label_names: [a]}]}").spec.params
    assert isinstance(metric, PrometheusParams)
    assert (metric.metrics[0].namespace, metric.metrics[0].label_names) == ("istio", ("a",))


@pytest.mark.parametrize(
    "kind, spec, found",
    [
        ("handler", "{compiledAdapter: denier, params: {statsu: {}}}", [("ARG0010", "spec.params.statsu")]),
        ("denier", "{valid_duration: soon}", [("ARG0016", "spec.valid_duration")]),
        ("memquota", "{quotas: [{max_amount: 1}]}", [("ARG0013", "spec.quotas[0].name")]),
        ("memquota", "{quotas: [{name: q, maxAmount: 1, max_amount: 1}]}", [("ARG0010", "spec.quotas[0].max_amount")]),
        ("metric", "{value: 2}", [("ARG0012", "spec.value")]),
        ("instance", "{compiledTemplate: quota, params: {dims: {}}}", [("ARG0010", "spec.params.dims")]),
        ("rule", "{actions: [{handler: x, instance: y}]}", [("ARG0010", "spec.actions[0].instance")]),
        (
            "rule", "{requestHeaderOperations: [{name: x, operation: SET}]}",
            [("ARG0014", "spec.requestHeaderOperations[0].operation")],
        ),
        ("attributemanifest", "{attributes: {a: {valueType: TEXT}}}", [("ARG0014", "spec.attributes.a.valueType")]),
        ("stackdriver", "{}", [("ARG0015", "kind")]),
        ("rbac", "{}", [("ARG0015", "kind")]),
        ("QuotaSpec", "{rules: [{quotas: [{charge: 1}]}]}", [("ARG0013", "spec.rules[0].quotas[0].quota")]),
    ],
)  # fmt: skip
def test_faults_are_named_with_code_and_place(kind: str, spec: str, found: list[tuple[str, str]]) -> None:
    assert refused(kind, spec) == found


def test_what_runs_elsewhere_keeps_its_parameters_as_they_are() -> None:
    spec = decoded("handler", "{adapter: keyval, connection: {address: 'k:1'}, params: {table: {jason: admin}}}").spec
    assert (spec.adapter, spec.connection.address, spec.params["table"]["jason"]) == ("keyval", "k:1", "admin")
    spec = decoded("instance", "{template: keyval, params: {key: source.name}}").spec
    assert (spec.template_name, spec.params["key"]) == ("keyval", "source.name")
    assert isinstance(decoded("instance", "{template: metric, params: {value: '1'}}").spec.params, Metric)


def test_rules_and_bindings_are_whole() -> None:
    rule = decoded(
        "rule",
        "{match: 'true', actions: [{handler: h, instances: [i], name: x}], sampling: {random: {percentSampled: "
        "{numerator: 5}}}, responseHeaderOperations: [{name: a, values: [x.output.value], operation: APPEND}]}",
    ).spec
    assert isinstance(rule, Rule)
    assert rule.sampling is not None and rule.sampling.random is not None  # noqa: PT018
    assert rule.sampling.random.percent_sampled.numerator == 5
    assert rule.response_header_operations[0].operation == "APPEND"
    binding = decoded("QuotaSpecBinding", "{services: [{service: '*'}], quotaSpecs: [{name: q}]}").spec
    assert isinstance(binding, QuotaSpecBinding)
    assert binding.services[0].service == "*"


def test_every_adapter_and_template_is_a_kind_and_none_is_refused_too() -> None:
    assert set(HANDLER_KINDS) == {"handler", *ADAPTERS}
    assert set(INSTANCE_KINDS) == {"instance", *TEMPLATES}
    assert not set(ADAPTERS) & set(REFUSED_ADAPTERS)
    assert {type(one()) for one in (CheckNothing, Quota, LogEntry)} <= set(TEMPLATES.values())
