"""The attribute vocabulary: names and types that expressions may use, and the bag that carries values.

Values are plain: str, int, float, bool, `ipaddress` objects, datetimes, timedeltas, mappings of strings. A name that
is absent from a bag is *missing*, which expressions treat specially. Forms of some values (uids) stand here, too.
Source: Istio 1.4's `istioproxy` and `kubernetes` attribute manifests, and the page of its attribute vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

from argosy.core.frozen import FrozenMap

IPAddress = IPv4Address | IPv6Address
Value = str | int | float | bool | IPAddress | datetime | timedelta | Mapping[str, str]
Attributes = Mapping[str, Value]


class ValueType(StrEnum):
    """Types of the expression language."""

    STRING = "STRING"
    INT64 = "INT64"
    DOUBLE = "DOUBLE"
    BOOL = "BOOL"
    TIMESTAMP = "TIMESTAMP"
    DURATION = "DURATION"
    IP_ADDRESS = "IP_ADDRESS"
    EMAIL_ADDRESS = "EMAIL_ADDRESS"
    URI = "URI"
    DNS_NAME = "DNS_NAME"
    STRING_MAP = "STRING_MAP"


_BY_TYPE: dict[ValueType, str] = {
    ValueType.STRING: """
        origin.uid origin.user
        request.id request.host request.method request.path request.url_path request.reason request.referer
        request.scheme request.useragent request.api_key
        request.auth.principal request.auth.audiences request.auth.presenter request.auth.raw_claims
        response.grpc_status response.grpc_message
        source.uid source.user source.principal source.name source.namespace source.owner source.serviceAccount
        source.services source.workload.uid source.workload.name source.workload.namespace
        destination.uid destination.principal destination.owner destination.name destination.namespace
        destination.serviceAccount destination.container.name destination.container.image
        destination.service.uid destination.service.name destination.service.namespace destination.service.host
        destination.workload.uid destination.workload.name destination.workload.namespace
        connection.event connection.id connection.requested_server_name
        context.protocol context.proxy_error_code context.proxy_version context.reporter.kind context.reporter.uid
        api.service api.version api.operation api.protocol
        rbac.permissive.response_code rbac.permissive.effective_policy_id check.error_message
    """,
    ValueType.STRING_MAP: """
        request.headers request.query_params request.auth.claims response.headers
        source.labels source.metadata destination.labels destination.metadata
    """,
    ValueType.INT64: """
        request.size request.total_size response.size response.total_size response.code destination.port
        connection.received.bytes connection.received.bytes_total
        connection.sent.bytes connection.sent.bytes_total check.error_code
    """,
    ValueType.IP_ADDRESS: "origin.ip source.ip destination.ip",
    ValueType.TIMESTAMP: "request.time response.time context.time context.timestamp",
    ValueType.DURATION: "response.duration connection.duration",
    ValueType.BOOL: "connection.mtls context.reporter.local check.cache_hit quota.cache_hit",
}

VOCABULARY: Mapping[str, ValueType] = FrozenMap(
    {name: kind for kind, names in _BY_TYPE.items() for name in names.split()}
)


def workload_uid(namespace: str, name: str) -> str:
    """`source.workload.uid`, `destination.workload.uid`."""
    return f"istio://{namespace}/workloads/{name}"


def service_uid(namespace: str, name: str) -> str:
    """`destination.service.uid`."""
    return f"istio://{namespace}/services/{name}"


def pod_uid(namespace: str, name: str) -> str:
    """`source.uid`, `destination.uid`."""
    return f"kubernetes://{name}.{namespace}"
