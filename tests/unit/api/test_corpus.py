"""Istio's own samples are accepted unchanged; every field of Istio's API is either read or refused by name."""

import json
from pathlib import Path
from typing import Any, get_args, get_origin

import msgspec
import pytest

from argosy.api import KINDS, decode_objects, parse_documents
from argosy.api.diagnose import _fields, _without_none
from argosy.api.meta import Percent
from argosy.core.errors import errors_in
from argosy.core.frozen import FrozenMap
from argosy.galley.validate import validate_object

SHARED = Path(__file__).parents[4] / "shared"
PATTERNS = [
    "istio-samples/bookinfo/platform/kube/bookinfo.yaml",
    "istio-samples/bookinfo/networking/bookinfo-gateway.yaml",
    "istio-samples/bookinfo/networking/destination-rule-all*.yaml",
    "istio-samples/bookinfo/networking/virtual-service-*.yaml",
    "istio-samples/tcp-echo/*.yaml",
    "istio-samples/helloworld/*.yaml",
    "istio-samples/httpbin/*.yaml",
    "istio-samples/sleep/*.yaml",
    "istio-samples/curl/*.yaml",
    "istio-1.4-samples/bookinfo/platform/kube/rbac/*.yaml",
    *(
        f"istio-1.4-samples/bookinfo/policy/mixer-rule-{name}.yaml"
        for name in (
            "deny-label",
            "deny-whitelist",
            "deny-ip",
            "deny-serviceaccount",
            "ingress-denial",
            "ratings-denial",
        )
    ),
]
FILES = sorted(f for pattern in PATTERNS for f in (SHARED / "corpus").glob(pattern))

needs_corpus = pytest.mark.skipif(not FILES, reason="no ../shared/corpus beside the project")


@needs_corpus
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_samples_are_accepted(file: Path) -> None:
    for obj in decode_objects(parse_documents(file.read_text(), file.name)):
        assert errors_in(validate_object(obj)) == ()


@pytest.mark.skipif(not (SHARED / "reference" / "fields.json").exists(), reason="no ../shared/reference")
@pytest.mark.parametrize(
    "kind",
    ["VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "PeerAuthentication", "AuthorizationPolicy"],
)
def test_every_field_of_istio_is_read_or_refused_by_name(kind: str) -> None:
    listed = {f["path"] for f in json.loads((SHARED / "reference" / "fields.json").read_text())[kind]["fields"]}
    known: set[str] = set()
    refused: set[str] = set()
    _walk(KINDS[kind].type, "", known, refused)
    covered = {p for p in listed if p in known or any(p == r or p.startswith((r + ".", r + "[")) for r in refused)}
    assert listed - covered == set()
    assert refused <= listed


def _walk(type_: Any, path: str, known: set[str], refused: set[str]) -> None:
    type_ = _without_none(type_)
    if isinstance(type_, type) and issubclass(type_, msgspec.Struct):
        prefix = f"{path}." if path else ""
        for name, field in _fields(type_).items():
            known.add(prefix + name)
            if _without_none(field.type) is Percent:
                known.add(f"{prefix}{name}.value")
            _walk(field.type, prefix + name, known, refused)
        refused.update(prefix + name for name in type_.not_yet)  # type: ignore[attr-defined]
    elif get_origin(type_) is tuple:
        _walk(get_args(type_)[0], f"{path}[]", known, refused)
    elif get_origin(type_) is FrozenMap:
        _walk(get_args(type_)[1], f"{path}{{}}", known, refused)
