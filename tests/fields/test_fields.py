"""Each field does what its case says, and the case says something: without the field it fails."""

from __future__ import annotations

from importlib import import_module

import pytest
from tests.fields.cases import Case, findings, holds

MODULES = (
    "virtual_service",
    "destination_rule",
    "gateway",
    "service_entry",
    "sidecar",
    "workloads",
    "envoy_filter",
    "proxy_config",
    "request_authentication",
    "telemetry",
    "extensions",
)
ALL: list[Case] = [case for name in MODULES for case in import_module(f"tests.fields.{name}").CASES]
SHOWN = [case for case in ALL if case.resource]
REFUSED = [case for case in ALL if case.refused]


@pytest.mark.parametrize("case", SHOWN, ids=lambda case: case.title)
def test_the_field_is_seen_in_a_proxys_configuration(case: Case) -> None:
    assert findings(case) == []
    assert holds(case)


@pytest.mark.parametrize(
    ("case", "field"), [(case, field) for case in SHOWN for field in case.fields], ids=lambda one: str(one)[-60:]
)
def test_without_the_field_it_is_not_seen(case: Case, field: str) -> None:
    assert not holds(case, drop=field)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.title)
def test_what_cannot_be_done_is_refused_by_name(case: Case) -> None:
    last = case.fields[0].rpartition(".")[2].removesuffix("[]")
    named = [
        one for one in findings(case) if one.startswith(("ARG0011", "ARG0015", "ARG0121", "ARG0160")) and last in one
    ]
    assert named, findings(case)
