"""Faults of a VirtualService's rule: is what they say possible?

Given the typed fault, adds findings to a `Check`. Source: Istio's VirtualService rules; Envoy's fault filter.
"""

from __future__ import annotations

from argosy.api.routing import HTTPFault
from argosy.core.grpc_status import GrpcStatus, UnknownStatusError, grpc_code
from argosy.galley.validate.check import Check

_LEAST_SHARE_PERCENT = 0.0001
"""Envoy counts requests by the million."""


def validate_fault(check: Check, at: str, fault: HTTPFault) -> None:
    """All rules about the faults at `at`."""
    if fault.delay is None and fault.abort is None:
        check.error("ARG0110", at, "a fault needs a delay or an abort")
    if fault.delay is not None:
        delay = fault.delay
        if delay.fixed_delay_s is None:
            check.warn("ARG0151", f"{at}.delay", "a delay without fixedDelay delays nobody", "give fixedDelay")
        check.duration(f"{at}.delay.fixedDelay", delay.fixed_delay_s)
        _validate_share(check, f"{at}.delay.percentage.value", delay.percentage)
        check.percent(f"{at}.delay.percent", delay.percent)
    if fault.abort is not None:
        abort = fault.abort
        errors = {"httpStatus": abort.http_status is not None, "grpcStatus": abort.grpc_status is not None}
        check.one_of(f"{at}.abort", errors, required=False)
        if not any(errors.values()):
            hint = "give httpStatus or grpcStatus"
            check.warn("ARG0151", f"{at}.abort", "an abort without a status aborts nothing", hint)
        if abort.grpc_status is not None:
            _validate_grpc_status(check, f"{at}.abort.grpcStatus", abort.grpc_status)
        check.status(f"{at}.abort.httpStatus", abort.http_status)
        _validate_share(check, f"{at}.abort.percentage.value", abort.percentage)
        check.percent(f"{at}.abort.percent", abort.percent)


def _validate_share(check: Check, at: str, percent: float | None) -> None:
    check.percent(at, percent)
    if percent is not None and 0 < percent < _LEAST_SHARE_PERCENT:
        check.error("ARG0106", at, f"{percent:g} is less than a request in a million", "write 0, or at least 0.0001")


def _validate_grpc_status(check: Check, at: str, text: str) -> None:
    try:
        grpc_code(text)
    except UnknownStatusError as error:
        check.error("ARG0132", at, str(error), f"one of {', '.join(GrpcStatus.__members__)}")
