"""Host names: short names to full ones, wildcards, and which of several matches is the most specific.

Rules are Istio's: a short name (no dot) in an object means `<name>.<the object's namespace>.svc.<domain>`; a wildcard
is `*` alone, a leading `*.`, or a leading `*` within a label (`*-v1.example.com`, `*v1.example.com`); the longest exact
name wins over any wildcard, a longer wildcard over a shorter one. Where somebody is to be connected to, a host stands
in `host:port` or in a URL.
"""

from __future__ import annotations

import string
from collections.abc import Container, Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

CLUSTER_DOMAIN = "cluster.local"
_HOST = frozenset(string.ascii_letters + string.digits + "-_")


def service_host(name: str, namespace: str, domain: str = CLUSTER_DOMAIN) -> str:
    """The full host of a Kubernetes Service."""
    return f"{name}.{namespace}.svc.{domain}"


def resolve_host(host: str, namespace: str, domain: str = CLUSTER_DOMAIN) -> str:
    """What `host` written in an object of `namespace` means, in lower case. Only names without a dot are completed."""
    if host.startswith("*") or "." in host:
        return host.lower()
    return service_host(host.lower(), namespace, domain)


def service_of_host(host: str, domain: str = CLUSTER_DOMAIN) -> tuple[str, str] | None:
    """(namespace, name) if `host` is a Kubernetes Service's full name, else None."""
    suffix = f".svc.{domain}"
    if not host.endswith(suffix):
        return None
    parts = host[: -len(suffix)].split(".")
    return (parts[1], parts[0]) if len(parts) == 2 and all(parts) else None


def called_service(host: str) -> str | None:
    """The full host of the Service that clients may call `host`: `<name>.<namespace>` or `<name>.<namespace>.svc`.

    Objects do not mean a Service by such a name: they take a name with a dot as it stands.
    """
    parts = host.lower().removesuffix(".svc").split(".")
    return service_host(*parts) if len(parts) == 2 and all(parts) and not is_wildcard(host) else None


def may_be_routed_only(host: str, namespaces: Container[str]) -> bool:
    """True for a name that rules may lead elsewhere though nobody declares it: no Service's name, and no address, which
    could be a pod's. `namespaces` are those that have Services: `a.b` is a Service's name if `b` is one of them."""
    called = service_of_host(called_service(host) or host)
    is_service = called is not None and (called[0] in namespaces or host.count(".") > 1)
    return not is_service and not is_address(host)


def is_address(text: str) -> bool:
    """True for an IPv4 or IPv6 address."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def parse_host_port(text: str) -> tuple[str, int] | None:
    """Host and port of `host:port`, where the host is a name or an address (of IPv6 in brackets, which are taken
    away); None for what nobody could connect to."""
    host, _colon, port = text.rpartition(":")
    if not (port.isascii() and port.isdecimal() and len(port) < 6 and 0 < int(port) < 65536):
        return None
    if host.startswith("[") and host.endswith("]"):
        return (host[1:-1], int(port)) if is_address(host[1:-1]) else None
    labels = host.removesuffix(".").split(".")
    is_name = len(host) < 254 and all(0 < len(one) < 64 and set(one) <= _HOST for one in labels)
    return (host, int(port)) if is_name else None


def is_http_url(text: str) -> bool:
    """True for a URL of http or https with a host that somebody could connect to."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    named = f"[{host}]" if ":" in host else host
    return parts.scheme in ("http", "https") and parse_host_port(f"{named}:{1 if port is None else port}") is not None


def is_wildcard(host: str) -> bool:
    """True for `*`, `*.suffix` and `*suffix`."""
    return host.startswith("*")


def splits_label(host: str) -> bool:
    """True for a wildcard that begins within a label: `*-v1.example.com`, `*v1.example.com`."""
    return host.startswith("*") and host != "*" and not host.startswith("*.")


def host_matches(pattern: str, host: str) -> bool:
    """True if `pattern` (exact or wildcard) covers `host` (exact or wildcard itself). Case-insensitive."""
    pattern, host = pattern.lower(), host.lower()
    if pattern == "*" or pattern == host:
        return True
    return pattern.startswith("*") and host.endswith(pattern[1:]) and len(host) > len(pattern) - 1


def hosts_overlap(one: str, other: str) -> bool:
    """True if some concrete host is covered by both."""
    return host_matches(one, other) or host_matches(other, one)


def specificity(pattern: str) -> tuple[int, int, str]:
    """Sort key: the most specific pattern first (exact before wildcard, longer before shorter, then by name)."""
    return (1 if is_wildcard(pattern) else 0, -len(pattern), pattern)


def most_specific(patterns: Iterable[str], host: str) -> str | None:
    """The most specific of `patterns` that covers `host`, or None."""
    return min((p for p in patterns if host_matches(p, host)), key=specificity, default=None)
