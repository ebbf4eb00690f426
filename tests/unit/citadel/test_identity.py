"""An AuthenticatedIdentity cannot be had but from a verifier."""

import ast
import dataclasses
from pathlib import Path

import pytest

import argosy
from argosy.citadel.identity import AuthenticatedIdentity, vouch
from argosy.core.spiffe import SpiffeIDError

VERIFIERS = {"argosy/citadel/tokens.py", "argosy/citadel/policy.py"}


def test_it_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        AuthenticatedIdentity("default", "x", "", "", "", None)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(vouch("default", "x"), service_account="y")


def test_only_verifiers_import_vouch() -> None:
    source = Path(argosy.__file__).parent
    importers = {
        str(path.relative_to(source.parent))
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
        and node.module == "argosy.citadel.identity"
        and any(alias.name != "AuthenticatedIdentity" for alias in node.names)
    }
    assert importers == VERIFIERS


def test_names_that_break_out_are_not_vouched_for() -> None:
    with pytest.raises(SpiffeIDError):
        vouch("default", "../x")
