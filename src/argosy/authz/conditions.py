"""Whether single conditions of a rule hold for a call: yes, no, or None where that cannot be known.

Not known are: HTTP's attributes of a connection, the identity of a plaintext caller, and headers and hosts that can be
read in two ways. What follows from that is the rule's affair (`evaluate`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from string import ascii_letters, digits
from typing import Any

from argosy.api.security import Rule
from argosy.authz.call import Call, identity
from argosy.authz.spelling import canonical, template_parts
from argosy.core.names import DEFAULT_TRUST_DOMAIN

Answer = bool | None
_NAME_CHARS = frozenset(f"{ascii_letters}{digits}._-")
_HOST_CHARS = _NAME_CHARS | frozenset(":[]")


@dataclass(frozen=True, slots=True)
class Setting:
    """What conditions are read in: the mesh's trust domain and its aliases, the policy's own namespace."""

    domains: tuple[str, ...]
    namespace: str


HOST_HEADERS = frozenset({":authority", "host"})
"""Headers that hold the host: it is compared as `hosts` compares it."""

Attribute = Callable[[Call, str, Setting], Answer]


def wildcard(pattern: str, text: str) -> bool:
    """Istio's wildcards: `*` (not empty), leading, trailing, else exact. Any other `*` is itself."""
    if pattern == "*":
        return bool(text)
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def some(answers: Iterable[Answer]) -> Answer:
    """Whether one of several holds: yes goes before unknown, unknown before no."""
    found = list(answers)
    return True if True in found else None if None in found else False


def every(answers: Iterable[Answer]) -> Answer:
    """Whether all of several hold: no goes before unknown, unknown before yes."""
    found = list(answers)
    return False if False in found else None if None in found else True


def negate(answer: Answer) -> Answer:
    """The contrary; what is not known stays so."""
    return None if answer is None else not answer


# -- the caller -----------------------------------------------------------------------------------------------------


def principal(call: Call, pattern: str, setting: Setting) -> Answer:
    """The caller's identity; the mesh's own trust domains stand for one another."""
    if not call.peer.startswith("spiffe://"):
        return None
    name = call.peer.removeprefix("spiffe://")
    if any(wildcard(one, name) for one in principals(pattern, setting.domains, broad=False)):
        return True
    return None if any(wildcard(one, name) for one in principals(pattern, setting.domains, broad=True)) else False


def principals(pattern: str, domains: Sequence[str], *, broad: bool) -> tuple[str, ...]:
    """A pattern for identities, in all trust domains of the mesh where it names one of them.

    `cluster.local` names them too, in a mesh that is called otherwise. Broad: it may as well be somebody else's domain.
    """
    domain, slash, rest = pattern.partition("/")
    if not slash:
        return (pattern,)
    everywhere = tuple(f"{one}/{rest}" for one in domains)
    if domain in domains:
        return everywhere
    if domain == DEFAULT_TRUST_DOMAIN:
        return (*everywhere, pattern) if broad else everywhere
    if domain != "*" and domain.startswith("*") and any(wildcard(domain, one) for one in domains):
        return (pattern, *everywhere)
    return (pattern,)


def _of_identity(part: Callable[[tuple[str, str, str], str, Setting], Answer]) -> Attribute:
    def check(call: Call, pattern: str, setting: Setting) -> Answer:
        if not call.peer.startswith("spiffe://"):
            return None
        found = identity(call.peer)
        return found is not None and part(found, pattern, setting)

    return check


def _own(found: tuple[str, str, str], setting: Setting) -> Answer:
    """Whether an identity is the mesh's own; of others it is not known whether their names mean what ours do."""
    return found[0] in setting.domains or None


def _namespace(found: tuple[str, str, str], pattern: str, setting: Setting) -> Answer:
    return namespace_fits(pattern, found[1]) and _own(found, setting)


def namespace_fits(pattern: str, name: str) -> bool:
    """Whether a namespace fits a pattern, in which `*` may stand anywhere."""
    return all_fit(pattern.split("*"), name) and (pattern != "*" or bool(name))


def all_fit(parts: Sequence[str], text: str) -> bool:
    """Whether a text is made of parts, with anything between them."""
    if len(parts) == 1:
        return text == parts[0]
    if not text.startswith(parts[0]) or not text[len(parts[0]) :].endswith(parts[-1]):
        return False
    at, end = len(parts[0]), len(text) - len(parts[-1])
    for part in parts[1:-1]:
        at = text.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return True


def _account(found: tuple[str, str, str], pattern: str, setting: Setting) -> Answer:
    before, slash, name = pattern.rpartition("/")
    return found[1:] == (before if slash else setting.namespace, name) and _own(found, setting)


def _domain(found: tuple[str, str, str], pattern: str, setting: Setting) -> bool:
    return found[0] in (setting.domains if pattern in setting.domains else ()) or wildcard(pattern, found[0])


def _address(of: Callable[[Call], str]) -> Attribute:
    return lambda call, block, _setting: ip_address(of(call)) in ip_network(block, strict=False)


# -- the token ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextMatch:
    """How a text is compared: `exact`, `prefix`, `suffix`, or `some` (not empty)."""

    how: str
    text: str = ""

    def fits(self, text: str) -> bool:
        """Whether a text is like that."""
        if self.how == "exact":
            return text == self.text
        if self.how == "some":
            return bool(text)
        return text.startswith(self.text) if self.how == "prefix" else text.endswith(self.text)


SOME = TextMatch("some")


def issuer_and_subject(pattern: str) -> tuple[TextMatch, TextMatch]:
    """What a pattern for `issuer/subject` says of each: the last slash parts them, as issuers are addresses."""
    before, slash, after = pattern.rpartition("/")
    if pattern == "*":
        return SOME, SOME
    if pattern.startswith("*"):
        if not slash:
            return SOME, TextMatch("suffix", pattern[1:])
        return (SOME if before == "*" else TextMatch("suffix", before[1:])), TextMatch("exact", after)
    if pattern.endswith("*"):
        if not slash:
            return TextMatch("prefix", pattern[:-1]), SOME
        return TextMatch("exact", before), SOME if after == "*" else TextMatch("prefix", after[:-1])
    return (TextMatch("exact", before), TextMatch("exact", after)) if slash else (TextMatch("exact", pattern), NOTHING)


NOTHING = TextMatch("exact")


def _request_principal(call: Call, pattern: str, _setting: Setting) -> Answer:
    if not call.http:
        return None
    issuers, subjects = (_texts(call.claims, (name,)) for name in ("iss", "sub"))
    issuer, subject = issuer_and_subject(pattern)
    pairs = [(iss, sub) for iss in issuers for sub in subjects]
    if any(issuer.fits(iss) and subject.fits(sub) for iss, sub in pairs):
        return True
    # A subject with a slash, an issuer below another: written together, they are what the pattern says.
    return None if any(wildcard(pattern, f"{iss}/{sub}") for iss, sub in pairs if iss and sub) else False


def _value(claims: Any, path: Sequence[str]) -> Any:
    for name in path:
        claims = claims.get(name) if hasattr(claims, "get") else None
    return claims


def _texts(claims: Any, path: Sequence[str]) -> list[str]:
    found = _value(claims, path)
    values = found if isinstance(found, list | tuple) else [found]
    return [value for value in values if isinstance(value, str)]


def _claim(path: Sequence[str]) -> Attribute:
    def check(call: Call, pattern: str, _setting: Setting) -> Answer:
        if not call.http:
            return None
        value = _value(call.claims, path)
        if isinstance(value, bool):
            return pattern == json.dumps(value)
        if isinstance(value, int | float):
            return _is_number(pattern) and float(pattern) == value
        return any(wildcard(pattern, text) for text in _texts(call.claims, path))

    return check


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal() and len(digits) <= 15


# -- the request ----------------------------------------------------------------------------------------------------


def _method(call: Call, pattern: str, _setting: Setting) -> Answer:
    return wildcard(pattern, call.method) if call.http else None


def comparable_path(path: str) -> str:
    """What policies compare: without query, fragment, and the parameters of each segment."""
    plain = path.partition("?")[0].partition("#")[0]
    return "/".join(segment.partition(";")[0] for segment in plain.split("/"))


def _path(call: Call, pattern: str, _setting: Setting) -> Answer:
    if not call.http:
        return None
    path = comparable_path(call.path)
    if pattern == "*":
        return bool(path)
    if "/;" in call.path.partition("?")[0].partition("#")[0]:
        # Some programs drop a segment of parameters alone, and its slash, and others keep it.
        return None
    if _is_path(pattern, path, folded=False):
        return True
    # `:` or `%3A`: most programs read them alike, and need not.
    return None if _is_path(pattern, path, folded=True) else False


def _is_path(pattern: str, path: str, *, folded: bool) -> bool:
    found = canonical(path, folded=folded)
    if "{*}" in pattern or "{**}" in pattern:
        return _fits([canonical(part, folded=folded) for part in template_parts(pattern)], found)
    if pattern.startswith("*"):
        return found.endswith(canonical(pattern[1:], folded=folded))
    if pattern.endswith("*"):
        return found.startswith(canonical(pattern[:-1], folded=folded))
    return found == canonical(pattern, folded=folded)


def _fits(template: Sequence[str], path: str) -> bool:
    """Whether a path fits a template: `{*}` is some of one segment, `{**}` anything."""
    if not template:
        return not path
    part, rest = template[0], template[1:]
    if part == "{**}":
        return any(_fits(rest, path[at:]) for at in range(len(path) + 1))
    if part == "{*}":
        segment = path.partition("/")[0]
        return any(_fits(rest, path[at:]) for at in range(1, len(segment) + 1))
    return path.startswith(part) and _fits(rest, path[len(part) :])


def _host(call: Call, pattern: str, _setting: Setting) -> Answer:
    if not call.http:
        return None
    pattern = pattern.lower()
    host, colon, port = call.host.lower().partition(":")
    # A final dot says that the name is whole; the proxy drops it.
    host = host.removesuffix(".")
    authority = f"{host}{colon}{port}"
    if pattern != "*" and not _HOST_CHARS.issuperset(authority):
        # `a,b`, `user@a`: another program may take any part of it for the host.
        return None
    if pattern == "*" or pattern.endswith("*"):
        return wildcard(pattern, authority)
    text = pattern.removeprefix("*")
    if _is_host(text, authority, leading=pattern != text):
        return True
    # A port that is none: which part is the host, another program may see otherwise.
    odd = authority.startswith(f"{text}:") if pattern == text else f"{text}:" in authority or authority.endswith(text)
    return None if odd else False


def _is_host(text: str, authority: str, *, leading: bool) -> bool:
    """Whether an authority, with or without its port, is a text, or (`leading`) a name that ends with it."""
    names = [authority]
    name, colon, port = authority.rpartition(":")
    if colon and 0 < len(port) <= 5 and port.isdecimal() and port.isascii():
        names.append(name)
    before = [one.removesuffix(text) for one in names if one.endswith(text)]
    return any(_NAME_CHARS.issuperset(one) if leading else not one for one in before)


# -- the connection -------------------------------------------------------------------------------------------------


def _port(call: Call, pattern: str, _setting: Setting) -> Answer:
    return call.destination_port == int(pattern)


def _sni(call: Call, pattern: str, _setting: Setting) -> Answer:
    return wildcard(pattern, call.sni)


def _found_by_filter(key: str) -> Attribute:
    name, _, rest = key.removeprefix("experimental.").partition("[")

    def check(call: Call, pattern: str, _setting: Setting) -> Answer:
        value = call.metadata.get(name, {}).get(rest.removesuffix("]"))
        if pattern.startswith("[") and pattern.endswith("]"):
            return isinstance(value, list | tuple) and any(wildcard(pattern[1:-1], one) for one in value)
        return isinstance(value, str) and wildcard(pattern, value)

    return check


# -- headers --------------------------------------------------------------------------------------------------------


def header(call: Call, name: str, values: Sequence[str]) -> Answer:
    """Whether a header has one of the values. Yes: every line is one. No: no line is, nor any part of a list."""
    if not call.http:
        return None
    if name.lower() in HOST_HEADERS:
        return some(_host(call, value, Setting((), "")) for value in values)
    lines = call.lines(name)
    if not lines or "*" in values:
        return bool(lines)
    leading = [value for value in values if value.startswith("*")]
    others = [value for value in values if not value.startswith("*")]
    for group in (leading, others):
        if group and all(any(wildcard(value, line) for value in group) for line in lines):
            return True
    return None if any(_listed(value, line) for value in values for line in lines) else False


def no_such_header(call: Call, name: str, values: Sequence[str]) -> Answer:
    """Whether a header has none of the values; not known where it has bytes that not every program reads alike."""
    answer = negate(header(call, name, values))
    if name.lower() in HOST_HEADERS:
        return answer
    odd = "*" not in values and any(not line.isascii() for line in call.lines(name))
    return None if answer and odd else answer


def _listed(value: str, line: str) -> bool:
    """Whether a line, or some part of it between commas, is the value."""
    commas = [at for at, char in enumerate(line) if char == ","]
    starts, ends = [0, *(at + 1 for at in commas)], [*commas, len(line)]
    parts = (line[start:end] for start in starts for end in ends if start <= end)
    return any(wildcard(value, text) for part in parts for text in (part, part.strip(" \t")))


SOURCES: dict[str, Attribute] = {
    "principals": principal,
    "namespaces": _of_identity(_namespace),
    "service_accounts": _of_identity(_account),
    "trust_domains": _of_identity(_domain),
    "request_principals": _request_principal,
    "ip_blocks": _address(lambda call: call.source_ip),
    "remote_ip_blocks": _address(lambda call: call.remote_ip),
}
OPERATIONS: dict[str, Attribute] = {"hosts": _host, "methods": _method, "paths": _path, "ports": _port}
CONDITIONS: dict[str, Attribute] = {
    "source.principal": principal,
    "source.namespace": SOURCES["namespaces"],
    "source.serviceAccount": SOURCES["service_accounts"],
    "source.trustDomain": SOURCES["trust_domains"],
    "source.ip": SOURCES["ip_blocks"],
    "remote.ip": SOURCES["remote_ip_blocks"],
    "destination.ip": _address(lambda call: call.destination_ip),
    "destination.port": _port,
    "connection.sni": _sni,
    "request.auth.principal": _request_principal,
    "request.auth.audiences": _claim(("aud",)),
    "request.auth.presenter": _claim(("azp",)),
}


def attribute(key: str) -> Attribute:
    """The attribute that a condition's key names; galley has refused unknown ones."""
    if key.startswith("request.auth.claims["):
        return _claim(key.removeprefix("request.auth.claims[").removesuffix("]").split("]["))
    if key.startswith("experimental.envoy.filters."):
        return _found_by_filter(key)
    return CONDITIONS[key]


_OF_HTTP = ("request.headers[", "request.auth.")


def needs_http(rule: Rule) -> bool:
    """Whether a rule asks about anything that only HTTP has."""
    return (
        any(one.key.startswith(_OF_HTTP) for one in rule.when)
        or any(one.source.request_principals or one.source.not_request_principals for one in rule.from_)
        or any(
            op.hosts or op.not_hosts or op.methods or op.not_methods or op.paths or op.not_paths
            for op in (to.operation for to in rule.to)
        )
    )
