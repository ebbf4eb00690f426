"""What reports need of proxies: which sides of which workloads must report, and which headers they must send along.

Asked before any request is made, with only what is constant about a workload; never "no" where some request could be
reported. Source: as `report_rules`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import re2

from argosy.mixer.api_specs import API_KEY
from argosy.mixer.attribute_generators import left_open
from argosy.mixer.attributes import Attributes
from argosy.mixer.expr import Expression, may_match
from argosy.mixer.report_attributes import is_constant
from argosy.mixer.report_rules import ReportPolicy
from argosy.mixer.syntax import Call, Constant, Node, attribute_names

_HEADER = re2.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REQUEST, _RESPONSE = "request.headers", "response.headers"


@dataclass(frozen=True, slots=True)
class HeaderNames:
    """Headers that expressions read by name, in lower case and sorted."""

    request: tuple[str, ...] = ()
    response: tuple[str, ...] = ()


def inbound_reports(policy: ReportPolicy, destination: Attributes) -> bool:
    """True if some rule could report a request to the workload that `destination` describes."""
    namespace = str(destination.get("destination.namespace", ""))
    return any(
        rule.covers(namespace) and _may(policy, rule.match, destination, "destination")
        for rule in policy.rules
        if rule.actions
    )


def outbound_reports(policy: ReportPolicy, source: Attributes) -> bool:
    """True if some rule could report a request of the workload that `source` describes, wherever it goes."""
    namespace = str(source.get("source.namespace", ""))
    return any(
        rule.covers(namespace) and _may(policy, rule.match, source, "source") for rule in policy.rules if rule.actions
    )


def header_needs(policy: ReportPolicy) -> HeaderNames:
    """The headers that matches, instances and generators read."""
    request: set[str] = set()
    response: set[str] = set()
    for expression in _expressions(policy):
        for name, key in _map_keys(expression.tree):
            if not _HEADER.fullmatch(key):
                continue  # no message has it
            if name == _REQUEST:
                request.add(key.lower())
            elif name == _RESPONSE:
                response.add(key.lower())
        if API_KEY in attribute_names(expression.tree):
            request |= {name for one in policy.apis for name in one.headers}
    return HeaderNames(tuple(sorted(request)), tuple(sorted(response)))


def _may(policy: ReportPolicy, match: Expression | None, known: Attributes, side: str) -> bool:
    is_known = left_open(policy.all_generators, known, lambda name: is_constant(side, name))
    return match is None or may_match(match, known, is_known)


def _expressions(policy: ReportPolicy) -> Iterator[Expression]:
    for rule in policy.rules:
        if rule.match is not None:
            yield rule.match
        if rule.sampling is not None and rule.sampling.share is not None:
            yield rule.sampling.share
        for action in rule.actions:
            yield from action.instance.expressions
    for generator in policy.all_generators:
        yield from generator.expressions


def _texts(tree: Node) -> Iterator[str]:
    if isinstance(tree, Constant) and isinstance(tree.value, str):
        yield tree.value
    elif isinstance(tree, Call):
        for operand in tree.operands:
            yield from _texts(operand)


def _map_keys(tree: Node) -> Iterable[tuple[str, str]]:
    if not isinstance(tree, Call):
        return
    if tree.function == "[]":
        # Of a map that is one of several, or a key that is made of texts: each that it may be.
        mapping, key = tree.operands
        yield from ((name, text) for name in attribute_names(mapping) for text in _texts(key))
    for operand in tree.operands:
        yield from _map_keys(operand)
