"""Typed text: how the expression language reads addresses, moments, durations, DNS names, e-mail addresses and URIs.

Each `parse_x` takes text and gives a value or raises ValueError; each `canonical_x` gives what equality compares, so
that names compare without case, the domain of an e-mail as a name, the host of a URI as a name. Source: Istio 1.4's
`mixer/pkg/lang` (behaviour, not code); RFC 3339, 3986, 5322; STD 3.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from encodings import idna
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from string import hexdigits

import re2

from argosy.mixer.attributes import IPAddress

_MOMENT = re2.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?P<fraction>\.\d+)?(?:Z|[+-]\d\d:\d\d)")
_DURATION_PART = re2.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION_S_MAX = (2**63 - 1) / 1e9
"""As long as Go's durations get."""
_LABEL = re2.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?")
_LETTERS = "ßς"
_DOTS = str.maketrans("。．｡", "...")
_LABEL_MAX, _NAME_MAX = 63, 253
_ATOM = r"[^\x00-\x20\x7f()<>\[\]:;@\\,.\"]+"
_EMAIL = re2.compile(rf'(?P<local>{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\r\n]|\\.)*")@(?P<domain>[^@\s]+)')
_SCHEME = re2.compile(r"(?s)([A-Za-z][A-Za-z0-9+.-]*):(.*)")
_AUTHORITY = re2.compile(r"(?:(?P<user>[^@]*)@)?(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?::(?P<port>\d*))?")
_WEB = ("http", "https")


def parse_ip(text: str) -> IPAddress:
    """An address of either family, without a zone."""
    if "%" in text:
        raise ValueError(f"{text!r} is not an address")
    return canonical_ip(ip_address(text))


def canonical_ip(address: IPAddress) -> IPv4Address | IPv6Address:
    """An IPv4 address that came as IPv6 is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def parse_timestamp(text: str) -> datetime:
    """RFC 3339."""
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not an RFC 3339 date and time, like 2015-01-02T15:04:35Z")
    fraction = found["fraction"] or ""
    # Python knows microseconds at most; what is finer is cut off.
    exact = text if len(fraction) <= 7 else text.replace(fraction, fraction[:7], 1)
    try:
        return datetime.fromisoformat(exact).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text!r} is before the year 1 or after the year 9999") from None


def parse_duration(text: str) -> timedelta:
    """Go's form: `1h2m3.5s`, `-250ms`, `0`."""
    rest = text[1:] if text[:1] in ("-", "+") else text
    at, total = 0, 0.0
    while found := _DURATION_PART.match(rest, at):
        total += float(found[1]) * _UNITS[found[2]]
        at = found.end()
    if rest != "0" and (not rest or at < len(rest)):
        raise ValueError(f"{text!r} is not a duration")
    if total > DURATION_S_MAX:
        raise ValueError(f"{text!r} is longer than durations get")
    return timedelta(seconds=-total if text.startswith("-") else total)


def parse_dns_name(text: str) -> str:
    """A host name, as it is written; a final dot is allowed."""
    canonical_dns_name(text)
    return text


@lru_cache(maxsize=1024)
def canonical_dns_name(text: str) -> str:
    """In ASCII and lower case, without the final dot."""
    name = text[:-1] if text.endswith(".") else text
    labels = [_label(label, text) for label in name.translate(_DOTS).split(".")]
    canonical = ".".join(labels)
    if len(canonical) > _NAME_MAX:
        raise ValueError(f"{text!r} is too long for a DNS name")
    return canonical


def _label(label: str, name: str) -> str:
    try:
        encoded = label if label.isascii() else _ascii(label)
    except UnicodeError:
        encoded = ""
    hyphens = encoded[2:4] == "--" and encoded[:2].lower() != "xn"
    if not _LABEL.fullmatch(encoded) or len(encoded) > _LABEL_MAX or hyphens:
        raise ValueError(f"{name!r} is not a DNS name: bad label {label!r}")
    return encoded.lower()


def _ascii(label: str) -> str:
    """As names are written today: unlike in Python's IDNA of 2003, `ß` and the final sigma are letters of their own."""
    prepared = "".join(
        part if part in _LETTERS else idna.nameprep(part) for part in re2.split(f"([{_LETTERS}])", label) if part
    )
    return prepared if prepared.isascii() else f"xn--{prepared.encode('punycode').decode()}"


def parse_email(text: str) -> str:
    """An address without a display name, as it is written."""
    canonical_email(text)
    return text


@lru_cache(maxsize=1024)
def canonical_email(text: str) -> str:
    """The local part without quotes, the domain as a DNS name."""
    bare = text[1:-1] if text.startswith("<") and text.endswith(">") else text
    found = _EMAIL.fullmatch(bare)
    if found is None:
        raise ValueError(f"{text!r} is not an e-mail address")
    local = found["local"]
    if local.startswith('"'):
        local = re2.sub(r"\\(.)", r"\1", local[1:-1])
    return f"{local}@{canonical_dns_name(found['domain'])}"


def parse_uri(text: str) -> str:
    """A URI or a relative reference, as it is written."""
    canonical_uri(text)
    return text


@lru_cache(maxsize=1024)
def canonical_uri(text: str) -> str:
    """The scheme in lower case, no empty fragment, blanks as `%20`; of web addresses the host as a name, and no empty
    port."""
    if not text or any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise ValueError(f"{text!r} is not a URI")
    matched = _SCHEME.fullmatch(text)
    scheme, rest = (matched[1].lower(), matched[2]) if matched else ("", text)
    authority, path = _split(rest)
    if not matched and not authority and ":" in path.partition("/")[0]:
        raise ValueError(f"{text!r} is not a URI: no scheme stands before the colon")
    if _badly_escaped(path) or _badly_escaped(authority):
        raise ValueError(f"{text!r} is not a URI: bad escape")
    if rest.endswith("#") and rest.count("#") == 1:
        rest = rest[:-1]
    if path.startswith("/"):
        rest = rest.replace(path, path.replace(" ", "%20"), 1)
    if authority:
        after = rest[len(authority) :]
        rest = f"{_canonical_authority(authority[2:], text, web=scheme in _WEB)}{after}"
    return f"{scheme}:{rest}" if scheme else rest


def _split(rest: str) -> tuple[str, str]:
    """What stands after the scheme, as the authority with its slashes (or nothing) and the path."""
    path_end = min(at if (at := rest.find(char)) >= 0 else len(rest) for char in "?#")
    hierarchy = rest[:path_end]
    if not hierarchy.startswith("//"):
        return "", hierarchy
    slash = hierarchy.find("/", 2)
    return (hierarchy, "") if slash < 0 else (hierarchy[:slash], hierarchy[slash:])


def _badly_escaped(text: str) -> bool:
    pieces = text.split("%")[1:]
    return any(len(piece) < 2 or any(char not in hexdigits for char in piece[:2]) for piece in pieces)


def _canonical_authority(authority: str, text: str, *, web: bool) -> str:
    found = _AUTHORITY.fullmatch(authority)
    if found is None or " " in authority:
        raise ValueError(f"{text!r} is not a URI: bad host or port")
    host, port = found["host"], found["port"] or ""
    if web and host:
        host = host.lower() if host.startswith("[") else canonical_dns_name(host)
    user = f"{found['user']}@" if found["user"] is not None else ""
    keeps_colon = bool(port) or (found["port"] is not None and not web)
    return f"//{user}{host}{':' if keeps_colon else ''}{port}"
