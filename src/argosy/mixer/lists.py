"""`listchecker`: admits what is on a list (white), or what is not on it (black).

Given parameters and, where the list is kept elsewhere, the text of it whenever that has been read again. Gives
verdicts. A list that was never read, or that is older than its `ttl`, admits nobody: neither a white nor a black list
can tell then. Source: Istio 1.4's list adapter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Protocol

import yaml

from argosy.api.mixer_adapters import ListCheckerParams
from argosy.mixer.forms import canonical_ip
from argosy.mixer.functions import compile_regex
from argosy.mixer.port import Call, Verdict
from argosy.mixer.status import INVALID_ARGUMENT, OK, PERMISSION_DENIED, UNAVAILABLE
from argosy.mixer.values import text_of

NOT_YET = "it was not read yet"


class ParamsError(ValueError):
    """A parameter is wrong: `field` is its path below the parameters."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__(f"{field}: {message}")
        self.field, self.message, self.hint = field, message, hint


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
        try:
            address = canonical_ip(ip_address(value))
        except ValueError:
            raise ValueError(f"{value} is not a valid IP address") from None
        return any(address in network for network in self.entries if network.version == address.version)


@dataclass(frozen=True, slots=True)
class Patterns:
    """RE2 expressions that match somewhere in the value."""

    entries: tuple[str, ...]

    def contains(self, value: str) -> bool:
        """True if any expression matches."""
        return any(compile_regex(pattern).search(value) is not None for pattern in self.entries)


class ListChecker:
    """One `listchecker` handler; `provider_url` says what somebody has to read for it, if anything."""

    def __init__(self, params: ListCheckerParams) -> None:
        self.provider_url = params.provider_url
        self.refresh_s = params.refresh_interval
        self._params = params
        self._entries: ListEntries = make_entries(params.entry_type, params.overrides)
        self._read_at: float | None = None
        self._text = ""
        self.problem = "" if not params.provider_url else NOT_YET

    def check(self, call: Call, now: float) -> Verdict:
        """PERMISSION_DENIED names the value, as Istio's does."""
        if self.provider_url and not self._is_fresh(now):
            message = f"the list at {self.provider_url} cannot be used: {self.problem or 'it is too old'}"
            return Verdict(UNAVAILABLE, message, 0.0, 0, undecided=True)
        text = text_of(call.values.get("value"))
        try:
            listed = self._entries.contains(text)
        except ValueError as error:
            return self._verdict(INVALID_ARGUMENT, str(error))
        if listed is not self._params.blacklist:
            return self._verdict(OK)
        return self._verdict(
            PERMISSION_DENIED, f"{text} is {'blacklisted' if self._params.blacklist else 'not whitelisted'}"
        )

    def receive(self, text: str, now: float) -> None:
        """The list as it was just read: one entry a line, or YAML's list (of addresses also as `whitelist`, as Istio
        has it); beside it hold the overrides.

        A list with an entry that cannot be used is refused as a whole: the last good one holds on until its `ttl`.
        """
        try:
            named = _whitelist(text) if self._params.entry_type == "IP_ADDRESSES" else None
            entries = parse_list(text) if named is None else named
            self._entries = make_entries(self._params.entry_type, (*entries, *self._params.overrides))
        except ValueError as error:
            self.problem = str(error)
            return
        self._text, self._read_at, self.problem = text, now, ""

    def take_over(self, other: ListChecker) -> None:
        """Go on with what `other` has read of the same list: an edit of other parameters leaves no gap."""
        if other.provider_url == self.provider_url and other._read_at is not None:
            self.receive(other._text, other._read_at)

    def failed(self, reason: str) -> None:
        """The list could not be read."""
        self.problem = reason

    def _is_fresh(self, now: float) -> bool:
        return self._read_at is not None and now - self._read_at <= self._params.ttl

    def _verdict(self, code: int, message: str = "") -> Verdict:
        return Verdict(code, message, self._params.caching_interval, self._params.caching_use_count)


def parse_list(text: str) -> list[str]:
    """The entries of a list: one a line; blank lines and lines that begin with `#` are none; `- x` is `x`."""
    lines = (line.strip() for line in text.splitlines())
    return [line.removeprefix("- ").strip(" \"'") for line in lines if line and not line.startswith("#")]


def _whitelist(text: str) -> list[str] | None:
    """The entries of a YAML document `whitelist: [...]`, or None if `text` is none."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if not isinstance(document, dict):
        return None
    found = next((value for key, value in document.items() if str(key).lower() == "whitelist"), None)
    return [str(entry) for entry in found] if isinstance(found, list) else None


def make_entries(entry_type: str, entries: Sequence[str]) -> ListEntries:
    """Entries of that type; raises `ParamsError`."""
    if entry_type == "STRINGS":
        return Strings(frozenset(entries))
    if entry_type == "CASE_INSENSITIVE_STRINGS":
        return Strings(frozenset(entry.lower() for entry in entries), fold=True)
    networks: list[IPv4Network | IPv6Network] = []
    for index, entry in enumerate(entries):
        try:
            if entry_type == "REGEX":
                compile_regex(entry)
            else:
                networks.append(ip_network(entry, strict=False))
        except ValueError as error:
            raise ParamsError(f"overrides[{index}]", str(error)) from None
    return Patterns(tuple(entries)) if entry_type == "REGEX" else Networks(tuple(networks))
