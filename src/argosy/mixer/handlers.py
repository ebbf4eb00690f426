"""Handlers: the compiled adapters that decide checks (`denier`, `listchecker`), made from their parameters.

Given: `params` of a handler object. Gives: an adapter that turns an instance's value into a `CheckResult`; or findings
that say which parameter is wrong. Adapters hold no state that changes. Source: Istio 1.4's adapters of these names.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple, Protocol

from argosy.api.mixer_adapters import DenierParams, ListCheckerParams, Params
from argosy.mixer.functions import compile_regex
from argosy.mixer.status import OK, PERMISSION_DENIED, STATUS_NAMES, parse_status_code

FAILED_PRECONDITION = 9


class CheckResult(NamedTuple):
    """A handler's verdict: gRPC code, message, and for how long (seconds) and how often it may be re-used."""

    code: int
    message: str
    valid_duration_s: float
    valid_use_count: int


class Adapter(Protocol):
    """Decides one instance. `value` is None for `checknothing`."""

    @property
    def templates(self) -> tuple[str, ...]: ...

    def check(self, value: object) -> CheckResult: ...


class ParamsError(ValueError):
    """A parameter is wrong: `field` is its path below `spec.params`."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.hint = field, message, hint


@dataclass(frozen=True, slots=True)
class Denier:
    """Refuses everything with one status."""

    code: int
    message: str
    valid_duration_s: float
    valid_use_count: int
    templates: tuple[str, ...] = ("checknothing", "listentry")

    def check(self, value: object) -> CheckResult:
        """Always the configured status."""
        return CheckResult(self.code, self.message, self.valid_duration_s, self.valid_use_count)


@dataclass(frozen=True, slots=True)
class ListChecker:
    """Admits what is on the list (white) or what is not (black)."""

    entries: ListEntries
    blacklist: bool
    valid_duration_s: float
    valid_use_count: int
    templates: tuple[str, ...] = ("listentry",)

    def check(self, value: object) -> CheckResult:
        """PERMISSION_DENIED names the value, as Istio's does."""
        text = str(value)
        try:
            listed = self.entries.contains(text)
        except ValueError as error:
            return CheckResult(PERMISSION_DENIED, str(error), self.valid_duration_s, self.valid_use_count)
        if listed is not self.blacklist:
            return CheckResult(OK, "", self.valid_duration_s, self.valid_use_count)
        message = f"{text} is {'blacklisted' if self.blacklist else 'not whitelisted'}"
        return CheckResult(PERMISSION_DENIED, message, self.valid_duration_s, self.valid_use_count)


class ListEntries(Protocol):
    """A list's entries by their type."""

    def contains(self, value: str) -> bool: ...


@dataclass(frozen=True, slots=True)
class Strings:
    """Equality, with or without case."""

    entries: frozenset[str]
    fold: bool = False

    def contains(self, value: str) -> bool:
        """True if the value is listed."""
        return (value.lower() if self.fold else value) in self.entries


@dataclass(frozen=True, slots=True)
class Networks:
    """Addresses and CIDR ranges."""

    entries: tuple[IPv4Network | IPv6Network, ...]

    def contains(self, value: str) -> bool:
        """True if the address lies in a range; raises ValueError if `value` is no address."""
        address = ip_address(value)
        return any(address in network for network in self.entries if network.version == address.version)


@dataclass(frozen=True, slots=True)
class Patterns:
    """RE2 expressions that match somewhere in the value."""

    entries: tuple[str, ...]

    def contains(self, value: str) -> bool:
        """True if any expression matches."""
        return any(compile_regex(pattern).search(value) is not None for pattern in self.entries)


def make_adapter(params: Params) -> Adapter:
    """The adapter with `params`; raises `ParamsError`."""
    if isinstance(params, DenierParams):
        return _make_denier(params)
    if isinstance(params, ListCheckerParams):
        return _make_listchecker(params)
    raise ParamsError("", "this adapter decides no checks")


def _make_denier(params: DenierParams) -> Denier:
    code = FAILED_PRECONDITION if params.status.code is None else parse_status_code(params.status.code)
    if code is None or code == OK:
        hint = "use 1 to 16 or a name, e.g. 7"
        raise ParamsError("status.code", f"{params.status.code!r} is not a gRPC error code", hint)
    message = params.status.message or STATUS_NAMES[code]
    return Denier(code, message, params.valid_duration, params.valid_use_count)


def _make_listchecker(params: ListCheckerParams) -> ListChecker:
    entries = _make_entries(params.entry_type, params.overrides)
    return ListChecker(entries, params.blacklist, params.caching_interval, params.caching_use_count)


def _make_entries(entry_type: str, overrides: tuple[str, ...]) -> ListEntries:
    if entry_type == "STRINGS":
        return Strings(frozenset(overrides))
    if entry_type == "CASE_INSENSITIVE_STRINGS":
        return Strings(frozenset(entry.lower() for entry in overrides), fold=True)
    networks: list[IPv4Network | IPv6Network] = []
    for index, entry in enumerate(overrides):
        try:
            if entry_type == "REGEX":
                compile_regex(entry)
            else:
                networks.append(ip_network(entry, strict=False))
        except ValueError as error:
            raise ParamsError(f"overrides[{index}]", str(error)) from None
    return Patterns(overrides) if entry_type == "REGEX" else Networks(tuple(networks))
