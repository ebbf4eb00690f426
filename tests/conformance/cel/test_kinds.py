"""What is refused of expressions has no value in Envoy, and what is taken has one: every operator, every function, with
every kind of value."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.cel.rig import logged, refusal

from argosy.galley.validate.cel import PROGRAM_MAX, cel_problem
from argosy.galley.validate.cel_types import ARITHMETIC, ATTRIBUTES, FUNCTIONS

OF_KIND = {
    "bool": "connection.mtls",
    "int": "response.code",
    "uint": "upstream.request_attempt_count",
    "double": "double(response.code)",
    "string": "request.headers['x-age']",
    "bytes": "bytes(request.method)",
    "timestamp": "request.time",
    "duration": "request.duration",
    "null": "null",
    "list": "[response.code]",
    "texts": "request.headers",
    "message": "xds.node",
    "type": "type(1)",
    "group": "request",
}
BINARY = ("==", "!=", "<", "<=", ">", ">=", "&&", "||", "in", *ARITHMETIC)
UNARY = ("-{0}", "!{0}", "{0}['host']", "{0}.host", "{0}[0]", "{0}[0u]", "{0}[1.0]", "{0} ? 1 : 2")
NO_VALUE_HERE = (
    # No attempt was made, and the header is no date.
    "upstream.request_attempt_count / upstream.request_attempt_count",
    "upstream.request_attempt_count % upstream.request_attempt_count",
    "bool(request.headers['x-age'])",
    "duration(request.headers['x-age'])",
    "timestamp(request.headers['x-age'])",
)
"""What has a value with other requests."""


def operations() -> list[str]:
    """Every operator with every pair of kinds."""
    pairs = [
        f"{one} {operator} {other}" for operator in BINARY for one in OF_KIND.values() for other in OF_KIND.values()
    ]
    return [*pairs, *(form.format(value) for form in UNARY for value in OF_KIND.values())]


def calls() -> list[str]:
    """Every function with every kind at every place; elsewhere stands what it takes."""
    found = []
    for name, ways in FUNCTIONS.items():
        for way in ways:
            for place in range(len(way.takes)):
                for value in OF_KIND.values():
                    args = ["'UTC'" if name.startswith("get") else "'(5)'"] * len(way.takes)
                    if place == 1 and name.startswith("get"):
                        args[0] = "request.time"
                    args[place] = value
                    if way.alone:
                        found.append(f"{name}({', '.join(args)})")
                    if way.of_value:
                        found.append(f"{args[0]}.{name}({', '.join(args[1:])})")
    return found


def test_what_is_taken_has_a_value_and_what_is_refused_is_never_true(tmp_path: Path) -> None:
    asked = list(dict.fromkeys([*operations(), *calls()]))
    refused = {one for one in asked if (problem := cel_problem(f"({one}) == ({one})")) and problem.refused}
    # A value, whatever it is, equals itself; as the whole filter, what is refused is true of nothing.
    equal = {f"({one}) == ({one})": one for one in asked}
    true = logged(tmp_path, [*equal, *(one for one in asked if one in refused)])
    valued = {equal[one] for one in true if one in equal}
    wrongly_taken = [one for one in asked if one not in refused | valued and not _needs_other_values(one)]
    assert wrongly_taken == []
    assert refused & true == set()
    assert len(valued) > 500
    assert len(refused) > 2000


def _needs_other_values(expression: str) -> bool:
    zone = expression.startswith("request.time.get") and OF_KIND["string"] in expression
    # Of a side of || that is neither true nor false only the other counts: that is told, and taken.
    return zone or " || " in expression or expression in NO_VALUE_HERE or expression.startswith("re.")


def test_every_attribute_is_there(tmp_path: Path) -> None:
    """Of this request; those of an upstream, of certificates, of gRPC are not there in any request that is answered by
    the proxy itself."""
    paths = [f"{group}.{name}" for group, names in ATTRIBUTES.items() for name in names]
    here = {one.removeprefix("has(").removesuffix(")") for one in logged(tmp_path, [f"has({one})" for one in paths])}
    assert {one for one in here if one.startswith(("request.", "source.", "destination."))} == {
        one for one in paths if one.startswith(("request.", "source.", "destination."))
    } - {"request.referer"}
    assert {"response.code", "response.flags", "response.headers_bytes", "connection.id", "connection.mtls"} <= here
    assert {"xds.node", "xds.route_name", "xds.virtual_host_name", "xds.listener_direction"} <= here


FUNCTION_REFUSALS = (
    "string(response.code) == '5'",
    "request.path.split('/')[0] == 'a'",
    "request.headers.exists(h, h == 'a')",
    "request.path.size(1) == 1",
    "getHours(request.time) == 1",
    "request.path.matches('(')",
    f"request.path.matches('{'a' * (PROGRAM_MAX - 3)}')",
    "shop.Till{open: 1} == null",
    "response.code >= ",
)
"""What Envoy does not even start with: nobody's connections would be served."""


@pytest.mark.parametrize("expression", FUNCTION_REFUSALS)
def test_what_envoy_refuses_at_once_is_refused_before(tmp_path: Path, expression: str) -> None:
    problem = cel_problem(expression)
    assert problem is not None
    assert problem.refused
    assert refusal(tmp_path, expression) != ""


@pytest.mark.parametrize(
    "expression", [f"request.path.matches('{'a' * (PROGRAM_MAX - 4)}')", "re.capture(request.path, '/(a).*') == 'a'"]
)
def test_what_just_fits_is_taken(tmp_path: Path, expression: str) -> None:
    assert cel_problem(expression) is None
    assert refusal(tmp_path, expression) == ""
