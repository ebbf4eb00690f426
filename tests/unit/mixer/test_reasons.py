"""Why a request ended as it did, in words."""

from dataclasses import replace

import pytest

from argosy.core.frozen import FrozenMap
from argosy.edge.access_log_server import FLAGS
from argosy.mixer.access_record import AccessRecord, Direction, HTTPPart
from argosy.mixer.reasons import FLAG_WORDS, Refusal, refusal, sentences
from argosy.mixer.telemetry import Node

RECORD = AccessRecord(node=Node("", "shop", "cart-1"), direction=Direction.INBOUND, start=0.0, http=HTTPPart())


def record(details: str, *flags: str, **headers: str) -> AccessRecord:
    answered = FrozenMap({name.replace("_", "-"): text for name, text in headers.items()})
    return replace(RECORD, http=HTTPPart(details=details, response_headers=answered), flags=flags)


def test_every_flag_has_words() -> None:
    assert FLAG_WORDS.keys() == set(FLAGS.values())


@pytest.mark.parametrize(
    ("given", "who", "words"),
    [
        (record("via_upstream"), None, []),
        (record(""), None, []),
        (record("no_healthy_upstream", "UH"), None, ["UH: no healthy upstream"]),
        (record("x", "NEW"), None, ["NEW"]),
        (record("direct_response"), None, ["the route answers by itself"]),
        (record("some_new_detail{a}"), None, ["some new detail{a}"]),
        (
            record("rbac_access_denied_matched_policy[ns[a]-policy[b]-rule[0]]"),
            Refusal("AuthorizationPolicy", "ns[a]-policy[b]-rule[0]"),
            ["refused by AuthorizationPolicy rule ns[a]-policy[b]-rule[0]"],
        ),
        (
            record("rbac_access_denied_matched_policy[none]"),
            Refusal("AuthorizationPolicy", "none"),
            ["no rule of the ALLOW policies matched"],
        ),
        (
            record("jwt_authn_access_denied{Jwt_is_expired}"),
            Refusal("RequestAuthentication"),
            ["refused by a RequestAuthentication: Jwt is expired"],
        ),
        (
            record("jwt_authn_access_denied"),
            Refusal("RequestAuthentication"),
            ["refused by a RequestAuthentication"],
        ),
        (
            record("ext_authz_denied", "UAEX", x_argosy_denied_by="shop/no"),
            Refusal("rule", "shop/no"),
            ["refused by Mixer's rule shop/no"],
        ),
        (
            record("ext_authz_denied", "UAEX"),
            Refusal("authorizer"),
            ["refused by who was asked for authorization"],
        ),
        (
            record("ext_authz_error", "UAEX"),
            Refusal("authorizer"),
            ["who was to be asked for authorization did not answer"],
        ),
        (record("x", "UAEX"), None, ["UAEX: refused by who was asked for authorization"]),
    ],
)
def test_reasons(given: AccessRecord, who: Refusal | None, words: list[str]) -> None:
    assert refusal(given) == who
    assert sentences(given) == words


def test_what_transport_sockets_say_is_told() -> None:
    given = replace(record("", "UF"), upstream_failure=" TLS_error ", downstream_failure="bad certificate")
    assert sentences(given) == [
        "UF: no connection to the upstream",
        "upstream: TLS_error",
        "client: bad certificate",
    ]


def test_a_refused_connection_names_its_policy() -> None:
    given = replace(RECORD, http=None, termination="rbac_access_denied_matched_policy[none]")
    assert refusal(given) == Refusal("AuthorizationPolicy", "none")
    assert sentences(given) == ["no rule of the ALLOW policies matched"]
    assert sentences(replace(RECORD, http=None)) == []


@pytest.mark.parametrize("filter_name", ["envoy.filters.http.ext_authz", "envoy.filters.network.ext_authz"])
def test_who_could_not_tell_is_told_whether_the_request_passed_or_not(filter_name: str) -> None:
    note = FrozenMap({filter_name: FrozenMap({"argosy.check": FrozenMap({"code": 14, "undecided": "count.ns: late"})})})
    said = "Mixer could not decide: count.ns: late"
    assert sentences(replace(record("via_upstream"), metadata=note)) == [said]
    refused = replace(record("ext_authz_error", "UAEX"), metadata=note)
    assert sentences(refused) == ["who was to be asked for authorization did not answer", said]
