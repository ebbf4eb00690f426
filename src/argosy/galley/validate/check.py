"""`Check`: collects findings about one object, with the rules that many kinds share (hosts, ports, durations, ...).

Given a typed object; each method looks at one value and adds a finding when it is wrong. Fields are given as the
document spells them (`spec.http[0].timeout`), so that the caller can find the line. Pure.
Source: Istio's and Kubernetes' validation rules; Envoy's limits where it would refuse what Istio lets pass.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from string import ascii_letters, ascii_lowercase, digits
from typing import Any

import msgspec
import re2

from argosy.api.meta import Object
from argosy.api.paths import format_path
from argosy.core.errors import Finding, Level
from argosy.core.hosts import splits_label

REGEX_CHARS_MAX = 1024
DURATION_S_MAX = 315_576_000_000.0
_LOWER = frozenset(ascii_lowercase + digits + "-")
_ANY = frozenset(ascii_letters + digits + "-")
_LABEL = frozenset(ascii_letters + digits + "-_.")
_PLAIN = frozenset(ascii_letters + digits + "-_")
_TOKEN = frozenset(ascii_letters + digits + "!#$%&'*+-.^_`|~")


class Check:
    """The findings about one object, and the means to add to them."""

    def __init__(self, obj: Object[Any]) -> None:
        self.obj = obj
        self.findings: list[Finding] = []

    def error(self, code: str, field: str, message: str, hint: str = "") -> None:
        """Add a finding that refuses the object."""
        self._add(Level.ERROR, code, field, message, hint)

    def warn(self, code: str, field: str, message: str, hint: str = "") -> None:
        """Add a finding that does not refuse the object."""
        self._add(Level.WARNING, code, field, message, hint)

    def info(self, code: str, field: str, message: str, hint: str = "") -> None:
        """Add a finding that is only worth knowing."""
        self._add(Level.INFO, code, field, message, hint)

    def _add(self, level: Level, code: str, field: str, message: str, hint: str) -> None:
        o = self.obj
        self.findings.append(Finding(code, level, message, o.kind, o.namespace, o.name, field, o.origin, hint))

    def host(self, field: str, host: str, *, wildcard: bool = False) -> None:
        """A DNS name; with `wildcard`, also `*`, `*.suffix` and `*suffix`."""
        name = host
        if "*" in host:
            if not wildcard:
                self.error("ARG0104", field, f"wildcard {host!r} is not allowed here", "name one host")
                return
            if host == "*":
                return
            name = host[1:].removeprefix("-") if splits_label(host) else host.removeprefix("*.")
        if not is_dns_name(name):
            hint = "use labels of a-z, 0-9 and '-' joined by dots"
            if ":" in name or "/" in name:
                hint = "the name alone: no scheme, port or path"
            self.error("ARG0103", field, f"{host!r} is not a host name", hint)
        elif host.rpartition(".")[2].isdecimal() and "." in host:
            what = "an address" if is_ip(host) else "no host name: its last label is a number"
            self.error("ARG0103", field, f"{host!r} is {what}", "name a host")

    def server_name(self, field: str, host: str) -> None:
        """A host that TLS greetings name: proxies tell those apart by whole labels only."""
        if splits_label(host):
            message = f"wildcard {host!r} is none for TLS: server names are compared label by label"
            self.error("ARG0104", field, message, f"write *.{host.partition('.')[2]}, or name the hosts")

    def full_host(self, field: str, host: str) -> None:
        """A DNS name with a dot, or a wildcard: whoever reads it knows no namespace to complete it by."""
        self.host(field, host, wildcard=True)
        if host and "." not in host and "*" not in host:
            hint = f"write {host}.<namespace>.svc.cluster.local"
            self.error("ARG0103", field, f"short name {host!r} is not allowed here", hint)

    def subset(self, field: str, name: str) -> None:
        """The name of a subset, in any case."""
        if not is_any_label(name):
            self.error(
                "ARG0101", field, f"subset {name!r} is not a DNS label", "use letters, digits and '-', at most 63"
            )

    def port_name(self, field: str, name: str) -> None:
        """The name of a port, in any case."""
        if not is_any_label(name):
            hint = "use letters, digits and '-', at most 63"
            self.error("ARG0101", field, f"port name {name!r} is not a DNS label", hint)

    def socket(self, field: str, address: str) -> None:
        """`unix://` and the absolute path of a Unix socket, or `@` and the name of an abstract one."""
        path = address.removeprefix("unix://")
        if len(path) < 2 or path[0] not in "/@" or (path[0] == "/" and path.endswith("/")):
            hint = "write unix:///path/to/socket, or unix://@name for an abstract one"
            self.error("ARG0125", field, f"{path!r} is not the absolute path of a socket", hint)

    def port(self, field: str, number: int | None) -> None:
        """A port number, 1-65535."""
        if number is not None and not 1 <= number <= 65535:
            self.error("ARG0105", field, f"port {number} is not in 1-65535")

    def percent(self, field: str, value: float | None) -> None:
        """A percentage, 0-100."""
        if value is not None and not 0 <= value <= 100:
            self.error("ARG0106", field, f"{value:g} is not in 0-100")

    def duration(self, field: str, seconds: float | None, *, zero: bool = False) -> None:
        """A duration of at least 1 ms, in whole milliseconds; with `zero`, also 0."""
        if seconds is None or (zero and seconds == 0):
            return
        if seconds < 0.001 or seconds > DURATION_S_MAX:
            self.error(
                "ARG0107", field, f"duration {seconds:g}s must be at least 1ms", "write for example 500ms or 10s"
            )
        elif abs(seconds * 1000 - round(seconds * 1000)) > 1e-6:
            self.error("ARG0107", field, f"duration {seconds:g}s is finer than 1ms", "round to whole milliseconds")

    def regex(self, field: str, pattern: str) -> None:
        """A regular expression that RE2 compiles, at most 1,024 characters."""
        if len(pattern) > REGEX_CHARS_MAX:
            self.error("ARG0108", field, f"regular expression is longer than {REGEX_CHARS_MAX} characters")
            return
        options = re2.Options()
        options.log_errors = False
        try:
            re2.compile(pattern, options)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
            hint = "the syntax is RE2's: no look-around, no back-references"
            if pattern.startswith("*"):
                hint = "this is no wildcard: .* stands for any text"
            self.error("ARG0108", field, f"not a regular expression: {reason}", hint)

    def one_of(self, field: str, given: Mapping[str, bool], *, required: bool = True) -> None:
        """Exactly one (or, if not `required`, at most one) of the named members is given."""
        present = [name for name, is_given in given.items() if is_given]
        if len(present) > 1:
            self.error("ARG0109", field, f"{' and '.join(present)} exclude each other", "keep one of them")
        elif required and not present:
            self.error("ARG0110", field, f"one of {', '.join(given)} is needed")

    def not_empty(self, field: str, value: object, what: str) -> None:
        """`value` holds something."""
        if not value:
            self.error("ARG0110", field, f"{what} is needed")

    def at_least(self, field: str, value: int | None, least: int = 0, most: int = 2**32 - 1) -> None:
        """A number within bounds."""
        if value is not None and not least <= value <= most:
            self.error("ARG0122", field, f"{value} is not in {least}-{most}")

    def weights(self, field: str, weights: Iterable[int]) -> None:
        """Relative weights of several destinations: none negative, not all zero."""
        values = list(weights)
        for index, weight in enumerate(values):
            if not 0 <= weight < 2**31:
                self.error("ARG0111", f"{field}[{index}].weight", f"weight {weight} is negative or too large")
        if len(values) > 1 and not any(values):
            self.error(
                "ARG0111", field, "the weights of all destinations are 0", "weights are relative: give at least one"
            )
        elif sum(values) >= 2**32:
            self.error("ARG0111", field, "the weights add up to more than 4294967295")

    def unique(self, field: str, values: Iterable[tuple[str, object]], what: str) -> None:
        """No value occurs twice; `values` are (suffix of the field, value)."""
        seen: set[object] = set()
        for suffix, value in values:
            if value in seen:
                self.error("ARG0114", f"{field}{suffix}", f"{what} {value!r} stands here twice")
            seen.add(value)

    def network(self, field: str, text: str) -> None:
        """An IP address or a CIDR block."""
        try:
            network = ipaddress.ip_network(text, strict=False)
            # Python takes netmasks too.
            if "/" in text and not text.rpartition("/")[2].isdecimal():
                raise ValueError
        except ValueError:
            self.error(
                "ARG0115", field, f"{text!r} is not an IP address or CIDR block", "write 10.1.2.3 or 10.1.0.0/16"
            )
            return
        if "%" in text:
            self.error("ARG0115", field, f"{text!r} names a link of one machine", "leave out what follows '%'")
        elif network.version == 6 and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
            own = f"{network.network_address.ipv4_mapped}/{network.prefixlen - 96}"
            self.error("ARG0115", field, f"{text!r} would match nobody: IPv4 is compared as such", f"write {own}")

    def address(self, field: str, text: str) -> None:
        """An IP address."""
        if not is_ip(text):
            self.error("ARG0115", field, f"{text!r} is not an IP address")

    def dns_label(self, field: str, name: str, what: str) -> None:
        """A DNS label in lower case, at most 63 characters."""
        if not is_label(name):
            self.error("ARG0101", field, f"{what} {name!r} is not a DNS label", "use a-z, 0-9 and '-', at most 63")

    def labels(self, field: str, labels: Mapping[str, str]) -> None:
        """Kubernetes labels: keys `[prefix/]name`, values of at most 63 characters."""
        for key, value in labels.items():
            at = member(field, key)
            prefix, slash, name = key.rpartition("/")
            if not _is_label_name(name) or not name or (slash and not is_dns_name(prefix)):
                self.error("ARG0102", at, f"label key {key!r} is not valid")
            if not _is_label_name(value):
                hint = "letters, digits, '-', '_' and '.', at most 63, starting and ending with a letter or digit"
                self.error("ARG0102", at, f"label value {value!r} is not valid", hint)

    def header_name(self, field: str, name: str, *, pseudo: bool = False, plain: bool = False) -> None:
        """An HTTP header's name; with `pseudo`, `:authority` and the like too; `plain`: letters, digits, `-`, `_`."""
        token = name[1:] if pseudo and name.startswith(":") else name
        if not token or not set(token) <= (_PLAIN if plain else _TOKEN) or len(name) > 256:
            self.error("ARG0112", field, f"{name!r} is not a header name")

    def status(self, field: str, code: int | None, least: int = 200) -> None:
        """An HTTP status."""
        if code is not None and not least <= code <= 599:
            self.error("ARG0113", field, f"HTTP status {code} is not in {least}-599")

    def printable(self, field: str, text: str) -> None:
        """No control characters: they could split headers or end names early."""
        if any(ord(char) < 32 or ord(char) == 127 for char in text):
            self.error("ARG0116", field, "control characters are not allowed here")

    def json_object(self, field: str, text: str) -> dict[str, Any] | None:
        """A JSON object, as access logs have it: what it holds, if it is one."""
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except msgspec.DecodeError as error:
            self.error("ARG0175", field, f"not a JSON object: {error}", 'write {"name": "%FORMAT%", ...}')
            return None

    def export_to(self, values: Sequence[str], *, nobody: bool = False) -> None:
        """`.` (own namespace), `*` (all), `~` (none; with `nobody`) or a namespace; `*` and `~` stand alone."""
        seen: set[str] = set()
        for index, value in enumerate(values):
            field = f"spec.exportTo[{index}]"
            if value not in (".", "*", "~") and not is_label(value):
                hint = "'.' is the own namespace, '*' all; else a namespace"
                self.error("ARG0126", field, f"{value!r} is not a namespace", hint)
            elif value == "~" and not nobody:
                self.error("ARG0126", field, f"a {self.obj.kind} cannot be for nobody (~)", "'.' is the own namespace")
            elif value in ("*", "~") and len(values) > 1:
                self.error("ARG0126", field, f"{value!r} goes with no other value", "keep one of them")
            meant = self.obj.namespace if value == "." else value
            if meant in seen:
                self.error("ARG0114", field, f"namespace {meant!r} stands here twice", "'.' is the own namespace")
            seen.add(meant)

    def gateway_names(self, field: str, names: Iterable[str]) -> None:
        """`[namespace/]name` of Gateways, or `mesh`."""
        for index, name in enumerate(names):
            namespace, slash, own = name.rpartition("/")
            if (
                not is_dns_name(own)
                or (slash and "." in own)
                or (slash and not is_label(namespace) and namespace != ".")
            ):
                self.error(
                    "ARG0101",
                    f"{field}[{index}]",
                    f"{name!r} is not the name of a gateway",
                    "[namespace/]name, or mesh",
                )


def member(field: str, key: str) -> str:
    """The path of `key` within the map at `field`."""
    # format_path drops the leading dot of a lone key, which a member of something needs.
    text = format_path((key,))
    return field + (text if text.startswith("[") else f".{text}")


def regex_groups(pattern: str) -> int | None:
    """How many groups a regular expression has, or None if it is none."""
    options = re2.Options()
    options.log_errors = False
    try:
        return int(re2.compile(pattern, options).groups)
    except re2.error:
        return None


def rewrite_problem(text: str, groups: int) -> str:
    """What is wrong with a substitution for an expression with that many groups; empty if nothing is."""
    at = 0
    while (at := text.find("\\", at)) >= 0:
        following = text[at + 1 : at + 2]
        if following not in ("\\", *digits) or not following:
            return "a backslash is followed by neither a digit nor a backslash"
        if following.isdecimal() and int(following) > groups:
            return f"group {following} does not exist"
        at += 2
    return ""


def is_label(name: str) -> bool:
    """True for a DNS label in lower case."""
    return 0 < len(name) <= 63 and set(name) <= _LOWER and name[0] != "-" != name[-1]


def is_any_label(name: str) -> bool:
    """True for a DNS label in any case."""
    return is_label(name.lower())


def is_dns_name(name: str) -> bool:
    """True for dotted DNS labels (a final dot is not allowed), in any case."""
    if not 0 < len(name) <= 253:
        return False
    return all(0 < len(p) <= 63 and set(p) <= _ANY and p[0] != "-" != p[-1] for p in name.split("."))


def is_ip(text: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_label_name(text: str) -> bool:
    if not text:
        return True
    return len(text) <= 63 and set(text) <= _LABEL and text[0].isalnum() and text[-1].isalnum()
