"""Whatever stands in a document: it is accepted, or refused with findings; never another error, never a half change."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.api import Document, decode_document, encode_document, parse_documents
from argosy.core.errors import ArgosyError, Finding, Origin
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

BASES = [
    document.data
    for file in sorted((Path(__file__).parent / "broken").glob("*.yaml"))
    for document in parse_documents(yaml.safe_load(file.read_text())["base"])
]

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True)
    | st.sampled_from(
        ["", "*", "10s", "1.0.0.0/8", "a.b", "8080", "True", "\x00", "é", "[", "%", "/", "spiffe://", "-1s"]
    )
    | st.text(max_size=8)
)
_KEYS = st.sampled_from(["host", "value", "mode", "spec", "number", "regex", "a.b", "", "uid", "status"]) | st.text(
    max_size=4
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=6
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += _places(item, (*path, key))
    return found


@st.composite
def _mutants(draw: st.DrawFn) -> dict[str, Any]:
    data: dict[str, Any] = copy.deepcopy(draw(st.sampled_from(BASES)))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(_places(data)))
        holder: Any = data
        for step in place[:-1]:
            holder = holder[step]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(_KEYS)] = draw(_VALUES)
        else:
            holder[place[-1]] = draw(_VALUES)
    return data


def _findings_of(attempt: Callable[[], object]) -> tuple[Finding, ...]:
    try:
        attempt()
    except ArgosyError as refused:
        return refused.findings
    return ()


@settings(max_examples=300, deadline=None)
@given(_mutants())
def test_a_mutated_document_is_accepted_or_refused_with_findings(data: dict[str, Any]) -> None:
    galley = Galley(MemoryStore())
    findings = _findings_of(lambda: galley.apply([Document(data, Origin("f.yaml", 1))], now=0, who="t"))
    assert [bool(f.code.startswith("ARG") and f.message) for f in findings] == [True] * len(findings)
    assert len(galley.objects()) == galley.revision == (0 if findings else 1)
    for obj in galley.objects():
        assert isinstance(hash(obj), int)
        document = galley.document(obj.kind, obj.key)
        assert document is not None
        assert encode_document(decode_document(encode_document(document))) == encode_document(document)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab:-?[]{}&*!|>'\"%@#,\n\t \\0x<", max_size=60))
def test_any_text_is_documents_or_an_error_with_a_place(text: str) -> None:
    findings = _findings_of(lambda: [str(d.origin) for d in parse_documents(text, "f.yaml")])
    assert {f.origin.file for f in findings} <= {"f.yaml"}
