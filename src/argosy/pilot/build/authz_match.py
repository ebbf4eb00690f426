"""Single conditions of AuthorizationPolicies as Envoy's matchers.

Each function gives one `Permission` or `Principal` (as a dict). `broad` says which way to err where Envoy cannot tell
exactly: a condition that refuses must not be slipped past, one that allows must not be stretched.
Names are compared by exact, prefix and suffix matchers; where a regular expression is needed, what users wrote is
escaped in it. Source: envoy.config.rbac.v3, envoy.type.matcher.v3; measured in docs/envoy-facts.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from argosy.authz.conditions import HOST_HEADERS, TextMatch, issuer_and_subject, principals
from argosy.authz.spelling import ALPHANUMERIC, UNRESERVED, path_bytes, template_parts
from argosy.envoy import values as v

Matcher = dict[str, Any]

JWT_FILTER = "envoy.filters.http.jwt_authn"
JWT_PAYLOAD = "payload"
"""Where a verified token's claims stand in a request's metadata: filter, first segment of the path."""
_SCHEME = "spiffe://"
_ANY_MESH = "spiffe://[^/]+"
_NOT_ASCII = r"(?s).*[\x80-\xff].*"
_PORT = "[0-9]{1,5}"
_PART_BYTES_MAX = 8192
_PLAIN_PATH = UNRESERVED | {"/"}


def any_of(permissions: Sequence[Matcher]) -> Matcher:
    """One of several permissions."""
    return permissions[0] if len(permissions) == 1 else {"or_rules": {"rules": list(permissions)}}


def all_of(permissions: Sequence[Matcher]) -> Matcher:
    """All of several permissions; without any, every request."""
    if not permissions:
        return {"any": True}
    return permissions[0] if len(permissions) == 1 else {"and_rules": {"rules": list(permissions)}}


def any_id(principals: Sequence[Matcher]) -> Matcher:
    """One of several principals."""
    return principals[0] if len(principals) == 1 else {"or_ids": {"ids": list(principals)}}


def all_ids(principals: Sequence[Matcher]) -> Matcher:
    """All of several principals; without any, every caller."""
    if not principals:
        return {"any": True}
    return principals[0] if len(principals) == 1 else {"and_ids": {"ids": list(principals)}}


def string(value: str, *, before: str = "", after: str = "") -> Matcher:
    """Istio's wildcards as a `StringMatcher`: `*` alone (not empty), leading or trailing, else exact.

    `before` and `after`: what stands around the value in what is compared.
    """
    if value == "*" and not before and not after:
        return {"safe_regex": v.regex("(?s).+")}
    if value.startswith("*") and not before:
        return {"suffix": value[1:] + after}
    if value.endswith("*") and not after:
        return {"prefix": before + value[:-1]}
    return {"exact": before + value + after}


def escape(text: str) -> str:
    """`text` as a regular expression that matches nothing else."""
    return "".join(_escape(char) for char in _bytes(text))


def _bytes(text: str) -> str:
    """One character for each byte: Envoy's regular expressions look at bytes."""
    return text.encode().decode("latin-1")


def _escape(char: str) -> str:
    if ord(char) > 127:
        return f"\\x{ord(char):02x}"
    return char if char.isalnum() else f"\\{char}"


# -- who calls ------------------------------------------------------------------------------------------------------


def authenticated(matcher: Matcher) -> Matcher:
    """The caller's certificate has a name like that."""
    return {"authenticated": {"principal_name": matcher}}


def identified() -> Matcher:
    """The caller came with an identity of some mesh."""
    return authenticated({"prefix": _SCHEME})


def principal(value: str, domains: Sequence[str], *, broad: bool) -> list[Matcher]:
    """`trust-domain/ns/.../sa/...`; one of the mesh's own trust domains stands for all of them."""
    if value == "*":
        return [identified()]
    return [authenticated(_principal(one)) for one in principals(value, domains, broad=broad)]


def _principal(value: str) -> Matcher:
    return {"suffix": value[1:]} if value.startswith("*") else string(value, before=_SCHEME)


def namespace(value: str, domains: Sequence[str], *, broad: bool) -> list[Matcher]:
    """The namespace in the caller's identity. Broad: in that of another mesh too, where it may mean anything."""
    if broad:
        return [authenticated({"safe_regex": v.regex(f"{_ANY_MESH}/ns/{_namespace(value)}/.*")})]
    return [authenticated(_in_namespace(value, f"{_SCHEME}{domain}/ns/")) for domain in domains]


def _namespace(value: str) -> str:
    return "[^/]+" if value == "*" else "[^/]*".join(escape(part) for part in value.split("*"))


def _in_namespace(value: str, before: str) -> Matcher:
    if value == "*":
        return {"prefix": before}
    if "*" in value[:-1]:
        return {"safe_regex": v.regex(f"{escape(before)}{_namespace(value)}/sa/.*")}
    if value.endswith("*"):
        return {"prefix": before + value[:-1]}
    return {"prefix": f"{before}{value}/"}


def service_account(value: str, domains: Sequence[str], own_namespace: str, *, broad: bool) -> list[Matcher]:
    """`namespace/account`, or `account` in the policy's own namespace; no wildcards. Broad: of other meshes too."""
    before, slash, name = value.rpartition("/")
    account = (before if slash else own_namespace, name)
    if broad:
        where, name = (escape(one) for one in account)
        return [authenticated({"safe_regex": v.regex(f"{_ANY_MESH}/ns/{where}/sa/{name}")})]
    where, name = account
    return [authenticated({"exact": f"{_SCHEME}{domain}/ns/{where}/sa/{name}"}) for domain in domains]


def trust_domain(value: str, domains: Sequence[str]) -> list[Matcher]:
    """The trust domain in the caller's identity."""
    if value == "*":
        return [identified()]
    if value.startswith("*"):
        return [authenticated({"safe_regex": v.regex(f"{_SCHEME}[^/]*{escape(value[1:])}/.*")})]
    if value.endswith("*"):
        return [authenticated({"prefix": _SCHEME + value[:-1]})]
    return [authenticated({"prefix": f"{_SCHEME}{one}/"}) for one in (domains if value in domains else (value,))]


def peer_address(value: str) -> Matcher:
    """The address that the connection comes from."""
    return {"direct_remote_ip": v.cidr(value)}


def client_address(value: str) -> Matcher:
    """The address of the client itself, as trusted proxies tell it."""
    return {"remote_ip": v.cidr(value)}


# -- what the token says --------------------------------------------------------------------------------------------


def request_principal(value: str, *, broad: bool) -> Matcher:
    """`issuer/subject` of the verified token, which are apart there: cut at the last slash, as issuers are addresses.

    Broad: cut anywhere, since a subject may have slashes too, and an issuer stand below another.
    """
    issuer, subject = issuer_and_subject(value)
    pairs = [(_text(issuer), _text(subject))]
    if broad and value != "*":
        pairs += [one for one in _cuts(value) if one not in pairs]
    return any_id([all_ids([_metadata(("iss",), iss), _metadata(("sub",), sub)]) for iss, sub in pairs])


def _cuts(value: str) -> list[tuple[Matcher, Matcher]]:
    leading, trailing = value.startswith("*"), value.endswith("*") and not value.startswith("*")
    text = value[1:] if leading else value[:-1] if trailing else value
    cuts = [(text[:at], text[at + 1 :]) for at, char in enumerate(text) if char == "/"]
    if leading:
        return [
            *(({"suffix": left} if left else _some(), {"exact": right}) for left, right in cuts),
            (_some(), {"suffix": text}),
        ]
    if trailing:
        return [
            *(({"exact": left}, {"prefix": right} if right else _some()) for left, right in cuts),
            ({"prefix": text}, _some()),
        ]
    return [({"exact": left}, {"exact": right}) for left, right in cuts]


def _text(match: TextMatch) -> Matcher:
    return _some() if match.how == "some" else {match.how: match.text}


def _some() -> Matcher:
    return string("*")


def claim(path: Sequence[str], value: str) -> Matcher:
    """A claim of the verified token: a text, a list of texts, or a number or truth value as JSON writes it."""
    others: list[Matcher] = []
    if value in ("true", "false"):
        others.append({"bool_match": value == "true"})
    elif is_number(value):
        others.append({"double_match": {"exact": float(value)}})
    return _metadata(path, string(value), others)


def is_number(text: str) -> bool:
    """Whether a text is a number of which JSON and a double agree."""
    digits = text.removeprefix("-").replace(".", "", 1)
    return digits.isascii() and digits.isdecimal() and len(digits) <= 15


def _metadata(path: Sequence[str], matcher: Matcher, others: Sequence[Matcher] = ()) -> Matcher:
    where = {"filter": JWT_FILTER, "path": [{"key": JWT_PAYLOAD}, *({"key": one} for one in path)]}
    single = {"string_match": matcher}
    either = {"or_match": {"value_matchers": [single, {"list_match": {"one_of": single}}, *others]}}
    return {"metadata": {**where, "value": either}}


# -- what is called -------------------------------------------------------------------------------------------------


def method(value: str) -> Matcher:
    """The request's method."""
    if value == "*":
        return {"header": {"name": ":method", "present_match": True}}
    return {"header": {"name": ":method", "string_match": string(value)}}


def path(value: str, *, broad: bool) -> Matcher:
    """The request's path without query and parameters; `{*}` is one segment, `{**}` any number of characters.

    A character may be written with `%`; which other spellings of a path count as it, `_spelled` says.
    A segment of parameters alone (`/a/;x/b`) is dropped by some programs with its slash, and kept by others: what such
    a path means is not known.
    """
    if value == "*":
        return {"url_path": {"path": {"prefix": "/"}}}
    template = "{*}" in value or "{**}" in value
    if template:
        matcher = {"safe_regex": v.regex(path_regex(value, broad=broad))}
    elif _PLAIN_PATH.issuperset(value[1:] if value.startswith("*") else value.removesuffix("*")):
        matcher = string(value)
    else:
        matcher = {"safe_regex": v.regex(_spelled_pattern(value, broad=broad))}
    plain, odd = {"url_path": {"path": matcher}}, _line(":path", string_match=_regex("[^?#]*/;(?s:.*)"))
    return any_of([plain, odd]) if broad else all_of([plain, {"not_rule": odd}])


def path_regex(template: str, *, broad: bool = False) -> str:
    """A path template as a regular expression."""
    operators = {"{*}": "[^/]+", "{**}": ".*"}
    parts = template_parts(template)
    return "(?s)" + "".join(operators.get(part) or _spelled(part, broad=broad) for part in parts)


def _spelled_pattern(value: str, *, broad: bool) -> str:
    if value.startswith("*"):
        return f"(?s).*{_spelled(value[1:], broad=broad)}"
    if value.endswith("*"):
        return f"(?s){_spelled(value[:-1], broad=broad)}.*"
    return f"(?s){_spelled(value, broad=broad)}"


def _spelled(text: str, *, broad: bool) -> str:
    """A regular expression for a path's text in all its spellings.

    What RFC 3986 (6.2.2) calls equal is: the case of `%c3`, `%61` for `a`, and `%C3%A9` for what cannot be written in
    a path at all. Broad: so is a reserved character that comes as `%3A`, as most programs read it. `%2F` is no slash
    here: what it is, the mode of normalisation says.
    """
    return "".join(_spelling(byte, written=written, broad=broad) for byte, written in path_bytes(text))


def _spelling(byte: int, *, written: bool, broad: bool) -> str:
    char = chr(byte)
    encoded = "%" + "".join(f"[{d}{d.lower()}]" if d.isalpha() else d for d in f"{byte:02X}")
    plain = char if char in ALPHANUMERIC else f"\\x{byte:02x}"
    if char in UNRESERVED and not written:
        return plain  # paths come without the code
    if 32 < byte < 127 and char not in UNRESERVED and (char in "%/\\" or not broad):
        return encoded if written else plain
    return f"(?:{plain}|{encoded})"


def host(value: str, *, broad: bool) -> Matcher:
    """The host that is asked for, with any port and in any case.

    What a host means with characters that no host has (`a,b`, `user@a`) is not known.
    """
    if value == "*":
        return {"header": {"name": ":authority", "present_match": True}}
    odd = _authority(_regex("(?s).*[^A-Za-z0-9._:\\[\\]-].*"))
    if value.endswith("*"):
        plain = _authority({"prefix": value[:-1]})
        return any_of([plain, odd]) if broad else all_of([plain, {"not_rule": odd}])
    text, leading = value.removeprefix("*"), value.startswith("*")
    if broad:
        plain = _authority({"suffix" if leading else "exact": text})
        return any_of([plain, _authority({"contains" if leading else "prefix": f"{text}:"}), odd])
    # Nothing but digits may follow, and no colon precede: `evil:x.good.com:80` is not below good.com.
    pattern = f"(?i){'[A-Za-z0-9._-]*' if leading else ''}{escape(text)}(?::{_PORT})?"
    return _authority({"safe_regex": v.regex(pattern)})


def _authority(matcher: Matcher) -> Matcher:
    matcher = matcher if "safe_regex" in matcher else {**matcher, "ignore_case": True}
    return {"header": {"name": ":authority", "string_match": matcher}}


def port(value: str) -> Matcher:
    """The port that the application serves."""
    return {"destination_port": int(value)}


def server_address(value: str) -> Matcher:
    """The address that is called."""
    return {"destination_ip": v.cidr(value)}


def server_name(value: str) -> Matcher:
    """The name in the TLS greeting."""
    return {"requested_server_name": string(value)}


def filter_metadata(key: str, value: str) -> Matcher:
    """What a filter of Envoy found out: `experimental.envoy.filters.NAME[KEY]`; `[value]` is one of a list."""
    name, _, rest = key.removeprefix("experimental.").partition("[")
    listed = value.startswith("[") and value.endswith("]")
    single = {"string_match": string(value[1:-1] if listed else value)}
    matcher = {"list_match": {"one_of": single}} if listed else single
    return {"metadata": {"filter": name, "path": [{"key": rest.removesuffix("]")}], "value": matcher}}


# -- headers --------------------------------------------------------------------------------------------------------


def header(name: str, values: Sequence[str], *, broad: bool) -> Matcher:
    """A request header has one of the values.

    Envoy looks at each line of a repeated header by itself. Broad: any line, and any part of a line that lists
    several by commas. Else: there are lines, and every one is a value. The host is compared as `hosts` compares it.
    """
    if name.lower() in HOST_HEADERS:
        return any_of([host(value, broad=broad) for value in values])
    if "*" in values:
        return _line(name, present_match=True)
    if broad:
        return any_of([_line(name, string_match=_listing(some)) for some in _in_parts(values)])
    leading = [value for value in values if value.startswith("*")]
    others = [value for value in values if not value.startswith("*")]
    made = [_every_line(name, group, other_than(group)) for group in (others, leading) if group]
    return any_of(made)


def _listing(values: Sequence[str]) -> Matcher:
    """A line that is one of the values, or lists one by commas."""
    listed = "|".join(_pattern(value) for value in values)
    return _regex(f"(?s)(?:.*,)?[ \\t]*(?:{listed})[ \\t]*(?:,.*)?")


def _in_parts(values: Sequence[str]) -> list[list[str]]:
    """The values in parts of which each makes a regular expression that proxies take: their program has a limit."""
    parts: list[list[str]] = [[]]
    size_bytes = 0
    for value in values:
        size_bytes += len(value.encode())
        if parts[-1] and size_bytes > _PART_BYTES_MAX:
            parts.append([])
            size_bytes = len(value.encode())
        parts[-1].append(value)
    return parts


def no_such_header(name: str, values: Sequence[str], *, broad: bool) -> Matcher:
    """A request header has none of the values. Not broad: nor anything that cannot be compared with certainty."""
    found = header(name, values, broad=not broad)
    if not broad and "*" not in values and name.lower() not in HOST_HEADERS:
        found = any_of([found, _line(name, string_match=_regex(_NOT_ASCII))])
    return {"not_rule": found}


def _every_line(name: str, values: Sequence[str], others: str) -> Matcher:
    some = any_of([_line(name, string_match=string(value)) for value in values])
    return all_of([some, {"not_rule": _line(name, string_match=_regex(others))}])


def _line(name: str, **matcher: Any) -> Matcher:
    return {"header": {"name": name, **matcher}}


def _regex(pattern: str) -> Matcher:
    return {"safe_regex": v.regex(pattern)}


def _pattern(value: str) -> str:
    if value.startswith("*"):
        return ".*" + escape(value[1:])
    return escape(value[:-1]) + ".*" if value.endswith("*") else escape(value)


def other_than(values: Sequence[str]) -> str:
    """A regular expression for every text that is none of `values`, which all lead with `*`, or none does.

    RE2 cannot negate, so the texts' tree is written out: at each place, everything that leaves it.
    """
    if values[0].startswith("*"):
        return "(?s)" + _leaving([_bytes(value)[:0:-1] + "*" for value in values], backwards=True)
    return "(?s)" + _leaving([_bytes(value) for value in values], backwards=False)


def _leaving(values: Iterable[str], *, backwards: bool) -> str:
    """Everything but `values` (exact, or with a trailing `*`), read from the end if `backwards`."""
    left = set(values)
    if "*" in left:
        return r"[^\x00-\xff]"  # nothing at all
    heads = sorted({value[0] for value in left if value})
    parts = [] if "" in left else [""]
    others = f"[^{''.join(_escape(head) for head in heads)}]" if heads else "."
    parts.append(f".*{others}" if backwards else f"{others}.*")
    for head in heads:
        rest = _leaving({value[1:] for value in left if value[:1] == head}, backwards=backwards)
        parts.append(f"{rest}{_escape(head)}" if backwards else f"{_escape(head)}{rest}")
    return f"(?:{'|'.join(parts)})"
