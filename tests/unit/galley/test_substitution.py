"""Which `%COMMAND%`s in a header's value are accepted. That Envoy takes them is tried end to end."""

import pytest

from argosy.galley.validate.substitution import substitution_problem


@pytest.mark.parametrize(
    "value",
    [
        "",
        "plain",
        "100%%",
        "%PROTOCOL%",
        "a %REQ(x)% b %RESP(x-y):10%%%",
        "%REQ(:authority)%",
        "%REQ(a?b)%",
        "%%%%",
        "%START_TIME(%d.%m.%Y %H:%M)%",
        "%DOWNSTREAM_PEER_CERT_V_START(%s)% %PROTOCOL%",
        "%DYNAMIC_METADATA(orchard:pear):9%",
        '%UPSTREAM_METADATA(["orchard", "pear"])%',
        "%FILTER_STATE(pear:PLAIN)%",
        "%PER_REQUEST_STATE(pear)%",
    ],
)
def test_what_envoy_replaces_is_accepted(value: str) -> None:
    assert substitution_problem(value) == ""


@pytest.mark.parametrize(
    "value, problem",
    [
        ("100%", "a single '%' in a header's value"),
        ("%%%", "a single '%' in a header's value"),
        ("%FOO%", "unknown command %FOO%"),
        ("%protocol%", "unknown command %protocol%"),
        ("%FOO(x)%", "unknown command %FOO(...)%"),
        ("50 % of 100 %", "unknown command % of 100 %"),
        ("%REQ%", "%REQ% needs a header: %REQ(name)%"),
        ("%PROTOCOL(x)%", "%PROTOCOL% takes no argument here"),
        ("%REQ()%", "%REQ()% is not of the form %REQ(name)%"),
        ("%REQ(a?b?c)%", "%REQ(a?b?c)% is not of the form %REQ(name)%"),
        ("%REQ(a b)%", "%REQ(a b)% is not of the form %REQ(name)%"),
        ("%REQ(a%", "%REQ(a% is not of the form %REQ(name)%"),
        ("%REQ(a):x%", "%REQ(a):x% is not of the form %REQ(name)%"),
        ("%START_TIME(%Y):4%", "%START_TIME(%Y):4%: a time cannot be cut"),
        ("%DYNAMIC_METADATA()%", "%DYNAMIC_METADATA% needs an argument: %DYNAMIC_METADATA(namespace:key)%"),
        ("%FILTER_STATE(pear:ROUND)%", "%FILTER_STATE(pear:ROUND)% is not of the form %FILTER_STATE(key)%"),
        ("%FILTER_STATE%", "%FILTER_STATE% needs an argument: %FILTER_STATE(name)%"),
        ("%PROTOCOL:4%", "%PROTOCOL:4% is not of the form %PROTOCOL(argument):4%"),
        ("%REQ(a)10%", "%REQ(a)10% is not of the form %REQ(name)%"),
    ],
)
def test_what_envoy_refuses_is_refused_and_named(value: str, problem: str) -> None:
    """Envoy refused the whole route configuration of the gateway."""
    assert substitution_problem(value) == problem
