"""What report tests share: policies made of YAML, and records as proxies of the small mesh send them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from argosy.api import decode_object, parse_documents
from argosy.api.meta import Object
from argosy.core.errors import Finding
from argosy.core.frozen import FrozenMap
from argosy.mixer.access_record import AccessRecord, Address, ConnectionEvent, Direction, HTTPPart
from argosy.mixer.attributes import Attributes
from argosy.mixer.report import Delivery, Reporter
from argosy.mixer.report_attributes import ByteDeltas, report_attributes
from argosy.mixer.report_rules import ReportPolicy, resolve_reports

from .mesh import DIRECTORY, TRUST, node

REVIEWS = "reviews.default.svc.cluster.local"
START = 1_700_000_000.25


def objects(*texts: str) -> list[Object[Any]]:
    return [decode_object(one) for text in texts for one in parse_documents(text, "reports.yaml")]


def policy(*texts: str) -> ReportPolicy:
    return resolve_reports(objects(*texts))


def http_part(**changes: Any) -> HTTPPart:
    given: dict[str, Any] = {
        "protocol": "HTTP/1.1", "method": "GET", "scheme": "http", "authority": "reviews:9080",
        "path": "/reviews/0?a=1&b",
        "user_agent": "curl/8", "request_id": "00000010-aaaa", "code": 200,
        "request_header_bytes": 100,
        "response_header_bytes": 50, "response_body_bytes": 295, "request_headers": FrozenMap({"end-user": "jason"}),
        "response_headers": FrozenMap({"content-type": "application/json"}),
    }  # fmt: skip
    return HTTPPart(**{**given, **changes})


def inbound(**changes: Any) -> AccessRecord:
    """A call of the product page, as the proxy of reviews saw it."""
    given: dict[str, Any] = {
        "node": node("reviews-v2"), "direction": Direction.INBOUND, "start": START, "duration_s": 0.9194,
        "http": http_part(), "connection_id": "7", "downstream_remote": Address("10.88.0.2", 4000),
        "downstream_direct": Address("10.88.0.2", 4000), "downstream_local": Address("10.88.0.4", 9080),
        "peer_principal": f"{TRUST}/default/sa/bookinfo-productpage", 
        "peer_workload": "productpage-v1.default.workload",
        "local_principal": f"{TRUST}/default/sa/bookinfo-reviews", "service": REVIEWS, "cluster": "inbound|9080||",
    }  # fmt: skip
    return AccessRecord(**{**given, **changes})


def outbound(**changes: Any) -> AccessRecord:
    """The same call, as the proxy of the product page saw it."""
    given: dict[str, Any] = {
        "node": node("productpage-v1"), "direction": Direction.OUTBOUND, "start": START, "duration_s": 0.92,
        "http": http_part(), "connection_id": "9", "downstream_remote": Address("10.88.0.2", 4001),
        "downstream_direct": Address("10.88.0.2", 4001), "downstream_local": Address("10.96.0.9", 9080),
        "upstream_remote": Address("10.88.0.4", 9080), "upstream_workload": "reviews-v2.default.workload",
        "upstream_principal": f"{TRUST}/default/sa/bookinfo-reviews", "service": REVIEWS,
        "cluster": f"outbound|9080||{REVIEWS}",
    }  # fmt: skip
    return AccessRecord(**{**given, **changes})


def connection(event: ConnectionEvent, received: int, sent: int, **changes: Any) -> AccessRecord:
    return inbound(http=None, event=event, received_bytes=received, sent_bytes=sent, **changes)


def bag(record: AccessRecord, received: int = 0, sent: int = 0) -> Attributes:
    return report_attributes(record, ByteDeltas(received, sent), DIRECTORY)


def shown(attributes: Attributes, names: Iterable[str]) -> dict[str, Any]:
    return {name: attributes.get(name) for name in names}


METRIC = """
apiVersion: config.istio.io/v1alpha2
kind: instance
metadata: {name: seen, namespace: istio-system}
spec:
  compiledTemplate: metric
  params:
    value: VALUE
    dimensions: {code: response.code | 0, user: 'request.headers["end-user"] | "nobody"'}
    monitored_resource_type: '"UNSPECIFIED"'
---
apiVersion: config.istio.io/v1alpha2
kind: handler
metadata: {name: page, namespace: istio-system}
spec:
  compiledAdapter: prometheus
  params: {metrics: [{name: seen, instance_name: seen.instance.istio-system, kind: COUNTER, label_names: [code]}]}
---
apiVersion: config.istio.io/v1alpha2
kind: rule
metadata: {name: report, namespace: NAMESPACE}
spec: {match: 'MATCH', actions: [{handler: page.istio-system, instances: [seen.instance.istio-system]}], MORE}
"""


def metric(value: str = '"1"', match: str = "", namespace: str = "istio-system", more: str = "") -> str:
    made = METRIC.replace("VALUE", value).replace("MATCH", match).replace("NAMESPACE", namespace)
    return made.replace(", MORE", f", {more}" if more else "")


def deliveries(
    found: ReportPolicy, *records: AccessRecord, now: float = START, draw: Iterable[float] = ()
) -> list[Delivery]:
    numbers = iter(draw)
    reporter = Reporter(lambda: next(numbers))
    reporter.use(found)
    moment = datetime.fromtimestamp(START, UTC)
    return [one for record in records for one in reporter.report(bag(record), DIRECTORY, moment, now)]


def said(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    return [(one.code, one.field, one.message) for one in findings]
