"""The shape of RBAC v1alpha1: both spellings, what binds, and nothing that is not read."""

from __future__ import annotations

from typing import Any

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.rbac import AccessRule, RbacConfig, ServiceRoleBinding
from argosy.core.errors import ArgosyError


def spec(kind: str, text: str) -> Any:
    head = f"apiVersion: rbac.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: default}}\n"
    return decode_object(parse_documents(f"{head}spec: {{{text}}}")[0]).spec


def test_fields_are_read_in_both_spellings() -> None:
    one = spec("ServiceRole", "rules: [{services: [a], not_paths: [/x], notMethods: [PUT], not_ports: [1]}]")
    assert one.rules == (AccessRule(services=("a",), not_paths=("/x",), not_methods=("PUT",), not_ports=(1,)),)
    for name in ("enforcement_mode", "enforcementMode"):
        found = spec("ClusterRbacConfig", f"mode: 'ON', {name}: PERMISSIVE")
        assert found == RbacConfig(mode="ON", enforcement_mode="PERMISSIVE")


def test_an_empty_list_is_not_the_same_as_none() -> None:
    assert spec("RbacConfig", "mode: ON_WITH_INCLUSION, inclusion: {}").inclusion is not None
    assert spec("RbacConfig", "mode: ON_WITH_INCLUSION, inclusion: null").inclusion is None


@pytest.mark.parametrize(
    "text, bound",
    [
        ("roleRef: {kind: ServiceRole, name: r}", "r"),
        ("role_ref: {kind: ServiceRole, name: r}", "r"),
        ("role: r", "r"),
        ("role: /r", "/r"),
        ("actions: [{methods: [GET]}]", ""),
    ],
)
def test_what_a_binding_binds(text: str, bound: str) -> None:
    binding: ServiceRoleBinding = spec("ServiceRoleBinding", f"subjects: [{{user: a}}], {text}")
    assert binding.bound == bound


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(ArgosyError) as refused:
        spec("ServiceRole", "rules: [{services: [a], selector: {}}]")
    assert "unknown field 'selector'" in refused.value.findings[0].message
