"""Which tokens a request must bear: RequestAuthentication's rules as requirements of Envoy's JWT filter.

What holds, whatever the rules: every token at every place where a rule looks must be verified, or the request is
refused, so that no application takes a forged token for the one that was verified beside it. Envoy's own "any of these
providers, or none" does not give that: it is content with the first good token. Therefore places are grouped by the
rules that look there, one requirement for each group: nothing stands there, or all of it is one rule's.
Source: envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement; istio.io RequestAuthentication.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Any, NamedTuple

from argosy.api.meta import Object
from argosy.api.security import JWTRule, RequestAuthentication

REQUIRE_ANNOTATION = "argosy.io/require-token"
"""Whether a request without a token is refused: `true`, `false` (Istio's way) or `audit`, which refuses nothing."""

SANITIZER = "sanitizer"
"""The provider that takes the headers away which only the filter may set."""
_BEARER = "bearer "
# The scheme's name knows no case (RFC 7235, 2.1), Envoy's prefixes do.
_BEARERS = ("Bearer ", "bearer ", "BEARER ")
_HYPHENS_MAX = 4
_NOBODY: dict[str, Any] = {"allow_missing": {}}


class Demand(StrEnum):
    """What becomes of requests without a valid token."""

    OPTIONAL = "optional"
    REQUIRED = "required"
    AUDIT = "audit"


class Place(NamedTuple):
    """Where a token may stand: `header` (with a prefix), `param` or `cookie`."""

    kind: str
    name: str
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule, and a name for people who look at what a proxy holds."""

    name: str
    rule: JWTRule

    @property
    def places(self) -> tuple[Place, ...]:
        """Where this rule looks; by default in the Authorization header and in the query's `access_token`."""
        rule = self.rule
        made = [Place("header", one.name.lower(), _plain_prefix(one.prefix)) for one in rule.from_headers]
        made += [Place("param", one) for one in rule.from_params]
        made += [Place("cookie", one) for one in rule.from_cookies]
        return tuple(dict.fromkeys(made)) or (Place("header", "authorization", _BEARER), Place("param", "access_token"))


@dataclass(frozen=True, slots=True)
class Group:
    """Places where the same rules look."""

    number: int
    places: tuple[Place, ...]
    rules: tuple[NamedRule, ...]

    def provider(self, rule: NamedRule) -> str:
        """The name of the provider for a rule here."""
        return rule.name if self.number == 0 else f"{rule.name}@{self.number}"

    @property
    def guard(self) -> str:
        """The name of the provider that takes no token at all: with leave to miss, it says that there is none."""
        return f"none@{self.number}"


def _plain_prefix(prefix: str) -> str:
    return _BEARER if prefix.lower() == _BEARER else prefix


def named_rules(policies: Sequence[Object[RequestAuthentication]]) -> tuple[NamedRule, ...]:
    """All rules of policies, in order."""
    return tuple(
        NamedRule(f"{policy.namespace}/{policy.name}[{number}]", rule)
        for policy in policies
        for number, rule in enumerate(policy.spec.jwt_rules)
    )


def demand(policies: Sequence[Object[RequestAuthentication]]) -> Demand:
    """What a workload's policies ask together: the strictest counts, and an audit before nothing."""
    said = {policy.annotations.get(REQUIRE_ANNOTATION, "false") for policy in policies if policy.spec.jwt_rules}
    if "true" in said:
        return Demand.REQUIRED
    return Demand.AUDIT if "audit" in said else Demand.OPTIONAL


def reads_bearers(rules: Sequence[NamedRule]) -> bool:
    """Whether some rule looks for `Bearer` in the Authorization header."""
    return any(Place("header", "authorization", _BEARER) in rule.places for rule in rules)


def odd_bearers() -> str:
    """A regular expression for an Authorization header that programs take for a bearer's, and the filter does not.

    The scheme's name knows no case, and some programs split at a tab. A token that is not looked at there would pass
    beside a good one elsewhere.
    """
    known = {one.strip() for one in _BEARERS}
    every = ("".join(letters) for letters in product(*((char, char.upper()) for char in _BEARER.strip())))
    odd = "|".join(one for one in every if one not in known)
    return f"(?s)(?:.*,)?[ \\t]*(?:(?:{odd})[ \\t]|(?i:bearer)\\t).*"


def spellings(header: str) -> tuple[str, ...]:
    """A header's name and all that some programs (CGI, WSGI) take for it: `_` for any `-`."""
    parts = header.split("-")
    if len(parts) > _HYPHENS_MAX + 1:
        return (header, header.replace("-", "_"))
    joined = (
        "".join(map("".join, zip(parts, (*marks, ""), strict=True))) for marks in product("-_", repeat=len(parts) - 1)
    )
    return tuple(joined)


def claim_headers(policies: Sequence[Object[RequestAuthentication]]) -> tuple[str, ...]:
    """The headers, in lower case, that the filter sets for policies: what an application takes for verified."""
    rules = [rule for policy in policies for rule in policy.spec.jwt_rules]
    names = {one.header.lower() for rule in rules for one in rule.output_claim_to_headers}
    names |= {name.lower() for rule in rules if (name := rule.output_payload_to_header)}
    return tuple(sorted(names))


def groups(rules: Sequence[NamedRule]) -> tuple[Group, ...]:
    """The places, grouped; in the order in which the rules name them."""
    readers: dict[Place, list[NamedRule]] = {}
    for rule in rules:
        for place in rule.places:
            readers.setdefault(place, []).append(rule)
    by_readers: dict[tuple[str, ...], list[Place]] = {}
    for place, found in readers.items():
        by_readers.setdefault(tuple(one.name for one in found), []).append(place)
    return tuple(
        Group(number, tuple(places), tuple(readers[places[0]])) for number, places in enumerate(by_readers.values())
    )


def locations(places: Sequence[Place]) -> dict[str, Any]:
    """The fields of a provider that say where it looks."""
    headers = [
        {"name": place.name, "value_prefix": prefix}
        for place in places
        if place.kind == "header"
        for prefix in (_BEARERS if place.prefix == _BEARER else (place.prefix,))
    ]
    return {
        "from_headers": headers,
        "from_params": [place.name for place in places if place.kind == "param"],
        "from_cookies": [place.name for place in places if place.kind == "cookie"],
    }


def requirement(found: Sequence[Group], wanted: Demand) -> dict[str, Any]:
    """The requirement of all groups together, headers cleared before anything."""
    optional = [_optional(group) for group in found]
    if wanted is Demand.OPTIONAL:
        return _all([sanitized(), *optional])
    # Some group must have a token, and none a bad one. That group stands first in its branch: a branch that fails for
    # want of a token has not touched the request.
    branches = [
        _all([_strict(group), *(optional[other] for other in range(len(found)) if other != at)])
        for at, group in enumerate(found)
    ]
    required = _all([sanitized(), _any(branches)])
    return required if wanted is Demand.REQUIRED else _any([required, {"allow_missing_or_failed": {}}])


def sanitized() -> dict[str, Any]:
    """Nothing is asked for; the headers are cleared all the same."""
    return _any([{"provider_name": SANITIZER}, {"allow_missing_or_failed": {}}])


def _optional(group: Group) -> dict[str, Any]:
    # "None" is asked first: a provider that is asked in vain takes away the headers that another one has set. And the
    # last one's fault is what the client is told.
    missing = _any([{"provider_name": group.guard}, dict(_NOBODY)])
    return _any([missing, *_providers(group)])


def _strict(group: Group) -> dict[str, Any]:
    return _any(_providers(group))


def _providers(group: Group) -> list[dict[str, Any]]:
    return [{"provider_name": group.provider(rule)} for rule in group.rules]


def _all(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"requires_all": {"requirements": parts}}


def _any(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return parts[0] if len(parts) == 1 else {"requires_any": {"requirements": parts}}
