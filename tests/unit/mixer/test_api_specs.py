"""HTTPAPISpecs: operations by path and method, and keys."""

from typing import Any

import pytest

from argosy.mixer.api_specs import bind_apis, with_apis

from .test_rules import made_from


def values(**given: Any) -> dict[str, Any]:
    return {"attributes": given}


def operation(name: str) -> dict[str, Any]:
    return values(**{"api.operation": {"stringValue": name}})


SPEC = {
    "attributes": values(**{"api.service": {"stringValue": "petstore"}, "api.version": {"stringValue": "1"}}),
    "patterns": [
        {"attributes": operation("list"), "httpMethod": "GET", "uriTemplate": "/pets"},
        {"attributes": operation("get"), "httpMethod": "GET", "uriTemplate": "/pets/{id}"},
        {"attributes": values(**{"my.count": {"int64Value": 3}}), "regex": "/pets/[0-9]+/x.y"},
    ],
}


def told(method: str, path: str, spec: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    bag = {
        "request.method": method,
        "request.url_path": path,
        "destination.service.host": "pets.default.svc.cluster.local",
        **more,
    }
    apis, findings = bind_apis(
        [
            made_from("HTTPAPISpec", "default", "pets", {**SPEC, **(spec or {})}),
            made_from(
                "HTTPAPISpecBinding", "default", "b", {"services": [{"name": "pets"}], "apiSpecs": [{"name": "pets"}]}
            ),
        ]
    )
    assert findings == []
    return {name: value for name, value in with_apis(apis, bag).items() if name not in bag}


@pytest.mark.parametrize(
    "method, path, operation",
    [("GET", "/pets", "list"), ("GET", "/pets/7", "get"), ("GET", "/pets/7/x", None), ("POST", "/pets", None)],
)
def test_an_operation_is_known_by_method_and_path(method: str, path: str, operation: str | None) -> None:
    found = told(method, path)
    assert (found["api.service"], found["api.version"], found.get("api.operation")) == ("petstore", "1", operation)


def test_patterns_may_be_expressions_and_add_any_attribute() -> None:
    assert told("PUT", "/pets/7/x.y")["my.count"] == 3


@pytest.mark.parametrize(
    "keys, more, key",
    [
        ([], {"request.query_params": {"api_key": "a"}}, "a"),
        ([], {"request.headers": {"x-api-key": "b"}}, "b"),
        ([{"cookie": "k"}], {"request.headers": {"cookie": "a=1; k=c"}}, "c"),
        ([{"header": "X-Key"}, {"query": "q"}], {"request.query_params": {"q": "d"}}, "d"),
        ([{"header": "X-Key"}], {"request.query_params": {"key": "e"}}, None),
    ],
)
def test_keys_are_found_where_the_spec_says(keys: list[dict[str, str]], more: dict[str, Any], key: str | None) -> None:
    assert told("GET", "/", {"apiKeys": keys}, **more).get("request.api_key") == key


def test_other_services_and_connections_have_none() -> None:
    assert told("GET", "/pets", **{"destination.service.host": "x"}) == {}
    assert with_apis((), {"a": "b"}) == {"a": "b"}


def test_a_binding_to_no_spec_is_told() -> None:
    spec = {"services": [{"service": "*"}], "apiSpecs": [{"name": "gone"}]}
    bound, findings = bind_apis([made_from("HTTPAPISpecBinding", "default", "b", spec)])
    assert bound == ()
    assert [(one.code, one.field) for one in findings] == [("ARG0910", "spec.apiSpecs[0]")]
