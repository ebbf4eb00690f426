"""DestinationRules of one namespace for one host: together they are one rule, and some of what they say is lost.

Given all DestinationRules, gives warnings about those that come later by name. Pure.
Source: istio.io, "Split large virtual services and destination rules into multiple resources".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from argosy.api.destination_rule import DestinationRule, adds_to
from argosy.api.meta import Object
from argosy.core.errors import Finding, Level
from argosy.core.hosts import resolve_host

CODE = "ARG0213"
Rule = Object[DestinationRule]


def analyze_split_rules(rules: Sequence[Rule]) -> Iterator[Finding]:
    """What a rule says for nobody, because an earlier one of the same host says it."""
    for _host, found in groupby(sorted((one for one in rules if not _is_selective(one)), key=_order), key=_place):
        first, *others = found
        earlier = [first]
        for rule in others:
            if not adds_to(first, rule):
                message = f"DestinationRule {first.name} is about this host too, and counts for all who see it"
                yield _warning(rule, "spec.exportTo", message, "give both the same exportTo")
            elif adds_to(rule, first):
                yield from _lost(rule, earlier)
            earlier.append(rule)


def _lost(rule: Rule, earlier: Sequence[Rule]) -> Iterator[Finding]:
    policies = [one.name for one in earlier if one.spec.traffic_policy is not None]
    if policies and rule.spec.traffic_policy is not None:
        message = f"not used: DestinationRule {policies[0]} has a policy for this host"
        yield _warning(rule, "spec.trafficPolicy", message, "put what both say into one of them")
    for index, subset in enumerate(rule.spec.subsets):
        owner = next((one.name for one in earlier if any(s.name == subset.name for s in one.spec.subsets)), "")
        if owner:
            message = f"not used: DestinationRule {owner} defines subset {subset.name!r}"
            yield _warning(rule, f"spec.subsets[{index}].name", message, "give it another name")


def _is_selective(rule: Rule) -> bool:
    return rule.spec.workload_selector is not None


def _place(rule: Rule) -> tuple[str, str]:
    return rule.namespace, resolve_host(rule.spec.host, rule.namespace)


def _order(rule: Rule) -> tuple[str, str, str]:
    return (*_place(rule), rule.name)


def _warning(rule: Rule, at: str, message: str, hint: str) -> Finding:
    return Finding(CODE, Level.WARNING, message, rule.kind, rule.namespace, rule.name, at, rule.origin, hint)
