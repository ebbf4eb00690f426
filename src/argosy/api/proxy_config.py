"""`networking.istio.io` ProxyConfig: how the proxies of some workloads are started.

Typed, frozen, strict shapes; no meaning. Source: Istio's API, networking v1beta1.
"""

from __future__ import annotations

from argosy.api.meta import Strict, WorkloadSelector
from argosy.core.frozen import EMPTY, FrozenMap


class ProxyConfig(Strict, frozen=True, kw_only=True):
    """Settings of proxies from their next start on: `concurrency` is the number of worker threads (0: all cores)."""

    # There is one proxy here: the Envoy that comes with Argosy.
    not_yet = frozenset({"image"})
    selector: WorkloadSelector | None = None
    concurrency: int | None = None
    environment_variables: FrozenMap[str, str] = EMPTY
