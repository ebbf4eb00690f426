"""Whatever is wrong with an object: it is refused with code, line and field, at once, and nothing breaks.

Objects are valid ones with one thing changed that is certain to be wrong, by the kind of the value that stands there.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from tests.cpu import slowness

from argosy.api import parse_documents
from argosy.core.errors import ArgosyError, Finding
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.testing.strategies import Document, object_sets

OBJECTS = 10_000 if os.environ.get("CI") else 1_000
SLOWEST_S = 0.1
Place = tuple[Any, ...]

# Maps with keys of the user's own: another key is nothing wrong there.
OPEN = frozenset(
    {
        "selector",
        "labels",
        "matchLabels",
        "headers",
        "withoutHeaders",
        "queryParams",
        "sourceLabels",
        "set",
        "add",
        "to",
        "ports",
    }
)
OPEN_VALUES = frozenset({"value", "metadata"})
# Fields by what they hold: (name, values that are certainly wrong).
WRONG: dict[str, tuple[Any, ...]] = {
    "number": (0, -1, 65536, 2**40, "eighty", 1.5, None, []),
    "weight": (-1, 2**40, "half", {}),
    "timeout": ("soon", "-1s", "1", 5, "1 s", {}),
    "fixedDelay": ("soon", "-1s", 0, []),
    "interval": ("never", "-5s", 7),
    "baseEjectionTime": ("x", "-1h"),
    "connectTimeout": ("0s", "x", 3),
    "httpStatus": (0, 199, 600, "teapot"),
    "maxEjectionPercent": (-1, 101, "all"),
    "minHealthPercent": (-1, 101),
    "regex": ("(", "a**", "(?=x)", "x" * 1025, ""),
    "host": ("", "a..b", "-a", "a b", "a/b", "x" * 300, 5, None),
    "subset": ("a.b", "a_b", "x" * 64, {}),
    "attempts": (-1, "many", {}),
    "retryOn": ("sometimes", "5xx,never"),
    "simple": ("ROUND", "round_robin", 1),
    "mode": ("STRICT", "simple", 0),
    "resolution": ("dns", "SOMETIMES"),
    "location": ("OUTSIDE",),
    "protocol": ("GOPHER", 5),
    "hosts": ("*", [5], ["a..b"]),
    "address": ("a..b", 5),
    "applyTo": ("ALL", "cluster"),
    "operation": ("CHANGE", "merge"),
    "tableSize": (4, -1, "prime"),
    "minimumRingSize": (-1, 2**40, "big"),
    "redirectCode": (200, 309, "moved"),
    "percentage": (5, {"value": 101}, {"value": -1}, {"val": 1}),
    "exportTo": ("*", ["UPPER"], [5]),
    "captureMode": ("iptables",),
}
ANYWHERE = ("\x00", {"no": {"such": "thing"}}, [[[]]], 10**30)


def places(value: Any, at: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Every place in a document's spec."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*at, key), inner
            if key not in OPEN_VALUES:
                yield from places(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*at, index))


def put(document: Document, at: Place, value: Any) -> Document:
    copy: Document = json.loads(json.dumps(document))
    inner: Any = copy["spec"]
    for step in at[:-1]:
        inner = inner[step]
    inner[at[-1]] = value
    return copy


def broken(document: Document, chance: random.Random) -> Document | None:
    """The document with one thing wrong, or None if the way that was chosen does not fit."""
    way = chance.randrange(5)
    if way == 0:
        fitting = [(at, value) for at, value in places(document["spec"]) if at[-1] in WRONG]
        at, _value = chance.choice(fitting) if fitting else ((), None)
        return put(document, at, chance.choice(WRONG[at[-1]])) if at else None
    if way == 1:
        inside = [((), document["spec"]), *places(document["spec"])]
        maps = [
            at for at, one in inside if isinstance(one, dict) and not (at and (at[-1] in OPEN or at[-1] in OPEN_VALUES))
        ]
        maps = [at for at in maps if not any(step in OPEN for step in at[:-1])]
        return put(document, (*chance.choice(maps), "noSuchField"), chance.choice([1, "a", {}, []]))
    if way == 2:
        typed = [at for at, value in places(document["spec"]) if isinstance(value, (list, dict)) and at[-1] != "value"]
        return put(document, chance.choice(typed), chance.choice([5, "text", True]))
    if way == 3:
        copy: Document = json.loads(json.dumps(document))
        key, value = chance.choice(
            [
                ("kind", "NoSuchKind"),
                ("apiVersion", "networking.istio.io/v9"),
                ("kind", 5),
                ("apiVersion", ""),
                ("spce", {}),
            ]
        )
        copy[key] = value
        return copy
    copy = json.loads(json.dumps(document))
    copy["metadata"]["name"] = chance.choice(["", "UPPER", "a b", "x" * 300, 5, None, "-a", "a/b"])
    return copy


@settings(max_examples=OBJECTS // 5, deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(object_sets)
@pytest.mark.timeout(3000)
def test_what_is_wrong_is_refused_with_code_line_and_field(documents: list[Document]) -> None:
    chance = random.Random(json.dumps(documents))
    made = 0
    while made < 5:
        wrong = broken(chance.choice(documents), chance)
        if wrong is None:
            continue
        made += 1
        findings, seconds = refused(yaml.safe_dump(wrong))
        assert findings, wrong
        for one in findings:
            assert one.code.startswith("ARG"), one
            assert one.origin.file == "wrong.yaml", one
            assert one.origin.line, one
            assert one.field or one.code < "ARG0004", one
        if seconds >= SLOWEST_S:
            # A collection of the test's own garbage may fall into it: the least of several is what the object takes.
            seconds = min(refused(yaml.safe_dump(wrong))[1] for _again in range(5))
            assert seconds < SLOWEST_S * slowness(), (seconds, wrong)


def refused(text: str) -> tuple[list[Finding], float]:
    """What Galley says against a text, and how much of the processor it took."""
    started = time.process_time()
    galley = Galley(MemoryStore())
    try:
        galley.apply(parse_documents(text, "wrong.yaml"), now=0, who="test")
    except ArgosyError as error:
        return list(error.findings), time.process_time() - started
    return [], 0.0


@pytest.mark.parametrize("value", ANYWHERE, ids=["control", "nested", "lists", "huge"])
def test_no_value_at_any_place_is_too_much(value: Any) -> None:
    """Refused or accepted, but never a crash."""
    document: Document = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "a"},
        "spec": {
            "hosts": ["a"],
            "http": [{"match": [{"uri": {"prefix": "/"}}], "route": [{"destination": {"host": "a"}}]}],
        },
    }
    for at, _value in list(places(document["spec"])):
        refused(yaml.safe_dump(put(document, at, value)))
