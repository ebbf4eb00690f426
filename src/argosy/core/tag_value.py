"""Expressions that give metrics' tags their values, as what a proxy or Mixer can work out.

Given an expression of a Telemetry object (CEL, with Istio's attributes). Gives a format of access logs, which the proxy
fills in, or what is asked of the other end's pod, which Mixer knows. What neither can do is refused, with the reason.
Source: istio.io Telemetry, tagOverrides; envoy.formatter.cel, in which `string()` and the sum of texts do not exist.
"""

from __future__ import annotations

import re  # noqa: TID251 - patterns of our own
from dataclasses import dataclass

_NAME = r"[A-Za-z_][\w-]*"
_KEY = r"""\[\s*(?:'(?P<k1>[^'\\]*)'|"(?P<k2>[^"\\]*)")\s*\]"""
_PEER = rf"(?P<end>upstream|downstream)_peer\.(?:labels(?:{_KEY}|\.(?P<k3>{_NAME}))(?:\.value)?|(?P<attribute>{_NAME}))"
_WHOLE_PEER = re.compile(_PEER)
_LITERAL = r"""(?:'(?P<l1>[^'\\]*)'|"(?P<l2>[^"\\]*)")"""
_WHOLE_LITERAL = re.compile(_LITERAL)
_GUARDED = re.compile(rf"has\(\s*(?P<guard>.+?)\s*\)\s*\?\s*(?P<value>.+?)\s*:\s*{_LITERAL}")
_ANY_PEER = re.compile(r"\b(?:upstream|downstream)_peer\b")
_STRING = re.compile(r"string\((?P<inner>.*)\)", re.DOTALL)
# Istio's names of attributes that Envoy has under others.
_RENAMED = {
    "cluster_name": "xds.cluster_name",
    "route_name": "xds.route_name",
    "listener_direction": "xds.listener_direction",
    "node": "xds.node",
}
_OWN_NAMES = re.compile(rf"(?<![\w.'\"])({'|'.join(_RENAMED)})\b(?!\s*\()")
COUNTED_TAGS = frozenset(
    {
        "reporter",
        "protocol",
        "peer",
        "peer_id",
        "peer_ip",
        "service",
        "security",
        "code",
        "flags",
        "grpc",
        "counts",
        "bodies",
        "ms",
    }
)
"""What proxies say of what they count, between Pilot, which has them say it, and Mixer."""
PEER_ATTRIBUTES = frozenset(
    {
        "name",
        "namespace",
        "owner",
        "workload_name",
        "cluster_id",
        "app",
        "version",
        "canonical_name",
        "canonical_revision",
    }
)
"""What is known of the other end's pod besides its labels."""
# What is cheaper to format than to evaluate.
_COMMANDS = {
    "request.host": "%REQ(:AUTHORITY)%",
    "request.method": "%REQ(:METHOD)%",
    "request.path": "%REQ(:PATH)%",
    "request.useragent": "%REQ(USER-AGENT)%",
    "response.code": "%RESPONSE_CODE%",
    "response.flags": "%RESPONSE_FLAGS%",
}


class TagValueError(ValueError):
    """An expression that neither the proxy nor Mixer can work out."""


@dataclass(frozen=True, slots=True)
class PeerValue:
    """An attribute of one end's pod: `labels:app`, `namespace`; and what stands for it where there is none."""

    end: str
    """`upstream` or `downstream`."""
    attribute: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class FormatValue:
    """A format of access logs."""

    text: str


def parse_tag_value(text: str) -> PeerValue | FormatValue:
    """What gives the value of an expression.

    Errors: `TagValueError` for an attribute of the other end inside of a longer expression, for `%`, and for texts made
            of numbers other than as the whole expression or in a sum.
    """
    text = text.strip()
    if peer := _peer(text):
        return peer
    if guarded := _GUARDED.fullmatch(text):
        peer, other = _peer(guarded["value"].strip()), _peer(guarded["guard"].strip())
        if peer is not None and other == peer:
            return PeerValue(peer.end, peer.attribute, _literal(guarded))
    if _ANY_PEER.search(_without_texts(text)):
        raise TagValueError("attributes of a peer stand alone, or as has(x) ? x : 'default'")
    return FormatValue("".join(_format(one) for one in _summands(text)))


def label_of(tag: str) -> str:
    """The label of Prometheus that a tag becomes: other characters are underscores, as Envoy writes them."""
    made = "".join(one if one.isascii() and (one.isalnum() or one == "_") else "_" for one in tag)
    return f"_{made}" if made[:1].isdecimal() else made


def evaluated_parts(text: str) -> list[str]:
    """The expressions in one that are evaluated, each where it stands in the text: all else is blank."""
    parts, at = [], 0
    for part in _summands(text.strip()):
        at = text.index(part, at)
        inner, begin = part, at
        if (whole := _STRING.fullmatch(part)) and _balanced(whole["inner"]):
            inner, begin = whole["inner"], at + whole.start("inner")
        parts.append(_blank(text[:begin]) + inner)
        at += len(part)
    return parts


def _blank(text: str) -> str:
    return "".join(one if one == "\n" else " " for one in text)


def _peer(text: str) -> PeerValue | None:
    found = _WHOLE_PEER.fullmatch(text)
    if found is None:
        return None
    key = found["k1"] or found["k2"] or found["k3"]
    attribute = found["attribute"]
    if key:
        return PeerValue(found["end"], f"labels:{key}")
    if attribute == "labels":
        raise TagValueError(f"labels of a peer are asked one by one: {found['end']}_peer.labels['app']")
    if attribute not in PEER_ATTRIBUTES:
        raise TagValueError(
            f"of a peer nobody knows {attribute!r}: there are labels, {', '.join(sorted(PEER_ATTRIBUTES))}"
        )
    return PeerValue(found["end"], attribute)


def _literal(found: re.Match[str]) -> str:
    return found["l1"] if found["l1"] is not None else found["l2"] or ""


def _format(text: str) -> str:
    if found := _WHOLE_LITERAL.fullmatch(text):
        return _literal(found).replace("%", "%%")
    if (whole := _STRING.fullmatch(text)) and _balanced(whole["inner"]):
        text = whole["inner"].strip()
    if text in _COMMANDS:
        return _COMMANDS[text]
    bare = _without_texts(text)
    if re.search(r"\bstring\(", bare):
        raise TagValueError("string() stands alone or in a sum of texts; the proxy has no other use of it")
    if "%" in text:
        raise TagValueError("the proxy cannot evaluate an expression with a percent sign")
    return f"%CEL({_OWN_NAMES.sub(lambda name: _RENAMED[name[1]], text)})%"


def _summands(text: str) -> list[str]:
    """The parts of a sum of texts; other expressions as they are."""
    parts = [part.strip() for part in _split(text)]
    if len(parts) > 1 and any(_WHOLE_LITERAL.fullmatch(part) or _STRING.fullmatch(part) for part in parts):
        return parts
    return [text]


def _split(text: str) -> list[str]:
    """At the plus signs that stand in no brackets, texts or conditions."""
    depth, quote, parts, begin = 0, "", [], 0
    for at, character in enumerate(text):
        if quote:
            quote = "" if character == quote and text[at - 1] != "\\" else quote
        elif character in "'\"":
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif depth == 0 and character in "?<>=&|!":
            return [text]
        elif depth == 0 and character == "+":
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def _balanced(text: str) -> bool:
    depth = 0
    for character in _without_texts(text):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return False
    return depth == 0


def _without_texts(text: str) -> str:
    return re.sub(_LITERAL.replace("?P<l1>", "?:").replace("?P<l2>", "?:"), "''", text)
