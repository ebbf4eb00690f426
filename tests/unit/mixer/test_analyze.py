"""What is told of rules when they are applied."""

import pytest

from argosy.api import parse_documents
from argosy.core.names import ObjectKey
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley
from argosy.mixer.analyze import analyze_rules

from .mesh import objects

TEXT = """
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: deny}
spec: {compiledAdapter: denier}
---
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: nothing}
spec: {compiledTemplate: checknothing}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: deny}
spec:
  actions:
  - handler: deny
    instances:
    - nothing
"""


@pytest.mark.parametrize(
    "old, new, code, line",
    [
        ("handler: deny", "handler: gone", "ARG0910", 17),
        ("- nothing", "- other", "ARG0910", 19),
        ("compiledAdapter: denier", "compiledAdapter: listchecker", "ARG0913", 19),
        ("denier}", "denier, params: {status: {code: 0}}}", "ARG0912", 5),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(old: str, new: str, code: str, line: int) -> None:
    galley = Galley(MemoryStore(), analyzers=[analyze_rules])
    applied = galley.apply(parse_documents(TEXT.replace(old, new, 1), "f.yaml"), now=0.0, who="")
    assert [(one.code, str(one.origin)) for one in applied.findings] == [(code, f"f.yaml:{line}")]
    assert [one.code for one in galley.analyze()] == [code]


def test_what_fits_is_not_mentioned() -> None:
    galley = Galley(MemoryStore(), analyzers=[analyze_rules])
    assert galley.apply(parse_documents(TEXT, "f.yaml"), now=0.0, who="").findings == ()


def test_only_what_is_asked_about_is_told() -> None:
    given = objects(TEXT.replace("handler: deny", "handler: gone"))
    assert analyze_rules(given, {("rule", ObjectKey("default", "other"))}) == []
    assert len(analyze_rules(given, {("rule", ObjectKey("default", "deny"))})) == 1
