"""Refusals that no policy's rule makes, but what the mesh makes of a RequestAuthentication: names, and what they mean.

Names are seen in logs, where those of policies' rules would stand.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CONTROL_IN_CLAIM = "argosy-claim-with-control-characters"
NOT_HTTP = "argosy-tokens-need-http"
MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        CONTROL_IN_CLAIM: "a claim that a RequestAuthentication tells in a header has control characters",
        NOT_HTTP: (
            "what came was not HTTP, on a port whose protocol nobody declares, where a RequestAuthentication asks for "
            "tokens or tells claims in headers"
        ),
    }
)
