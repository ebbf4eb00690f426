"""What Telemetry objects make of metrics: the narrower and the later word wins, metric by metric, tag by tag."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.mesh_config import parse_mesh_config
from argosy.api.telemetry import METRIC_NAMES, Metrics, Side, Telemetry
from argosy.pilot.counted import STANDARD, Counted, counted_by, counting


def entries(*texts: str) -> tuple[Metrics, ...]:
    """From YAML, as it stands in objects."""
    listed = "".join(f"\n  - {text}" for text in texts)
    text = f"apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {{name: t}}\nspec:\n  metrics:{listed}"
    spec: Telemetry = decode_object(parse_documents(text)[0]).spec
    return spec.metrics


def test_without_a_word_everything_is_standard() -> None:
    assert counting([], "CLIENT") == STANDARD
    assert counting(entries("providers: [{name: prometheus}]"), "SERVER") == STANDARD
    assert STANDARD.of("istio_requests_total") == Counted()


def test_names_of_metrics_are_those_of_the_api() -> None:
    one = "overrides: [{match: {metric: REQUEST_COUNT}, disabled: true}]"
    assert counting(entries(one), "CLIENT").changed == (("istio_requests_total", Counted(disabled=True)),)


@pytest.mark.parametrize("match", ["", "match: {metric: ALL_METRICS}, ", "match: {mode: CLIENT}, "])
def test_all_metrics_can_be_disabled(match: str) -> None:
    found = counting(entries(f"overrides: [{{{match}disabled: true}}]"), "CLIENT")
    assert dict(found.changed) == dict.fromkeys(METRIC_NAMES.values(), Counted(disabled=True))


@pytest.mark.parametrize("side", ["CLIENT", "SERVER"])
def test_a_mode_means_one_side(side: Side) -> None:
    found = counting(entries("overrides: [{match: {mode: CLIENT}, disabled: true}]"), side)
    assert (found == STANDARD) is (side == "SERVER")


def test_later_entries_change_what_earlier_ones_said() -> None:
    wide = "overrides: [{disabled: true, tagOverrides: {a: {value: '1'}, b: {value: '2'}}}]"
    narrow = (
        "overrides: [{match: {metric: REQUEST_COUNT}, disabled: false, "
        "tagOverrides: {a: {operation: REMOVE}, c: {value: '3'}}}]"
    )
    found = counting(entries(wide, narrow), "CLIENT")
    assert found.of("istio_requests_total") == Counted(False, (("a", None), ("b", "2"), ("c", "3")))
    assert found.of("istio_request_bytes") == Counted(True, (("a", "1"), ("b", "2")))


@pytest.mark.parametrize("name, known", [("requests_total", True), ("istio_requests_total", True), ("mine", False)])
def test_a_custom_metric_is_a_standard_one_by_its_name(name: str, known: bool) -> None:
    found = counting(entries(f"overrides: [{{match: {{customMetric: {name}}}, disabled: true}}]"), "CLIENT")
    assert found.of("istio_requests_total").disabled is known


def test_metrics_for_another_provider_are_not_mixers() -> None:
    """What is said of another provider changes nothing here; if only that one is wanted, nothing is counted."""
    other = "{providers: [{name: stackdriver}], overrides: [{tagOverrides: {a: {value: '1'}}}]}"
    found = counting(entries(other), "CLIENT")
    assert all(counted.disabled for _, counted in found.changed)
    assert len(found.changed) == len(METRIC_NAMES)
    both = "providers: [{name: stackdriver}, {name: mine}]"
    assert counting(entries(other, both), "CLIENT", providers=frozenset({"mine"})) == STANDARD
    assert counting([], "CLIENT", default=("stackdriver",)).of("istio_requests_total").disabled


def test_what_is_said_of_a_provider_that_a_narrower_object_replaces_is_not_meant() -> None:
    mine = "providers: [{name: mine}], overrides: [{disabled: true}], reportingInterval: 9s"
    both = frozenset({"prometheus", "mine"})
    found = counting(entries(f"{{{mine}}}", "providers: [{name: prometheus}]"), "CLIENT", providers=both)
    assert found == STANDARD
    assert counting(entries(f"{{{mine}}}", "{}"), "CLIENT", providers=both).period_s == 9


def test_one_metric_comes_back_by_an_explicit_word_alone() -> None:
    """As Istio's reference has it: what is disabled above is enabled by `disabled: false`, and by nothing else."""
    off = "overrides: [{match: {metric: ALL_METRICS}, disabled: true}]"
    tagged = "overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {a: {value: '1'}}}]"
    back = "overrides: [{match: {metric: REQUEST_COUNT, mode: CLIENT}, disabled: false}]"
    assert counting(entries(off, tagged), "CLIENT").of("istio_requests_total") == Counted(True, (("a", "1"),))
    found = {side: counting(entries(off, tagged, back), side) for side in ("CLIENT", "SERVER")}
    assert found["CLIENT"].of("istio_requests_total") == Counted(False, (("a", "1"),))
    assert found["SERVER"].of("istio_requests_total").disabled
    assert found["CLIENT"].of("istio_request_bytes").disabled


def test_the_interval_is_kept() -> None:
    assert counting(entries("{reportingInterval: 15s}"), "SERVER").period_s == 15


def test_providers_of_the_mesh_configuration_are_known_by_their_names() -> None:
    config = parse_mesh_config(
        "extensionProviders: [{name: mine, prometheus: {}}]\ndefaultProviders: {metrics: [mine]}"
    )
    assert counted_by((), "CLIENT", config) == STANDARD
    elsewhere = parse_mesh_config("defaultProviders: {metrics: [elsewhere]}")
    assert counted_by((), "CLIENT", elsewhere).of("istio_requests_total").disabled
    shouted = entries("providers: [{name: MINE}]")
    assert counted_by(shouted, "CLIENT", config) == STANDARD
    assert counted_by(entries("providers: [{name: Prometheus}]"), "CLIENT", parse_mesh_config("")) == STANDARD


def test_attributes_that_attributegen_makes_are_written_out() -> None:
    one = "overrides: [{tagOverrides: {a: {value: made}, b: {value: nobodys}}, match: {metric: REQUEST_COUNT}}]"
    found = counting(entries(one), "CLIENT", made={"made": "(c) ? 'x' : 'unknown'"})
    assert found.of("istio_requests_total").tags == (("a", "(c) ? 'x' : 'unknown'"), ("b", "'unknown'"))
