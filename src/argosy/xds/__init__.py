"""The xDS protocol, without any I/O: both halves, both variants, ordering, snapshots and pending pushes."""

from argosy.xds.client import DeltaClient, Malformed, Update
from argosy.xds.messages import (
    WILDCARD,
    Changes,
    DeltaRequest,
    DeltaResponse,
    ErrorDetail,
    Resource,
    ResourceRef,
    Snapshot,
    SotwRequest,
    SotwResponse,
    changes_between,
    content_version,
)
from argosy.xds.pushqueue import PushQueue

__all__ = [
    "WILDCARD",
    "Changes",
    "DeltaClient",
    "DeltaRequest",
    "DeltaResponse",
    "ErrorDetail",
    "Malformed",
    "PushQueue",
    "Resource",
    "ResourceRef",
    "Snapshot",
    "SotwRequest",
    "SotwResponse",
    "Update",
    "changes_between",
    "content_version",
]
