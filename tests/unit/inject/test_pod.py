import pytest

from argosy.inject.pod import TrafficWishes, parse_traffic_annotations

P = "traffic.sidecar.istio.io/"


def test_without_annotations_everything_is_captured():
    assert parse_traffic_annotations({}) == (TrafficWishes(), ())


def test_ports_and_ranges_are_read():
    wishes, findings = parse_traffic_annotations(
        {
            P + "excludeInboundPorts": "7000, 7001",
            P + "excludeOutboundPorts": "3306",
            P + "includeOutboundPorts": "443",
            P + "includeInboundPorts": "8080",
            P + "includeOutboundIPRanges": "10.96.0.0/16,10.97.0.1",
            P + "excludeOutboundIPRanges": "10.0.0.0/8",
        }
    )
    assert not findings
    assert wishes == TrafficWishes(
        include_inbound=("8080",),
        exclude_inbound=(7000, 7001),
        include_outbound=(443,),
        exclude_outbound=(3306,),
        include_ranges=("10.96.0.0/16", "10.97.0.1/32"),
        exclude_ranges=("10.0.0.0/8",),
    )


def test_an_empty_list_means_none():
    wishes, _ = parse_traffic_annotations({P + "includeInboundPorts": "", P + "includeOutboundIPRanges": ""})
    assert (wishes.include_inbound, wishes.include_ranges) == ((), ())


@pytest.mark.parametrize(
    "name, text",
    [("excludeInboundPorts", "http"), ("excludeOutboundPorts", "70000"), ("excludeOutboundIPRanges", "10.0.0/99")],
)
def test_what_cannot_be_read_is_an_error_that_names_the_annotation(name, text):
    _, (finding,) = parse_traffic_annotations({P + name: text})
    assert name in finding.field
    assert text in finding.message
    assert finding.hint
