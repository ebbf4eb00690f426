"""The expression language: values, types, missing attributes, and what may match with only the destination known."""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.expr import EvaluationError, MissingAttribute, compile_expression, may_match
from argosy.mixer.syntax import ExpressionError

BAG: Attributes = {
    "source.labels": {"app": "reviews", "version": "v3"},
    "source.namespace": "default",
    "source.principal": "cluster.local/ns/default/sa/bookinfo-reviews",
    "source.ip": ip_address("10.57.1.2"),
    "destination.labels": {"app": "ratings"},
    "destination.service.host": "ratings.default.svc.cluster.local",
    "request.headers": {"x-user": "john", "cookie": "session=abc; user=john"},
    "request.path": "/ratings/7",
    "request.size": 200,
    "request.time": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    "connection.mtls": True,
    "context.reporter.kind": "inbound",
}

VALUES = [
    ("true", True),
    ("false", False),
    ('"a"', "a"),
    ("`a\\b`", "a\\b"),
    ("'single'", "single"),
    ('"tab\\tquote\\""', 'tab\tquote"'),
    ("42", 42),
    ("-1", -1),
    ("1.5", 1.5),
    ("source.namespace", "default"),
    ("request.size", 200),
    ('source.namespace == "default"', True),
    ('source.namespace != "default"', False),
    ('"default" == source.namespace', True),
    ('source.labels["app"]', "reviews"),
    ('source.labels["app"] == "reviews"', True),
    ('source.labels["app"] == "reviews" && source.labels["version"] == "v3"', True),
    ('source.labels["app"] == "reviews" && source.labels["version"] == "v2"', False),
    ('source.labels["version"] == "v2" || source.labels["version"] == "v3"', True),
    ('source.labels["version"] == "v2" || false', False),
    ('destination.labels["app"]=="ratings" && source.labels["app"]=="reviews" && source.labels["version"]=="v3"', True),
    ('source.labels["nope"] | "none"', "none"),
    ('source.labels["app"] | "none"', "reviews"),
    ('source.name | source.labels["nope"] | source.namespace | "x"', "default"),
    ("request.total_size | request.size | 0", 200),
    ("request.total_size | 7", 7),
    ('(source.labels["istio"] | "") == "ingressgateway"', False),
    ('source.labels["istio"] | "" == "ingressgateway"', False),
    ('source.labels["istio"] | "x" == "x"', True),
    ('(request.headers["x-user"] | "") == "john"', True),
    ('(request.auth.principal | "nobody") == "user1"', False),
    ('request.auth.claims["iss"] | "none"', "none"),
    ('(request.auth.claims | emptyStringMap())["iss"] | "none"', "none"),
    ("request.size > 100", True),
    ("request.size >= 200", True),
    ("request.size < 200", False),
    ("request.size <= 199", False),
    ("request.size + 1", 201),
    ("request.size + 1 == 201", True),
    ('"a" + "b"', "ab"),
    ('source.namespace + "/" + source.labels["app"]', "default/reviews"),
    ('source.namespace < "e"', True),
    ('match(destination.service.host, "ratings.*")', True),
    ('match(destination.service.host, "*.cluster.local")', True),
    ('match(destination.service.host, "ratings")', False),
    ('match(request.headers["cookie"], "session=*")', True),
    ('match(request.headers["cookie"], "session=*") == false', False),
    ('"^/ratings/[0-9]+$".matches(request.path)', True),
    ('"^/reviews".matches(request.path)', False),
    ('"ting".matches(request.path)', True),
    ('request.path.startsWith("/ratings")', True),
    ('request.path.endsWith("/8")', False),
    ('source.labels["app"].startsWith("rev")', True),
    ('(source.name | "pod-1").endsWith("-1")', True),
    ('toLower("ABC")', "abc"),
    ("size(source.namespace)", 7),
    ('source.ip == ip("10.57.1.2")', True),
    ('source.ip != ip("10.57.1.3")', True),
    ('origin.ip | ip("0.0.0.0")', ip_address("0.0.0.0")),
    ('ip("::1") == ip("0:0:0:0:0:0:0:1")', True),
    ('request.time == timestamp("2026-01-02T03:04:05Z")', True),
    ('request.time < timestamp("2026-01-02T04:04:05+00:30")', True),
    ('dnsName("Ratings.Default.") == dnsName("ratings.default")', True),
    ('email("a@EXAMPLE.com") == email("a@example.com")', True),
    ('email("A@example.com") == email("a@example.com")', False),
    ('uri("HTTP://Example.com/a") == uri("http://example.com/a")', True),
    ("connection.mtls", True),
    ("connection.mtls | false", True),
    ('conditional(connection.mtls | false, "mutual_tls", "none")', "mutual_tls"),
    ('conditional((context.reporter.kind | "inbound") == "outbound", "client", "server")', "server"),
    ('conditionalString(request.size > 1, "big", "small")', "big"),
    ('conditional(true, "yes", source.name)', "yes"),
    ('true || source.name == "x"', True),
    ('false && source.name == "x"', False),
    ("((true))", True),
    ("1 == 1 && 2 == 2 || false", True),
    ("false && false || true", True),
]

BAD = [
    ("", "found 'the end'"),
    ("source.", "expected a name after '.'"),
    ("source.lables", "did you mean source.labels"),
    ("nonsense", "unknown attribute nonsense"),
    ("source.labels[1]", "needs STRING, found INT64"),
    ('source.namespace["x"]', "needs STRING_MAP, found STRING"),
    ('request.size | "200"', "differ: INT64 and STRING"),
    ('request.size == "200"', "differ"),
    ("source.labels == source.labels", "not defined for STRING_MAP"),
    ("true < false", "not defined for BOOL"),
    ("true + true", "not defined for BOOL"),
    ('"a" && true', "needs BOOL"),
    ("true &&", "found 'the end'"),
    ("(true", "expected ')'"),
    ('source.labels["app"', "expected ']'"),
    ("true true", "unexpected 'true'"),
    ("!true", "there is no negation: write `== false`"),
    ("a ? b : c", "unexpected '?'"),
    ('"open', "string is not closed"),
    ('"\\q"', "unknown escape"),
    ("1.2.3", "is not a number"),
    ('foo("x")', "unknown function foo"),
    ('Match("a", "b")', "did you mean match"),
    ('match("a")', "takes 2 operands, not 1"),
    ('startsWith("a", "b")', "write value.startsWith(...)"),
    ('request.path.match("a")', "write match(...)"),
    ('"a".5', "expected a method's name"),
    ('"(a".matches(request.path)', "bad regular expression"),
    ('"' + "a" * 1025 + '".matches(request.path)', "longer than 1024"),
    ('ip("10.0.0.300")', "does not appear to be"),
    ('timestamp("yesterday")', "Invalid isoformat"),
    ('timestamp("2026-01-02T03:04:05")', "no time zone"),
    ('email("nobody")', "not an e-mail"),
    ('uri("/path")', "not a URI"),
    ('conditional(true, "a")', "takes 3 arguments"),
    ('conditional("a", "a", "b")', "must be BOOL"),
    ('conditional(true, "a", 1)', "same type"),
    ("(" * 100 + "true" + ")" * 100, "nested too deeply"),
    ("true" + " " * 5000, "longer than 4096"),
]


@pytest.mark.parametrize("text, value", VALUES, ids=[text for text, _ in VALUES])
def test_expression_has_the_value(text: str, value: object) -> None:
    assert compile_expression(text).evaluate(BAG) == value


@pytest.mark.parametrize("text, reason", BAD, ids=[text[:30] for text, _ in BAD])
def test_expression_is_refused_when_loaded(text: str, reason: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text)
    assert reason in str(caught.value)
    assert caught.value.column >= 1


@pytest.mark.parametrize(
    "text",
    ["source.name", 'source.labels["nope"]', 'source.labels["nope"] == "x"', 'true && source.name == "x"',
     'source.name == "x" || true', 'match(source.name, "x")', 'source.name | source.owner'],
)  # fmt: skip
def test_a_missing_attribute_fails_the_evaluation(text: str) -> None:
    with pytest.raises(MissingAttribute):
        compile_expression(text).evaluate(BAG)


def test_a_value_that_cannot_be_computed_fails_the_evaluation() -> None:
    with pytest.raises(EvaluationError):
        compile_expression('ip(request.headers["x-user"]) == source.ip').evaluate(BAG)


def test_the_wanted_type_is_checked() -> None:
    with pytest.raises(ExpressionError, match="must be BOOL, is STRING"):
        compile_expression("source.namespace", expect=ValueType.BOOL)


KNOWN: Attributes = {"destination.labels": {"app": "ratings", "version": "v1"}, "destination.namespace": "default"}
MAY = [
    ('destination.labels["app"] == "ratings"', True),
    ('destination.labels["app"] == "reviews"', False),
    ('destination.labels["tier"] == "db"', False),
    ('(destination.labels["tier"] | "db") == "db"', True),
    ('destination.labels["app"] == "ratings" && source.labels["version"] == "v3"', True),
    ('source.labels["version"] == "v3" && destination.labels["app"] == "reviews"', False),
    ('source.labels["version"] == "v3" && destination.labels["tier"] == "db"', False),
    ('source.labels["version"] == "v3" || destination.labels["app"] == "reviews"', True),
    ('destination.labels["app"] == "reviews" || destination.namespace == "prod"', False),
    ('(request.headers["x-user"] | "") == "john"', True),
    ('(source.labels["app"] == "x" && destination.labels["tier"] == "db") == false', True),
    ('((source.labels["app"] == "x" && destination.labels["tier"] == "db") | true)', True),
    ('conditional(source.namespace == "a", destination.namespace == "x", false)', True),
    ('conditional(destination.namespace == "prod", true, false)', False),
    ('destination.service.host == "a"', True),
    ("true", True),
    ("false", False),
    ("false && connection.mtls", False),
]


@pytest.mark.parametrize("text, expected", MAY, ids=[text for text, _ in MAY])
def test_may_match_with_only_the_destination_known(text: str, expected: bool) -> None:
    def is_known(name: str) -> bool:
        return name in ("destination.labels", "destination.namespace")

    assert may_match(compile_expression(text), KNOWN, is_known) is expected


_ATOMS = st.sampled_from(
    ['source.labels["a"] == "1"', 'destination.labels["a"] == "1"', 'destination.labels["b"] == "1"',
     '(source.labels["a"] | "1") == "1"', '(destination.labels["b"] | "1") == "1"', "connection.mtls", "true", "false"]
)  # fmt: skip
_TREES = st.recursive(
    _ATOMS,
    lambda inner: st.tuples(inner, st.sampled_from(["&&", "||", "==", "|"]), inner).map(
        lambda t: f"(({t[0]}) {t[1]} ({t[2]}))"
    ),
    max_leaves=8,
)
_MAPS = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"]))


@given(text=_TREES, source=_MAPS, destination=_MAPS, mtls=st.sampled_from([None, True, False]))
def test_may_match_never_denies_what_a_full_evaluation_matches(
    text: str, source: Mapping[str, str], destination: Mapping[str, str], mtls: bool | None
) -> None:
    expression = compile_expression(text, expect=ValueType.BOOL)
    known: Attributes = {"destination.labels": destination}
    bag = {"source.labels": source, **known, **({} if mtls is None else {"connection.mtls": mtls})}
    try:
        holds = expression.holds(bag)
    except EvaluationError:
        holds = False
    assert not holds or may_match(expression, known, lambda name: name == "destination.labels")
