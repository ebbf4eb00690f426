"""Handlers: the compiled adapters that decide checks (`denier`, `listchecker`), made from their parameters.

Given: `params` of a handler object. Gives: an adapter that turns an instance's value into a `CheckResult`; or findings
that say which parameter is wrong. Adapters hold no state that changes. Source: Istio 1.4's adapters of these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, NamedTuple, Protocol

from argosy.mixer.functions import compile_regex, parse_duration
from argosy.mixer.status import OK, PERMISSION_DENIED, STATUS_NAMES, parse_status_code

VALID_DURATION_S = 5.0
VALID_USE_COUNT = 1000
LIST_DURATION_S = 300.0
LIST_USE_COUNT = 10_000
FAILED_PRECONDITION = 9
ENTRY_TYPES = ("STRINGS", "CASE_INSENSITIVE_STRINGS", "IP_ADDRESSES", "REGEX")


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


def make_adapter(name: str, params: Mapping[str, Any]) -> Adapter:
    """The adapter `name` with `params`; raises `ParamsError`."""
    if name == "denier":
        return _make_denier(params)
    if name == "listchecker":
        return _make_listchecker(params)
    raise ParamsError("", f"adapter {name!r} is not supported", "supported adapters are denier and listchecker")


def _make_denier(params: Mapping[str, Any]) -> Denier:
    _only(params, ("status", "validDuration", "validUseCount"))
    status = params.get("status", {})
    if not isinstance(status, Mapping):
        raise ParamsError("status", "must be an object with code and message")
    code = FAILED_PRECONDITION
    if "code" in status:
        parsed = parse_status_code(status["code"])
        if parsed is None or parsed == OK:
            raise ParamsError("status.code", f"{status['code']!r} is not a gRPC error code", "use 1 to 16, e.g. 7")
        code = parsed
    return Denier(
        code=code,
        message=str(status.get("message", "")) or STATUS_NAMES[code],
        valid_duration_s=_seconds(params, "validDuration", VALID_DURATION_S),
        valid_use_count=_count(params, "validUseCount", VALID_USE_COUNT),
    )


def _make_listchecker(params: Mapping[str, Any]) -> ListChecker:
    for unsupported in ("providerUrl", "refreshInterval", "ttl"):
        if params.get(unsupported):
            raise ParamsError(unsupported, "lists from a provider are not supported yet", "write them in overrides")
    _only(params, ("overrides", "blacklist", "entryType", "cachingInterval", "cachingUseCount"))
    blacklist = params.get("blacklist", False)
    if not isinstance(blacklist, bool):
        raise ParamsError("blacklist", "must be true or false")
    overrides = params.get("overrides", ())
    if isinstance(overrides, str) or not all(isinstance(entry, str) for entry in overrides):
        raise ParamsError("overrides", "must be a list of strings")
    return ListChecker(
        entries=_make_entries(str(params.get("entryType", "STRINGS")), tuple(overrides)),
        blacklist=blacklist,
        valid_duration_s=_seconds(params, "cachingInterval", LIST_DURATION_S),
        valid_use_count=_count(params, "cachingUseCount", LIST_USE_COUNT),
    )


def _make_entries(entry_type: str, overrides: tuple[str, ...]) -> ListEntries:
    if entry_type == "STRINGS":
        return Strings(frozenset(overrides))
    if entry_type == "CASE_INSENSITIVE_STRINGS":
        return Strings(frozenset(entry.lower() for entry in overrides), fold=True)
    if entry_type not in ENTRY_TYPES:
        raise ParamsError("entryType", f"unknown type {entry_type!r}", f"one of {', '.join(ENTRY_TYPES)}")
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


def _only(params: Mapping[str, Any], names: tuple[str, ...]) -> None:
    for name in params:
        if name not in names:
            raise ParamsError(name, "unknown parameter", f"known: {', '.join(names)}")


def _seconds(params: Mapping[str, Any], name: str, default: float) -> float:
    if name not in params:
        return default
    try:
        return parse_duration(str(params[name])).total_seconds()
    except ValueError as error:
        raise ParamsError(name, str(error), "e.g. 5s") from None


def _count(params: Mapping[str, Any], name: str, default: int) -> int:
    value = params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ParamsError(name, f"{value!r} is not a count")
    return value
