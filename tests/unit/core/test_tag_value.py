"""Expressions of metrics' tags: what becomes a format, what a question about a peer, and what is refused."""

import pytest

from argosy.core.tag_value import FormatValue, PeerValue, TagValueError, evaluated_parts, label_of, parse_tag_value


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("request.host", "%REQ(:AUTHORITY)%"),
        ("response.code", "%RESPONSE_CODE%"),
        ("string(destination.port)", "%CEL(destination.port)%"),
        (" string( response.code ) ", "%RESPONSE_CODE%"),
        ("'staging'", "staging"),
        ('"50% off"', "50%% off"),
        ("string(response.code / 100) + 'xx'", "%CEL(response.code / 100)%xx"),
        ("request.method + '-' + request.host", "%REQ(:METHOD)%-%REQ(:AUTHORITY)%"),
        ("1 + 1", "%CEL(1 + 1)%"),
        ("request.headers['a+b'] + 'x'", "%CEL(request.headers['a+b'])%x"),
        ("cluster_name", "%CEL(xds.cluster_name)%"),
        ("node.id + '!'", "%CEL(xds.node.id)%!"),
        ("request.headers['route_name']", "%CEL(request.headers['route_name'])%"),
        (
            "request.url_path.matches('^/reviews/[0-9]+$') ? 'GetReview' : 'other'",
            "%CEL(request.url_path.matches('^/reviews/[0-9]+$') ? 'GetReview' : 'other')%",
        ),
        ("request.path == 'upstream_peer' ? 'a' : 'b'", "%CEL(request.path == 'upstream_peer' ? 'a' : 'b')%"),
    ],
)
def test_what_the_proxy_knows_becomes_a_format(text: str, wanted: str) -> None:
    assert parse_tag_value(text) == FormatValue(wanted)


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("upstream_peer.labels['app'].value", PeerValue("upstream", "labels:app")),
        ('downstream_peer.labels["app.kubernetes.io/name"]', PeerValue("downstream", "labels:app.kubernetes.io/name")),
        ("upstream_peer.labels.app", PeerValue("upstream", "labels:app")),
        ("upstream_peer.namespace", PeerValue("upstream", "namespace")),
        (
            "has(upstream_peer.labels['x']) ? upstream_peer.labels['x'].value : 'none'",
            PeerValue("upstream", "labels:x", "none"),
        ),
    ],
)
def test_what_mixer_knows_is_asked_of_it(text: str, wanted: PeerValue) -> None:
    assert parse_tag_value(text) == wanted


@pytest.mark.parametrize(
    "text, reason",
    [
        ("upstream_peer.labels['a'].value == 'x' ? 'y' : 'z'", "stand alone"),
        ("upstream_peer.labels['a'].value + '!'", "stand alone"),
        ("has(upstream_peer.labels['a']) ? downstream_peer.labels['a'].value : 'z'", "stand alone"),
        ("upstream_peer.shoe_size", "nobody knows"),
        ("request.path == '/' ? string(response.code) : 'z'", "string()"),
        ("response.code % 2", "percent sign"),
    ],
)
def test_what_nobody_can_work_out_is_refused(text: str, reason: str) -> None:
    with pytest.raises(TagValueError, match=reason.replace("(", r"\(").replace(")", r"\)")):
        parse_tag_value(text)


def test_what_is_evaluated_stands_where_it_stood() -> None:
    text = "'a' +\nstring( response.code ) + request.host"
    assert evaluated_parts(text) == ["'a'", "     \n        response.code ", "     \n" + " " * 26 + "request.host"]
    assert evaluated_parts(" response.code > 1 ") == [" response.code > 1"]


def test_labels_have_letters_digits_and_underscores() -> None:
    assert [label_of(one) for one in ("request_host", "a-b c", "é", "1st", "")] == [
        "request_host",
        "a_b_c",
        "_",
        "_1st",
        "",
    ]


def test_labels_of_a_peer_are_asked_one_by_one() -> None:
    with pytest.raises(TagValueError, match=r"one by one: downstream_peer.labels\['app'\]"):
        parse_tag_value("has(downstream_peer.labels) ? downstream_peer.labels : 'none'")
