"""Handlers that decide checks from their own parameters: `denier`, `listchecker`, `noop`; and `memquota`.

Given the parameters of a handler object. Gives a `LocalHandler`; or an error that says which parameter is wrong.
Source: Istio 1.4's adapters of these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from argosy.api.mixer_adapters import DenierParams, ListCheckerParams, MemQuotaParams, NoopParams
from argosy.mixer.lists import ListChecker, ParamsError, make_entries
from argosy.mixer.port import Call, LocalHandler, Verdict
from argosy.mixer.quotas import MemQuotas
from argosy.mixer.status import OK, parse_status_code

FAILED_PRECONDITION = 9


@dataclass(frozen=True, slots=True)
class Denier:
    """Refuses everything with one status; of a quota it gives nothing."""

    code: int
    message: str
    valid_duration_s: float
    valid_use_count: int

    def check(self, call: Call, now: float) -> Verdict:
        """Always the configured status."""
        return Verdict(self.code, self.message, self.valid_duration_s, self.valid_use_count)


class Noop:
    """Lets everything pass, and gives all quota."""

    def check(self, call: Call, now: float) -> Verdict:
        """Yes."""
        return Verdict(granted=call.quota.amount if call.quota is not None else 0)


def make_handler(params: Any) -> LocalHandler | None:
    """The handler with `params`, or None if it is one that must ask somebody. Raises `ParamsError`."""
    if isinstance(params, DenierParams):
        return _make_denier(params)
    if isinstance(params, ListCheckerParams):
        return ListChecker(params)
    if isinstance(params, MemQuotaParams):
        return MemQuotas(params)
    return Noop() if isinstance(params, NoopParams) else None


def check_params(params: Any) -> None:
    """Raises `ParamsError` for parameters of which no handler can be made."""
    if isinstance(params, DenierParams):
        _make_denier(params)
    if isinstance(params, ListCheckerParams):
        make_entries(params.entry_type, params.overrides)


def _make_denier(params: DenierParams) -> Denier:
    code = FAILED_PRECONDITION if params.status.code is None else parse_status_code(params.status.code)
    if code is None or code == OK:
        hint = "use 1 to 16 or a name, e.g. 7"
        raise ParamsError("status.code", f"{params.status.code!r} is not a gRPC error code", hint)
    return Denier(code, params.status.message, params.valid_duration, params.valid_use_count)


__all__ = ["Denier", "Noop", "ParamsError", "check_params", "make_handler"]
