"""Prometheus text."""

from prometheus_client.parser import text_string_to_metric_families

from argosy.mixer.exposition import expose, expose_proxy
from argosy.mixer.metrics import MetricsAggregator
from argosy.mixer.telemetry import DURATION, REQUESTS, CounterSample, Flush, HistogramSample

from .mesh import DIRECTORY, node, tags


def text(flush: Flush) -> str:
    aggregator = MetricsAggregator(DIRECTORY)
    aggregator.receive(node("productpage-v1"), flush, 1)
    return b"".join(expose(aggregator, [("argosy_up", "gauge", "Up.", 1)])).decode()


def samples(flush: Flush) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text(flush)):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_counters_keep_istios_names_and_values() -> None:
    ((labels, value),) = samples(Flush([CounterSample(REQUESTS, tags(), 3)]))["istio_requests_total"]
    assert value == 3
    assert labels["destination_workload"] == "reviews-v2"


def test_odd_label_values_are_escaped() -> None:
    flush = Flush([CounterSample(REQUESTS, tags(service='a"b\\c\nd'), 1)])
    ((labels, _),) = samples(flush)["istio_requests_total"]
    assert labels["destination_service"] == 'a"b\\c\nd'


def test_histograms_have_cumulative_buckets_sum_and_count() -> None:
    found = samples(Flush([], [HistogramSample(DURATION, tags(), 3, 27, [0, 0, 1, 1, *[0] * 15, 1])]))
    buckets = {labels["le"]: value for labels, value in found[f"{DURATION}_bucket"]}
    assert (buckets["1"], buckets["5"], buckets["10"], buckets["3600000"], buckets["+Inf"]) == (0, 1, 2, 2, 3)
    assert found[f"{DURATION}_sum"][0][1] == 27
    assert found[f"{DURATION}_count"][0][1] == 3


def test_mixers_own_and_the_hosts_metrics_are_there() -> None:
    found = samples(Flush())
    assert found["mixer_nodes"] == [({}, 1)]
    assert found["argosy_up"] == [({}, 1)]
    for name in ("series", "label_sets", "series_overflowed_total", "series_expired_total", "workloads_over_budget"):
        assert f"mixer_{name}" in found


def test_counters_whose_names_have_no_ending_are_declared_as_they_are_called() -> None:
    own = [("citadel_server_csr_count", "counter", "Requests.", 2.0)]
    page = b"".join(expose(MetricsAggregator(DIRECTORY), own)).decode()
    lines = ("# HELP citadel_server_csr_count Requests.", "# TYPE citadel_server_csr_count counter")
    assert page.splitlines()[-3:] == [*lines, "citadel_server_csr_count 2.0"]


def test_one_proxys_page_has_its_own_series_and_nothing_of_mixers() -> None:
    aggregator = MetricsAggregator(DIRECTORY)
    for name, value in (("productpage-v1", 3.0), ("details-v1", 5.0)):
        aggregator.receive(node(name), Flush([CounterSample(REQUESTS, tags(), value)]), 1)
    page = expose_proxy(*aggregator.of_proxy(node("productpage-v1"))).decode()
    (family,) = text_string_to_metric_families(page)
    assert [(one.name, one.value) for one in family.samples] == [("istio_requests_total", 3.0)]
    assert expose_proxy({}, {}) == b""


def test_a_page_is_of_one_moment_whatever_is_counted_while_it_is_written() -> None:
    aggregator = MetricsAggregator(DIRECTORY)

    def flush(count: float) -> Flush:
        many = [tags(code=str(code)) for code in range(100, 160)]
        histograms = [HistogramSample(DURATION, one, count, count, [count, *[0] * 19]) for one in many]
        return Flush([CounterSample(REQUESTS, one, count) for one in many], histograms)

    aggregator.receive(node("productpage-v1"), flush(1), 1)
    pieces = expose(aggregator)
    first = next(pieces)
    aggregator.receive(node("productpage-v1"), flush(5), 2)
    page = b"".join([first, *pieces]).decode()
    values = {
        one.value
        for family in text_string_to_metric_families(page)
        if family.name.startswith("istio_")
        for one in family.samples
    }
    assert values == {1}
