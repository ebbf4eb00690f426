"""Envoy agrees with the table, as far as the table can be compiled for it; the compiler says what cannot."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.conformance.expressions.random_trees import Trees
from tests.conformance.expressions.rig import NEITHER, Conditions, ExpressionRig
from tests.conformance.expressions.table import table

from argosy.mixer.attributes import Attributes, ValueType
from argosy.mixer.cel import Compiler, NotCompilable
from argosy.mixer.expr import EvaluationError, compile_expression
from argosy.mixer.syntax import Call, ExpressionError

TABLE = table()
PEER = "spiffe://cluster.local/ns/default/sa/bookinfo-reviews"
KNOWN: Attributes = {
    name: value for name, value in TABLE.bag.items() if name.startswith(("destination.", "context.reporter."))
}
COMPILED_MIN = 240
RANDOM = int(os.environ.get("ARGOSY_EXPRESSIONS", "200"))
SEED = int(os.environ.get("ARGOSY_EXPRESSIONS_SEED", "1"))


@dataclass(frozen=True)
class Case:
    """`verdict`: what Envoy has to find."""

    text: str
    verdict: str


def cases() -> list[Case]:
    """Every row that can be asked as a question with yes or no."""
    found = []
    for text, kind, value in TABLE.values:
        if kind is ValueType.BOOL:
            found.append(Case(text, "true" if value else "false"))
        elif kind is ValueType.STRING:
            found.append(Case(f"({text}) == {json.dumps(value, ensure_ascii=False)}", "true"))
        elif kind in (ValueType.INT64, ValueType.DOUBLE):
            found.append(Case(f"({text}) == {value}", "true"))
    for text, _what in (*TABLE.missing, *TABLE.failing):
        kind = compile_expression(text, vocabulary=TABLE.vocabulary).type
        if kind is ValueType.BOOL:
            found.append(Case(text, NEITHER))
        elif kind is ValueType.STRING:
            found.append(Case(f'({text}) == "x"', NEITHER))
    return found


def compile_case(case: Case) -> Conditions:
    """Raises `NotCompilable`."""
    tree = compile_expression(case.text, expect=ValueType.BOOL, vocabulary=TABLE.vocabulary).tree
    compiler = Compiler(KNOWN, lambda name: name.startswith(("destination.", "context.reporter.")))
    # A comparison with false is true where the expression is false: what the compiler itself makes of a refusal.
    false = Call("==", (tree, compile_expression("false").tree), 1, kind=ValueType.BOOL)
    return Conditions(compiler.condition(tree), compiler.condition(false))


def compile_all() -> tuple[dict[Case, Conditions], list[str]]:
    """What can be compiled, and the reasons of the rest."""
    made, reasons = {}, []
    for case in cases():
        try:
            made[case] = compile_case(case)
        except NotCompilable as reason:
            reasons.append(str(reason))
    return made, reasons


COMPILED, REASONS = compile_all()

# Other requests, on which the interpreter itself says what is right: lines to send, and what differs in the bag.
OTHERS: list[tuple[str, str, Attributes]] = [
    ("POST /reviews/0 HTTP/1.1", "host: x\r\ncontent-length: 0\r\n", {"request.headers": {"content-length": "0"}}),
    (
        "GET /ratings/8?a=b&c HTTP/1.1",
        "host: ratings:9080\r\nx-user: jason\r\nX-User: john\r\ncookie: user=john\r\nx-mixed: mixed\r\n"
        "user-agent: \r\n",
        {"request.headers": {"x-user": "jason,john", "cookie": "user=john", "x-mixed": "mixed", "user-agent": ""}},
    ),
    (
        "GET / HTTP/1.1",
        "host: ratings\r\nx-user: John\r\nx-empty: x\r\ncontent-type: application/grpc+proto\r\nreferer: y\r\n",
        {
            "request.headers": {
                "x-user": "John", "x-empty": "x", "content-type": "application/grpc+proto", "referer": "y",
            },
            "context.protocol": "grpc",
            "request.referer": "y",
        },
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExpressionRig]:
    server_name = str(TABLE.bag["connection.requested_server_name"])
    made = ExpressionRig(tmp_path_factory.mktemp("envoy"), server_name=server_name, peer=PEER)
    with made.running(list(COMPILED.values())):
        yield made


def test_envoy_finds_what_the_table_says(rig: ExpressionRig) -> None:
    headers, host, path = (TABLE.bag[f"request.{name}"] for name in ("headers", "host", "path"))
    assert isinstance(headers, dict)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    verdicts = rig.ask(len(COMPILED), f"GET {path} HTTP/1.1\r\nhost: {host}\r\n{lines}")
    found = {case.text: verdict for case, verdict in zip(COMPILED, verdicts, strict=True)}
    assert found == {case.text: case.verdict for case in COMPILED}


@pytest.mark.parametrize(("first", "lines", "bag"), OTHERS, ids=[first for first, _lines, _bag in OTHERS])
def test_envoy_finds_what_the_interpreter_finds(rig: ExpressionRig, first: str, lines: str, bag: Attributes) -> None:
    head, request = of_request(first, lines, bag)
    verdicts = rig.ask(len(COMPILED), head)
    found = {case.text: verdict for case, verdict in zip(COMPILED, verdicts, strict=True)}
    assert found == {case.text: interpreted(case.text, request) for case in COMPILED}


def of_request(first: str, lines: str, bag: Attributes) -> tuple[str, Attributes]:
    """What is sent, and the attributes of it."""
    verb, target, _version = first.split()
    host = lines.partition("\r\n")[0].removeprefix("host: ")
    request: Attributes = {
        **{name: value for name, value in TABLE.bag.items() if name != "request.useragent"},
        "request.method": verb,
        "request.path": target,
        "request.url_path": target.partition("?")[0],
        "request.host": host,
        **bag,
    }
    return f"{first}\r\n{lines}", request


def interpreted(text: str, request: Attributes) -> str:
    """What the interpreter finds."""
    expression = compile_expression(text, expect=ValueType.BOOL, vocabulary=TABLE.vocabulary)
    try:
        return "true" if expression.holds(request) else "false"
    except EvaluationError:
        return NEITHER


def requests() -> list[tuple[str, Attributes]]:
    """All requests of this module: lines to send, and the bag."""
    headers = TABLE.bag["request.headers"]
    assert isinstance(headers, dict)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"GET {TABLE.bag['request.path']} HTTP/1.1\r\nhost: {TABLE.bag['request.host']}\r\n"
    return [(f"{head}{lines}", TABLE.bag), *(of_request(*other) for other in OTHERS)]


def test_envoy_and_the_interpreter_agree_on_random_expressions(tmp_path: Path) -> None:
    trees, made = Trees(SEED), dict[str, Conditions]()
    tried = 0
    while len(made) < RANDOM:
        tried += 1
        text = trees.bool(4)
        try:
            made[text] = compile_case(Case(text, NEITHER))
        except (NotCompilable, ExpressionError):
            continue
    assert tried < 4 * RANDOM
    rig = ExpressionRig(tmp_path, server_name=str(TABLE.bag["connection.requested_server_name"]), peer=PEER)
    counts = {"true": 0, "false": 0, NEITHER: 0}
    with rig.running(list(made.values())):
        for head, bag in requests():
            found = dict(zip(made, rig.ask(len(made), head), strict=True))
            meant = {text: interpreted(text, bag) for text in made}
            assert found == meant
            for verdict in meant.values():
                counts[verdict] += 1
    assert min(counts.values()) > RANDOM / 4


def test_most_of_the_table_is_compiled() -> None:
    assert len(COMPILED) >= COMPILED_MIN


@pytest.mark.parametrize(
    "reason",
    ["proxies do not know source.name", "proxies look up headers only", "proxies do not compute toLower",
     "proxies do not compare values of type IP_ADDRESS", "proxies match constant patterns only"],
)  # fmt: skip
def test_what_is_not_compiled_says_why(reason: str) -> None:
    assert reason in REASONS
    assert all(one.startswith("proxies ") for one in REASONS)
