"""Refusals in a proxy's access log, traced to the policy and the rule that made them.

Given lines of a sidecar's log (text or JSON, as Argosy writes them) and the policies, gives who refused and why. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from argosy.api.meta import Object
from argosy.api.security import AuthorizationPolicy, is_dry_run
from argosy.authz.own_rules import MEANINGS
from argosy.authz.rule_names import BINDING_KIND, POLICY_KIND, ROLE, parse_rule_name
from argosy.authz.sentence import rule_text, target_of
from argosy.core.labels import selects
from argosy.core.names import ROOT_NAMESPACE

_DENIED = "rbac_access_denied_matched_policy["
_ASKED = "ext_authz_"
ASKED_LINE = "authorization refused outside: "
"""How a proxy's line begins that says because of which rules an authorizer was asked."""
NOBODY = "none"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused request or connection. `rule`: as the log names it, `none` if no rule allowed it, empty if an
    authorizer refused."""

    time: str
    request: str
    code: str
    request_id: str
    peer: str
    rule: str
    details: str


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: the policy that refused (or those that might have allowed), its rule, and a sentence."""

    text: str
    policies: tuple[Object[AuthorizationPolicy], ...] = ()
    rule: int | None = None


def refusals(lines: Iterable[str]) -> list[Refusal]:
    """The refusals among a log's lines, in their order."""
    found: list[Refusal] = []
    asked: dict[str, str] = {}
    for line in lines:
        if ASKED_LINE in line:
            asked.update(_asked(line))
        elif (one := parse_line(line)) is not None:
            found.append(one)
    return [one if one.rule else Refusal(**{**_fields(one), "rule": asked.get(one.request_id, "")}) for one in found]


def _fields(one: Refusal) -> dict[str, str]:
    return {name: getattr(one, name) for name in Refusal.__slots__}


def parse_line(line: str) -> Refusal | None:
    """The refusal that a line tells, if it tells one."""
    if _DENIED not in line and _ASKED not in line:
        return None
    return _of_json(line) if line.startswith("{") else _of_text(line)


def _of_json(line: str) -> Refusal | None:
    try:
        data: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    texts = {key: str(value) for key, value in data.items() if value is not None}
    details = [texts.get("response_code_details", ""), texts.get("connection_termination_details", "")]
    request = f"{texts.get('method', '-')} {texts.get('path', '-')}"
    return _refusal(
        texts.get("start_time", ""),
        request,
        texts.get("response_code", ""),
        texts.get("request_id", ""),
        texts.get("downstream_remote_address", ""),
        details,
    )


def _of_text(line: str) -> Refusal | None:
    parts = line.split('"')
    # Of what is quoted, callers choose some; those after it are counted from the end.
    if len(parts) < 15 or not line.startswith("["):
        return None
    time = parts[0].strip().strip("[]")
    words = parts[2].split()
    tail = parts[-1].split()
    if len(words) < 4 or len(tail) < 4:
        return None
    request = " ".join(parts[1].split()[:2])
    return _refusal(time, request, words[0], parts[-6], tail[3], words[2:4])


def _refusal(time: str, request: str, code: str, request_id: str, peer: str, details: Sequence[str]) -> Refusal | None:
    for text in details:
        if text.startswith(_DENIED):
            rule = text.removeprefix(_DENIED).removesuffix("]")
            return Refusal(time, request, code, request_id, peer, rule, text)
        if text.startswith(_ASKED):
            return Refusal(time, request, code, request_id, peer, "", text)
    return None


def _asked(line: str) -> dict[str, str]:
    """The rule because of which an authorizer was asked, by the request's id."""
    text, _, rest = line.partition(ASKED_LINE)[2].partition(" for ")
    try:
        notes: dict[str, Any] = json.loads(text)
    except ValueError:
        return {}
    rules = [
        str(value) for key, value in notes.items() if key.startswith("custom_") and key.endswith("effective_policy_id")
    ]
    return {rest.strip().strip('"'): rules[-1]} if rules else {}


# -- why ------------------------------------------------------------------------------------------------------------


def explain(
    refusal: Refusal, policies: Iterable[Object[AuthorizationPolicy]], namespace: str, labels: Mapping[str, str]
) -> Reason:
    """Why a workload's proxy refused, by the policies as they are now."""
    known = [one for one in policies if _selects(one, namespace, labels)]
    if refusal.rule == NOBODY:
        return _nobody_allowed(known)
    if refusal.rule in MEANINGS:
        return Reason(MEANINGS[refusal.rule])
    where = parse_rule_name(refusal.rule)
    if where is None:
        custom = [one for one in known if one.spec.action == "CUSTOM"]
        return Reason(f"an external authorizer refused it ({refusal.details})", tuple(custom))
    policy = next((one for one in known if (one.kind, one.namespace, one.name) == where[:3]), None)
    if policy is None or where.number >= len(policy.spec.rules):
        return Reason(
            f"rule {where.number} of {where.kind} {where.namespace}/{where.name} refused it; it is not there any more"
        )
    text = rule_text(policy.spec.rules[where.number])
    if policy.spec.action == "CUSTOM":
        provider = policy.spec.provider.name if policy.spec.provider is not None else ""
        if refusal.details.startswith(_ASKED):
            message = f"{provider} refused it ({refusal.details}), asked by its CUSTOM rule {where.number}: {text}"
        else:
            message = f"{provider} cannot be asked, as its CUSTOM rule {where.number} wants: {text}"
        return Reason(message, (policy,), where.number)
    return Reason(f"{policy.spec.action} rule {where.number} matched: {text}", (policy,), where.number)


def _nobody_allowed(known: Sequence[Object[AuthorizationPolicy]]) -> Reason:
    allows = tuple(one for one in known if one.spec.action == "ALLOW" and not is_dry_run(one))
    if not allows:
        return Reason(
            "no ALLOW policy selects the pod, and the mesh's default action is DENY (or a policy is gone since)"
        )
    if any(one.kind != POLICY_KIND for one in allows):
        return Reason("no rule of a role that is bound here allows it", allows)
    return Reason("no rule of the ALLOW policies matched", allows)


def _selects(policy: Object[AuthorizationPolicy], namespace: str, labels: Mapping[str, str]) -> bool:
    if policy.kind != POLICY_KIND:
        # What roles come to was made for this workload.
        return True
    selector = policy.spec.selector.match_labels if policy.spec.selector is not None else {}
    return policy.namespace in (namespace, ROOT_NAMESPACE) and selects(selector, labels)


def describe(policy: Object[AuthorizationPolicy]) -> str:
    """A policy for people: name, where it was written, whom it is about."""
    where = f" ({policy.origin})" if str(policy.origin) else ""
    if policy.kind == BINDING_KIND:
        role = policy.annotations.get(ROLE, "")
        binds = f", binds ServiceRole {role}" if role else ", has rules of its own"
        return f"{policy.kind} {policy.namespace}/{policy.name}{where}{binds}"
    if policy.kind != POLICY_KIND:
        return f"{policy.kind} {policy.key}{where} refuses here what no role allows"
    return f"AuthorizationPolicy {policy.namespace}/{policy.name}{where}, about {target_of(policy)}"
