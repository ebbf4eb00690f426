"""How Mixer's objects fit together: what `apply` and `analyze` tell of rules beside each object's own faults.

A port of Galley's. Given all objects, gives findings: names of nothing, templates that a handler does not take,
parameters of which no handler can be made, quotas that nobody counts.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from argosy.api.meta import Object
from argosy.api.mixer import MIXER_KINDS
from argosy.core.errors import Finding
from argosy.core.names import ObjectKey
from argosy.mixer.adapters.models import BAD_ADAPTER_PARAMS, BAD_TEMPLATE_FIELD
from argosy.mixer.bind import BAD_EXPRESSION, BAD_TEMPLATE, DANGLING
from argosy.mixer.report_rules import resolve_reports
from argosy.mixer.rules import BAD_PARAMS, UNCOUNTED, resolve_rules
from argosy.mixer.validate import validate_expressions

_CODES = frozenset({DANGLING, BAD_TEMPLATE, BAD_PARAMS, UNCOUNTED, BAD_ADAPTER_PARAMS, BAD_TEMPLATE_FIELD})
_KINDS = frozenset(MIXER_KINDS)


def analyze_rules(
    objects: Iterable[Object[Any]], only: Container[tuple[str, ObjectKey]] | None = None
) -> list[Finding]:
    """Findings about Mixer's objects (about those in `only`, if given).

    Of expressions only what an object does not show by itself: types that a template or a handler wants.
    """
    own = [one for one in objects if one.kind in _KINDS]
    if only is not None and not any((one.kind, one.key) in only for one in own):
        return []
    told = (*resolve_rules(own).findings, *resolve_reports(own).findings)
    judged = {(one.kind, one.key): one for one in own}
    found = dict.fromkeys(one for one in told if one.code in _CODES or _is_news(one, judged))
    return [one for one in found if only is None or (one.kind, ObjectKey(one.namespace, one.name)) in only]


def _is_news(found: Finding, judged: Mapping[tuple[str, ObjectKey], Object[Any]]) -> bool:
    """True for an expression that cannot be used where it stands, though it is right by itself."""
    about = judged.get((found.kind, ObjectKey(found.namespace, found.name)))
    if found.code != BAD_EXPRESSION or about is None:
        return False
    return all(one.field != found.field for one in validate_expressions(about))
