"""What proxies count: one tag that says everything, and what Mixer expects in it."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api.telemetry import METRIC_NAMES
from argosy.envoy import api
from argosy.mixer.telemetry import COUNTERS, HISTOGRAMS, OPEN_BYTES, take_apart
from argosy.pilot.build import report
from argosy.pilot.build.telemetry import destination_tags, source_tags, stats_loggers
from argosy.pilot.counted import STANDARD, Counted, Counting

REQUESTS = "istio_requests_total"


def made(tags: dict[str, str], counting: Counting = STANDARD) -> list[dict[str, Any]]:
    """The loggers as plain data."""
    return [api.to_dict(one) for one in stats_loggers(tags, counting)]


def counted(logger: dict[str, Any]) -> dict[str, dict[str, str]]:
    """What a logger counts: name -> what its tag says."""
    config = logger["typed_config"]
    stats = [one["stat"] for kind in ("counters", "gauges", "histograms") for one in config.get(kind, ())]
    return {
        stat["name"]: dict(take_apart(tuple((tag["name"], tag["value_format"]) for tag in stat["tags"])))
        for stat in stats
    }


def test_a_client_names_who_answered() -> None:
    tags = source_tags("http")
    assert (tags["reporter"], tags["protocol"]) == ("source", "http")
    assert tags["peer"].index("UPSTREAM_PEER_DNS_SAN") < tags["peer"].index("argosy:workload"), "proof, else metadata"
    assert "security" not in tags
    assert tags["cluster"] == "%UPSTREAM_CLUSTER_RAW%"
    refused = source_tags("http", refused=True)["cluster"]
    assert refused.index("UPSTREAM_CLUSTER_RAW") < refused.index("ROUTE:argosy:service")


def test_a_clusters_name_stands_last_and_says_which_service_it_is() -> None:
    """Whatever Telemetry objects add: the name may hold what parts all others."""
    more = Counting(((REQUESTS, Counted(tags=(("mine", "upstream_peer.namespace"), ("request_protocol", None)))),))
    (text,) = {
        tag["value_format"]
        for logger in made(source_tags("http"), more)[:1]
        for one in logger["typed_config"]["counters"]
        for tag in one["stat"]["tags"]
    }
    said = text.replace("%UPSTREAM_CLUSTER_RAW%", "outbound|80|v1|web.shop.svc.cluster.local")
    found = dict(take_apart((("call", said),)))
    assert found["service"] == "web.shop.svc.cluster.local"
    assert found["drop"] == "request_protocol"
    assert "cluster" not in found


def test_a_server_names_its_peer_by_certificate_or_by_address() -> None:
    proved, unknown = (destination_tags("tcp", service="s", mtls=mtls) for mtls in (True, False))
    assert (proved["security"], unknown["security"]) == ("mutual_tls", "none")
    assert "DNS_SAN" in proved["peer"]
    assert "peer" not in unknown
    assert "ADDRESS" in unknown["peer_ip"]
    assert "code" not in proved


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_everything_has_istios_names_and_one_tag(protocol: str) -> None:
    """Each further tag would cost the proxy more than all that stands in this one."""
    names = set()
    for logger in made(source_tags(protocol)):
        config = logger["typed_config"]
        for one in (*config.get("counters", ()), *config.get("histograms", ())):
            more = {"messages"} if "enable_eviction" in config["stats_scope"] else set()
            assert {tag["name"] for tag in one["stat"]["tags"]} == {"call", *more}
        names |= counted(logger).keys()
    tcp = {name for name in COUNTERS if name.startswith("istio_tcp_")}
    notes = {name for name in COUNTERS if name.startswith("istio_authorization_")}
    http = COUNTERS.keys() - tcp - notes - {REQUESTS} | HISTOGRAMS.keys()
    assert names == (http if protocol == "http" else tcp | OPEN_BYTES.keys())


def holds(condition: dict[str, Any], content_type: str) -> bool:
    """Whether a log filter on the content type holds, as Envoy does it."""
    ((kind, given),) = condition.items()
    if kind in ("and_filter", "or_filter"):
        return (all if kind == "and_filter" else any)(holds(one, content_type) for one in given["filters"])
    header = given["header"]
    assert (header["name"], header["treat_missing_header_as_empty"]) == ("content-type", True)
    ((how, text),) = header["string_match"].items()
    found = content_type == text if how == "exact" else content_type.startswith(text)
    return found is not header.get("invert_match", False)


def test_a_request_is_counted_by_one_logger_as_http_or_as_grpc() -> None:
    quick, plain, bodies, grpc, *messages = made(source_tags("http"))
    (took, no_grpc), (_slow, same) = (one["filter"]["and_filter"]["filters"] for one in (quick, plain))
    assert "duration_filter" in took
    assert no_grpc == same
    for content_type, wanted in {
        "": False,
        "text/html": False,
        "application/grpc": True,
        "application/grpc+proto": True,
        "application/grpc-web": False,
        "application/grpc-web+proto": False,
    }.items():
        assert holds(grpc["filter"], content_type) is wanted
        assert holds(no_grpc, content_type) is not wanted
    assert bodies["filter"]["and_filter"]["filters"][1] == no_grpc
    assert counted(plain)["istio_response_bytes"]["protocol"] == "http"
    found = counted(grpc)["istio_request_bytes"]
    assert (found["protocol"], found["grpc"]) == ("grpc", "%GRPC_STATUS_NUMBER%")
    assert "grpc" not in counted(plain)["istio_response_bytes"]
    assert [set(counted(one)) for one in messages] == [
        {"istio_request_messages_total", "istio_response_messages_total"}
    ] * 2


def test_where_no_grpc_succeeds_nothing_asks_for_it() -> None:
    quick, plain, bodies = (api.to_dict(one) for one in stats_loggers(source_tags("http"), grpc=False))
    assert set(quick["filter"]) == set(plain["filter"]) == {"duration_filter"}
    assert set(counted(quick)) == {"istio_response_bytes"}
    assert set(counted(plain)) == HISTOGRAMS.keys() - {"istio_request_bytes"}
    assert set(counted(bodies)) == {"istio_request_bytes"}


def test_quick_requests_are_in_one_histogram_that_says_how_long_they_took() -> None:
    """Each request is counted by one of two loggers, whose conditions leave no millisecond out and none twice."""
    quick, slow, _bodies = (api.to_dict(one) for one in stats_loggers(source_tags("http"), grpc=False))
    compared = [one["filter"]["duration_filter"]["comparison"] for one in (quick, slow)]
    below, above = (one["value"]["default_value"] for one in compared)
    assert [one.get("op", "EQ") for one in compared] == ["LE", "GE"]
    assert above == below + 1
    answers, again = (counted(one)["istio_response_bytes"] for one in (quick, slow))
    assert answers == {**again, "ms": "%DURATION%"}


@pytest.mark.parametrize(
    "changed", [Counted(disabled=True), Counted(tags=(("mine", "'x'"),)), Counted(tags=(("request_protocol", None),))]
)
def test_where_durations_are_told_otherwise_they_are_counted_by_themselves(changed: Counted) -> None:
    for name in ("istio_request_duration_milliseconds", "istio_response_bytes"):
        loggers = stats_loggers(source_tags("http"), Counting(((name, changed),)), grpc=False)
        said = [(metric, tags) for one in loggers for metric, tags in counted(api.to_dict(one)).items()]
        assert not [metric for metric, tags in said if "ms" in tags]
        both = {"istio_request_duration_milliseconds", "istio_response_bytes"}
        assert both & {metric for metric, _ in said} == (both - {name} if changed.disabled else both)


def test_a_get_that_says_nothing_of_a_body_is_not_in_the_histogram_of_request_sizes() -> None:
    _quick, plain, bodies = (api.to_dict(one) for one in stats_loggers(source_tags("http"), grpc=False))
    conditions = [one["header_filter"]["header"] for one in bodies["filter"]["or_filter"]["filters"]]
    assert [(one["name"], "present_match" in one, one.get("invert_match", False)) for one in conditions] == [
        (":method", False, True),
        ("content-length", True, False),
        ("transfer-encoding", True, False),
        ("upgrade", True, False),
    ]
    assert counted(plain)["istio_response_bytes"]["bodies"] == "all"
    assert counted(bodies)["istio_request_bytes"]["bodies"] == "some"
    assert "bodies" not in counted(plain)["istio_request_duration_milliseconds"]


@pytest.mark.parametrize("tag", ["'x'", "request.host"])
def test_where_series_may_find_no_room_or_differ_all_requests_are_in_it(tag: str) -> None:
    """What is missing in one histogram would look like requests without a body."""
    tagged = Counted(tags=(("mine", tag),))
    both = Counting((("istio_request_bytes", tagged), ("istio_response_bytes", tagged)))
    one = Counting((("istio_request_bytes", tagged),))
    for counting, apart in ((both, tag == "'x'"), (one, False), (STANDARD, True)):
        loggers = [api.to_dict(each) for each in stats_loggers(source_tags("http"), counting, grpc=False)]
        said = [tags for logger in loggers for tags in counted(logger).values()]
        assert any("bodies" in tags for tags in said) is apart


def test_the_histogram_of_answers_sizes_counts_the_requests() -> None:
    """A statistic less for each request. Where the two are told apart, each is for itself."""

    def found(*changed: tuple[str, Counted]) -> dict[str, str]:
        loggers = made(source_tags("http"), Counting(changed))
        plain = {name: tags for logger in loggers for name, tags in counted(logger).items()}
        return {name: plain[name].get("counts", "") for name in (REQUESTS, "istio_response_bytes") if name in plain}

    tagged, off = Counted(tags=(("mine", "'x'"),)), Counted(disabled=True)
    assert found() == {"istio_response_bytes": REQUESTS}
    assert found((REQUESTS, tagged), ("istio_response_bytes", tagged)) == {"istio_response_bytes": REQUESTS}
    assert found((REQUESTS, tagged)) == {REQUESTS: "", "istio_response_bytes": ""}
    assert found(("istio_response_bytes", off)) == {REQUESTS: ""}
    assert found((REQUESTS, off)) == {"istio_response_bytes": ""}
    assert found((REQUESTS, off), ("istio_response_bytes", off)) == {}


def test_every_tcp_logger_says_of_what_it_wants_to_hear() -> None:
    """Byte counts are cumulative: whoever heard of each event would count them again and again."""
    for logger in stats_loggers(source_tags("tcp")):
        assert report.at_end(logger) is logger


def test_open_connections_are_forgotten_before_their_bytes_are_counted() -> None:
    """So that nobody finds them in both; and only those are forgotten that may have reported."""
    loggers = made(destination_tags("tcp", service="s", mtls=True))
    names = [set(counted(one)) for one in loggers]
    (end,) = [at for at, found in enumerate(names) if "istio_tcp_connections_closed_total" in found]
    zero = max(at for at, found in enumerate(names) if "istio_tcp_open_sent_bytes" in found)
    assert zero < end
    (lived,) = [one for one in loggers[zero]["filter"]["and_filter"]["filters"] if "duration_filter" in one]
    assert lived["duration_filter"]["comparison"]["value"]["default_value"] == report.TCP_PERIOD_S * 1000
    assert all("conn" in dict(tags) for tags in counted(loggers[zero]).values())


def test_bytes_are_told_before_the_end_is_known_so_they_carry_no_flags() -> None:
    loggers = made(source_tags("tcp"))
    found = {name: tags for one in loggers for name, tags in counted(one).items()}
    assert found["istio_tcp_sent_bytes_total"]["flags"] == "-"
    assert found["istio_tcp_connections_closed_total"]["flags"] == "%RESPONSE_FLAGS%"
    refused = made({**destination_tags("tcp", service="s", mtls=False), "flags": "PLAINTEXT_REFUSED"})
    found = {name: tags for one in refused for name, tags in counted(one).items()}
    assert found["istio_tcp_sent_bytes_total"]["flags"] == "PLAINTEXT_REFUSED"


def test_all_loggers_share_their_series_and_are_bounded() -> None:
    """Series outlive the filter chains that made them; else the last counts of a replaced chain would be lost."""
    scopes = {
        str(one["typed_config"]["stats_scope"])
        for protocol in ("http", "tcp")
        for tags in (source_tags(protocol), destination_tags(protocol, service="s", mtls=True))
        for one in made(tags)
    }
    assert len(scopes) == 2
    assert all("sharing_name" in scope and "max_" in scope for scope in scopes)


def names(counting: Counting, protocol: str = "http") -> set[str]:
    """What is counted."""
    return {name for logger in stats_loggers(source_tags(protocol), counting) for name in counted(api.to_dict(logger))}


@pytest.mark.parametrize("protocol", ["http", "tcp"])
def test_without_any_metric_there_is_no_logger(protocol: str) -> None:
    nothing = Counting(tuple((name, Counted(disabled=True)) for name in METRIC_NAMES.values()))
    assert stats_loggers(source_tags(protocol), nothing) == []


def test_a_disabled_metric_is_left_out_alone() -> None:
    standard = names(Counting())
    assert names(Counting(((REQUESTS, Counted(disabled=True)),))) == standard - {REQUESTS}
    tcp = Counting((("istio_tcp_sent_bytes_total", Counted(disabled=True)),))
    assert names(Counting(), "tcp") - names(tcp, "tcp") == {"istio_tcp_sent_bytes_total", "istio_tcp_open_sent_bytes"}


def of_requests(tagged: Counting) -> dict[str, dict[str, str]]:
    """The statistics of requests, by the scope that bounds them: what their tags say."""
    return {
        config["stats_scope"]["sharing_name"]: {tag["name"]: tag["value_format"] for tag in one["stat"]["tags"]}
        for config in (one["typed_config"] for one in made(source_tags("http"), tagged)[:2])
        for one in config.get("counters", ())
        if one["stat"]["name"] == REQUESTS
    }


def test_tags_are_changed_for_the_metric_that_was_named() -> None:
    tagged = Counting(((REQUESTS, Counted(tags=(("request_host", "request.host"), ("source_app", None)))),))
    chosen = of_requests(tagged)["istio-chosen"]
    assert chosen["request_host"] == "%REQ(:AUTHORITY)%"
    assert "|drop=source_app|" in chosen["call"]
    stats = {name: each for logger in made(source_tags("http"), tagged) for name, each in counted(logger).items()}
    assert "drop" not in stats["istio_request_bytes"]


def test_what_clients_choose_has_a_scope_of_its_own_and_all_of_it_is_counted_beside() -> None:
    tags = (("operation", "'read'"), ("request_host", "request.host"), ("user", "request.headers['x-user']"))
    found = of_requests(Counting(((REQUESTS, Counted(tags=tags)),)))
    chosen, whole = found["istio-chosen"], found["istio"]
    assert whole == {"call": chosen["call"], "operation": "read", "rest": "request_host,user"}


def test_what_nobody_chooses_is_counted_once() -> None:
    found = of_requests(Counting(((REQUESTS, Counted(tags=(("operation", "'read'"),))),)))
    assert found.keys() == {"istio"}
    assert found["istio"].keys() == {"call", "operation"}


def test_connections_report_as_often_as_was_asked_for() -> None:
    conditions = [api.to_dict(one)["filter"] for one in stats_loggers(source_tags("tcp"), Counting(period_s=15))]
    (lived,) = [
        one["duration_filter"]["comparison"]["value"]["default_value"]
        for condition in conditions
        for one in condition.get("and_filter", {}).get("filters", ())
        if "duration_filter" in one
    ]
    assert lived == 15_000


TCP_TAGGED = Counting((("istio_tcp_sent_bytes_total", Counted(tags=(("sni", "connection.requested_server_name"),))),))


def tcp_bytes(counting: Counting) -> list[tuple[str, str, str, dict[str, str]]]:
    """When, in which scope and with which value bytes that were sent are counted, and what the tags say."""
    found = []
    for logger in stats_loggers(source_tags("tcp"), counting):
        one = api.to_dict(logger)
        config, at = one["typed_config"], one["filter"]
        for stat in config.get("counters", ()):
            if stat["stat"]["name"] == "istio_tcp_sent_bytes_total":
                tags = {tag["name"]: tag["value_format"] for tag in stat["stat"]["tags"]}
                when = at["log_type_filter"]["types"][0]
                found.append((when, config["stats_scope"]["sharing_name"], stat["value_format"], tags))
    return found


def test_bytes_of_connections_with_tags_that_clients_choose_are_counted_beside_too() -> None:
    found = tcp_bytes(TCP_TAGGED)
    assert [one[:3] for one in found] == [
        ("TcpPeriodic", "istio-chosen", "%RESPONSE_CODE%"),
        ("TcpPeriodic", "istio", "%RESPONSE_CODE%"),
        ("TcpConnectionEnd", "istio-chosen", "%BYTES_SENT%"),
        ("TcpConnectionEnd", "istio", "%BYTES_SENT%"),
    ]
    chosen, whole = found[2][3], found[3][3]
    assert chosen.keys() == {"call", "sni"}
    assert whole == {"call": chosen["call"], "rest": "sni"}
    assert (found[0][3], found[1][3]) == (chosen, whole)
    names = [list(counted(one)) for one in made(source_tags("tcp"), TCP_TAGGED)]
    assert names.index(["istio_tcp_sent_bytes_total"]) < min(
        at for at, found in enumerate(names) if "istio_tcp_open_sent_bytes" in found
    )


def test_bytes_of_connections_without_such_tags_are_counted_once() -> None:
    assert [one[:2] for one in tcp_bytes(Counting())] == [("TcpConnectionEnd", "istio")]
