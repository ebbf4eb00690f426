"""Typed configuration: Istio's and Kubernetes' objects as frozen values that know where they were written.

    documents = parse_documents(text, "route.yaml")
    objects = decode_objects(documents)

Shapes only (unknown fields and wrong types are refused); meaning is checked by `galley`.
"""

from argosy.api.decode import DEFAULT_NAMESPACE, decode_object, decode_objects, key_of
from argosy.api.document import Document, decode_document, encode_document, parse_documents
from argosy.api.kinds import KINDS, Kind, resolve_kind
from argosy.api.meta import Object, Percent, Seconds, StringMatch, WorkloadSelector

__all__ = [
    "DEFAULT_NAMESPACE",
    "KINDS",
    "Document",
    "Kind",
    "Object",
    "Percent",
    "Seconds",
    "StringMatch",
    "WorkloadSelector",
    "decode_document",
    "decode_object",
    "decode_objects",
    "encode_document",
    "key_of",
    "parse_documents",
    "resolve_kind",
]
