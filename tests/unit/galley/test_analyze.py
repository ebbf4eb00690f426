"""What analysis says of objects that do not fit together, in its words."""

import pytest

from argosy.api import decode_object, parse_documents
from argosy.galley.analyze import analyze_objects

_SERVICES = """
apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: default}
spec: {ports: [{port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: new, namespace: default}
spec: {hosts: [new], http: [{route: [{destination: {host: HOST}}]}]}
"""


@pytest.mark.parametrize(
    "host, hint",
    [
        ("reviws", "did you mean reviews.default.svc.cluster.local?"),
        ("nosuchservice", ""),
        ("review.default.svc.clusterlocal", "did you mean reviews.default.svc.cluster.local?"),
    ],
)
def test_only_a_host_that_is_alike_beside_its_suffix_is_proposed(host: str, hint: str) -> None:
    objects = [decode_object(document) for document in parse_documents(_SERVICES.replace("HOST", host))]
    assert [finding.hint for finding in analyze_objects(objects) if finding.code == "ARG0201"] == [hint]
