"""Annotations by which a pod says how its proxy asks Mixer. Source: Istio 1.4's mixer plug-in of Pilot."""

from __future__ import annotations

from argosy.api.scalars import DurationError, parse_duration_s

CHECK = "policy.istio.io/check"
"""`enable`, `disable` or `allow-on-error`; goes before what the mesh says."""
RETRIES = "policy.istio.io/checkRetries"
WAIT = "policy.istio.io/checkBaseRetryWaitTime"
WAIT_MAX = "policy.istio.io/checkMaxRetryWaitTime"
MODES = ("enable", "disable", "allow-on-error")
RETRIES_MAX = 10


def wait_s(text: str, default: float) -> float:
    """Seconds of a wait; `default` where nothing usable is written."""
    try:
        return float(parse_duration_s(text)) if text else default
    except DurationError:
        return default
