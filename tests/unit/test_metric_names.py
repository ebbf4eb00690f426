"""Metrics by name: what the programs tell is documented, and what dashboards and rules ask for is told."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import re2
import yaml

from argosy.mixer.join import END_LABELS, STANDARD_LABELS
from argosy.mixer.telemetry import COUNTERS, HISTOGRAMS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTED = (ROOT / "docs" / "reference" / "metrics.md").read_text()
RULES = ROOT / "examples" / "prometheus" / "rules.yml"
DASHBOARDS = sorted((ROOT / "examples" / "grafana").glob("*.json"))
SUFFIXES = ("_bucket", "_sum", "_count")
WORDS = {"by", "or", "sum", "min", "rate", "increase", "time", "vector", "histogram_quantile"}
TOKEN = re2.compile(r'"[^"]*"|[A-Za-z_:][A-Za-z0-9_:]*|[{}()\[\],]|[^A-Za-z_:{}()\[\],"]+')


def of_programs() -> set[str]:
    """The names of what programs tell of themselves, as their sources have them."""
    found = set()
    for path in (ROOT / "src" / "argosy").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                # A row: name, type, help, value.
                case ast.Tuple(elts=[ast.Constant(value=str(name)), ast.Constant(value="gauge" | "counter"), _, _]):
                    found.add(name)
                case ast.Call(func=ast.Name(id="CounterMetricFamily"), args=[ast.Constant(value=str(name)), *_]):
                    found.add(f"{name}_total")
                case ast.Call(func=ast.Name(id="GaugeMetricFamily"), args=[ast.Constant(value=str(name)), *_]):
                    found.add(name)
    return found


class Asked(NamedTuple):
    """What an expression of PromQL speaks of."""

    metrics: set[str]
    labels: set[str]
    grouped: set[str]


def asked(expression: str) -> Asked:
    """Metrics, labels, and the labels that its result has."""
    found = Asked(set(), set(), set())
    inside: list[str] = []
    before = ""
    for token in TOKEN.findall(expression):
        if token in "{([":
            inside.append("by" if before == "by" else token)
        elif token in "})]":
            inside.pop()
        elif token[0].isalpha() or token[0] == "_":
            place = inside[-1] if inside else ""
            if place in ("{", "by"):
                found.labels.add(token)
                if place == "by":
                    found.grouped.add(token)
            elif place != "[" and token not in WORDS:
                found.metrics.add(token)
        if token.strip():
            before = token
    return found


TOLD = frozenset({*COUNTERS, *HISTOGRAMS, *of_programs()})
LABELS = STANDARD_LABELS | {"le", "job", "__name__"}


def is_told(name: str) -> bool:
    """Whether some program has a metric of that name, or Prometheus itself."""
    family = next((name.removesuffix(one) for one in SUFFIXES if name.removesuffix(one) in HISTOGRAMS), name)
    return family in TOLD or name == "up"


def in_dashboards() -> Iterator[tuple[str, str, str]]:
    """Where it stands, the expression, and what is shown beside its values."""
    for path in DASHBOARDS:
        board = json.loads(path.read_text())
        for panel in board["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"], target["legendFormat"]
        for one in board["templating"]["list"][1:]:
            kind, _, inner = one["query"]["query"].removesuffix(")").partition("(")
            if kind == "label_values":
                series, _, label = inner.rpartition(", ")
                inner = f"sum by ({label}) ({series})"
            yield f"{path.stem}: {one['label']}", inner, ""


def in_rules() -> Iterator[tuple[str, str, str]]:
    """The same of recording rules and alerts."""
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule.get("alert") or rule["record"], rule["expr"], rule.get("annotations", {}).get("summary", "")


ASKED = [*in_dashboards(), *in_rules()]
RECORDED = {rule[0] for rule in in_rules()}


def test_every_metric_that_a_program_tells_is_documented() -> None:
    assert len(TOLD) > 50
    assert sorted(name for name in TOLD if f"`{name}`" not in DOCUMENTED) == []


def test_every_label_of_the_standard_metrics_is_documented() -> None:
    """Those of both ends once, without `source_` and `destination_`."""
    of_ends = {f"{side}_{name}" for side in ("source", "destination") for name in END_LABELS}
    assert of_ends < STANDARD_LABELS
    assert sorted(one for one in {*END_LABELS, *STANDARD_LABELS - of_ends} if f"`{one}`" not in DOCUMENTED) == []


@pytest.mark.parametrize(
    "expression, found",
    [
        ("up == 0", Asked({"up"}, set(), set())),
        ('sum by (b, c) (rate(a{d=~"x|y", e="{f}"}[5m])) * 0', Asked({"a"}, {"b", "c", "d", "e"}, {"b", "c"})),
        ("min(s:a:rate1m) - time() < 7 * 86400", Asked({"s:a:rate1m"}, set(), set())),
        ('sum({__name__=~"a|b"}) or vector(0)', Asked(set(), {"__name__"}, set())),
        ("rate(a[$__rate_interval])", Asked({"a"}, set(), set())),
    ],
)
def test_what_an_expression_speaks_of(expression: str, found: Asked) -> None:
    assert asked(expression) == found


@pytest.mark.parametrize("expression, shown", [one[1:] for one in ASKED], ids=[one[0] for one in ASKED])
def test_dashboards_and_rules_ask_for_what_is_told(expression: str, shown: str) -> None:
    found = asked(expression)
    assert sorted(one for one in found.metrics - RECORDED if not is_told(one)) == []
    assert found.labels <= LABELS
    named = set(re2.findall(r"\{\{ ?(?:\$labels\.)?([a-z_]+) ?\}\}", shown))
    # Without an aggregation a series has all its labels; a recorded one has those that its rule groups by.
    assert named <= (found.grouped or {"job", *(LABELS if found.metrics <= RECORDED else ())})


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_panel_has_the_unit_of_what_it_shows(path: Path) -> None:
    for panel in json.loads(path.read_text())["panels"]:
        overrides = {one["matcher"]["options"]: one["properties"] for one in panel["fieldConfig"]["overrides"]}
        for target in panel["targets"]:
            own = {one["id"]: one["value"] for one in overrides.get(f"Value #{target['refId']}", [])}
            unit = own.get("unit", panel["fieldConfig"]["defaults"]["unit"])
            assert unit in units_of(target["expr"]), panel["title"]


def units_of(expression: str) -> set[str]:
    """What the numbers of an expression may be called."""
    if "histogram_quantile" in expression:
        return {"ms"} if "_milliseconds_bucket" in expression else {"bytes"}
    if ") / sum" in expression:
        return {"percentunit"}
    if "_bytes_total" in expression:
        return {"Bps"}
    if "_timestamp" in expression:
        return {"s"}
    if "rate(istio_requests_total" in expression:
        return {"reqps"}
    if "rate(istio_tcp_connections" in expression:
        return {"cps"}
    if "rate(" in expression:
        return {"ops", "short"}
    return {"bool_yes_no"} if "up{" in expression or "argosy_ready" in expression else {"short"}
