"""Headers are changed by Envoy as Mixer would have had them changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.conformance.refusals.cases import NOTHING, Case, Request, denier, rule
from tests.conformance.refusals.rig import TOLD, Rig
from tests.conformance.refusals.test_refusals import compiled, decided

from argosy.mixer.headers import HeaderEdit


def changing(name: str, match: str, *, request: str = "", response: str = "") -> str:
    """A rule that does nothing but change headers."""
    lines = "".join(
        f"  {side}HeaderOperations: [{text}]\n" for side, text in (("request", request), ("response", response)) if text
    )
    return f"""---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {{name: {name}, namespace: default}}
spec:
  match: '{match}'
{lines}"""


@dataclass(frozen=True)
class Changes:
    """`variants`: how many there are, of those that change anything."""

    name: str
    text: str
    variants: int
    asks: bool = False


JOHN, GET = 'request.headers["x-user"] == "john"', 'request.method == "GET"'
ONE = """{name: x-one, values: ['"1"']}"""
CASES = [
    Changes("always", changing("a", "true", request=ONE), 1),
    Changes("on a condition", changing("a", JOHN, request=ONE), 1),
    Changes("never", changing("a", 'destination.labels["app"] == "x"', request=ONE), 0),
    Changes("of this workload", changing("a", 'destination.labels["app"] == "ratings"', request=ONE), 1),
    Changes("with a percent sign", changing("a", JOHN, request="""{name: X-One, values: ['"100% \\"é\\""']}"""), 1),
    Changes("what is known of the workload", changing("a", JOHN, request="""{name: x-one, values: ['destination.labels["version"]']}"""), 1),
    Changes("several values", changing("a", JOHN, request="""{name: x-one, values: ['"1"', '"2"']}"""), 1),
    Changes("beside", changing("a", JOHN, request="""{name: x-user, values: ['"jane"'], operation: APPEND}"""), 1),
    Changes("in place", changing("a", JOHN, request="""{name: x-user, values: ['"jane"']}"""), 1),
    Changes("away", changing("a", JOHN, request="{name: x-user, operation: REMOVE}"), 1),
    Changes("a port", changing("a", JOHN, request="{name: x-one, values: [destination.port]}"), 1),
    Changes("the answer's", changing("a", JOHN, response="""{name: x-one, values: ['"1"']}, {name: x-app, values: ['"2"']}"""), 1),
    Changes("two that may meet", changing("a", JOHN, request=ONE) + changing("b", GET, request="""{name: x-two, values: ['"2"']}"""), 3),
    Changes("the same header twice", changing("a", JOHN, request=ONE) + changing("b", GET, request="""{name: x-one, values: ['"2"']}"""), 3),
    Changes("one always, one not", changing("a", JOHN, request=ONE) + changing("b", "true", request="""{name: x-two, values: ['"2"'], operation: APPEND}"""), 2),
    Changes("besides refusals", NOTHING + denier("deny", "{code: 7}") + rule("a", GET, "deny", "nothing.checknothing") + changing("b", JOHN, request=ONE), 1),
    Changes("nothing that has a value", changing("a", JOHN, request="""{name: x-one, values: ['destination.metadata["nope"]']}"""), 0),
    Changes("nothing but what is empty", changing("a", JOHN, request="""{name: x-one, values: ['""']}"""), 0),
    Changes("what is empty or missing among others", changing("a", JOHN, request="""{name: x-one, values: ['""', '"1"', 'destination.metadata["nope"] | ""']}"""), 1),
    Changes("of the request", changing("a", JOHN, request="{name: x-one, values: [request.path]}"), 0, asks=True),
    Changes("where it goes", changing("a", JOHN, request="""{name: ":path", values: ['"/x"']}"""), 0, asks=True),
    Changes("by labels of callers", changing("a", 'source.labels["app"] == "x"', request=ONE), 0, asks=True),
    Changes("four that may meet", "".join(changing(name, f'request.headers["x-{name}"] == "1"', request=ONE) for name in "abcd"), 0, asks=True),
    Changes("removed and set", changing("a", "true", request="{name: x-one, operation: REMOVE}") + changing("b", "true", request=ONE), 0, asks=True),
]  # fmt: skip
REQUESTS = [
    Request(),
    Request(headers=(("x-user", "john"), ("x-one", "0"))),
    Request(method="POST", headers=(("x-user", "john"), ("content-length", "0"))),
    Request(method="POST", headers=(("x-two", "0"), ("content-length", "0"))),
]


def of(case: Changes) -> Case:
    return Case(case.name, case.text, 0)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_is_compiled(case: Changes) -> None:
    made = compiled(of(case))
    assert (len(made.variants), made.asks) == (case.variants, case.asks)


def test_envoy_changes_headers_as_mixer_does(rig: Rig) -> None:
    for request in REQUESTS:
        for case, answer in zip(CASES, rig.ask(request), strict=True):
            decision = decided(of(case), request)
            assert bool(answer.rule) is not decision.allowed
            if answer.rule or case.asks:
                continue
            headers = edited(dict(request.headers), decision.request_headers)
            assert answer.body == "|".join(headers.get(name, "-") for name in TOLD), (case.name, request)
            told = edited({"x-app": "app"}, decision.response_headers)
            found = {name: value for name, value in answer.headers.items() if name in ("x-app", "x-one")}
            assert found == told, (case.name, request)


def edited(headers: dict[str, str], edits: tuple[HeaderEdit, ...]) -> dict[str, str]:
    """Headers after what Mixer said; several lines as one with commas."""
    found = dict(headers)
    for edit in edits:
        if edit.operation == "REMOVE":
            found.pop(edit.name, None)
        for number, value in enumerate(edit.values):
            replaces = (edit.operation == "REPLACE" and number == 0) or edit.name not in found
            found[edit.name] = value if replaces else f"{found[edit.name]},{value}"
    return found


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    made = Rig(tmp_path_factory.mktemp("envoy"), [compiled(of(case)) for case in CASES])
    with made.running():
        yield made
