"""Istio's own analyzer cases: where they and we mean the same, the same objects are named."""

import json
from pathlib import Path
from typing import Any

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.core.errors import ArgosyError
from argosy.galley.analyze import analyze_objects
from argosy.galley.validate import validate_object

GRID = Path(__file__).parents[3] / "shared" / "corpus" / "analyzers"
# Case -> Istio's code and ours. Istio names every object of a double host, we name those that come later.
CASES = [
    ("virtualservice_host_not_found_gateway_with_ns_prefix.yaml", "IST0132", "ARG0209"),
    ("virtualservice_host_not_found_gateway_with_ns_prefix_beta.yaml", "IST0132", "ARG0209"),
    ("virtualservice_dupmatches.yaml", "IST0130", "ARG0152"),
    ("virtualservice_destinationrules.yaml", "IST0101", "ARG0202"),
    ("telemetry-selector.yaml", "IST0101", "ARG0207"),
    ("telemetry-selector.yaml", "IST0159", "ARG0250"),
    ("telemetry-default-selector.yaml", "IST0160", "ARG0250"),
]

pytestmark = pytest.mark.skipif(not GRID.exists(), reason="no ../shared/corpus beside the project")


def _objects(files: list[str]) -> list[Object[Any]]:
    objects = []
    for file in files:
        for document in parse_documents((GRID / "input" / file).read_text(), file):
            try:
                objects.append(decode_object(document))
            except ArgosyError:
                continue
    return objects


@pytest.mark.parametrize("file, theirs, ours", CASES)
def test_the_same_objects_are_named(file: str, theirs: str, ours: str) -> None:
    case = next(c for c in json.loads((GRID / "cases.json").read_text()) if file in c["files"])
    objects = _objects(case["files"])
    findings = [*analyze_objects(objects), *(f for o in objects for f in validate_object(o))]
    named = {f.object for f in findings if f.code == ours}
    expected = {e["origin"] for e in case["expected"] if e["code"] == theirs}
    # Istio leaves out the default namespace where a file does not say it.
    assert {n.replace("default/", "") for n in named} == {e.replace("default/", "") for e in expected}
