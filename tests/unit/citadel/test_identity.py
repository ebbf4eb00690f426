"""An AuthenticatedIdentity cannot be had but from a verifier."""

import ast
import dataclasses
from pathlib import Path

import pytest

import argosy
from argosy.citadel.identity import AuthenticatedIdentity, vouch
from argosy.core.spiffe import SpiffeIDError

IDENTITY = "argosy.citadel.identity"
VERIFIERS = {"argosy/citadel/tokens.py", "argosy/citadel/token_review.py", "argosy/citadel/policy.py"}


def test_it_is_not_made_by_hand() -> None:
    with pytest.raises(TypeError):
        AuthenticatedIdentity("default", "x", "", "", "", None)
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(vouch("default", "x"), service_account="y")


def reaches_vouch(source: str) -> bool:
    """True if the module imports more of `argosy.citadel.identity` than the type."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import) and any(name.name == IDENTITY for name in node.names):
            return True
        if isinstance(node, ast.ImportFrom):
            names = {name.name for name in node.names}
            if node.module == IDENTITY and names != {"AuthenticatedIdentity"}:
                return True
            if node.module == "argosy.citadel" and "identity" in names:
                return True
    return False


@pytest.mark.parametrize(
    "source, found",
    [
        ("from argosy.citadel.identity import AuthenticatedIdentity", False),
        ("from argosy.citadel.identity import AuthenticatedIdentity, vouch", True),
        ("from argosy.citadel.identity import _PROOF", True),
        ("from argosy.citadel import identity", True),
        ("import argosy.citadel.identity as x", True),
    ],
)
def test_every_way_to_vouch_is_seen(source: str, found: bool) -> None:
    assert reaches_vouch(source) is found


def test_only_verifiers_import_vouch() -> None:
    package = Path(argosy.__file__).parent
    texts = {path: path.read_text() for path in package.rglob("*.py")}
    # Only what names the module is parsed: the rest cannot reach it, and is many files.
    named = {path: text for path, text in texts.items() if IDENTITY in text or "from argosy.citadel import" in text}
    importers = {str(path.relative_to(package.parent)) for path, text in named.items() if reaches_vouch(text)}
    assert importers == VERIFIERS


def test_names_that_break_out_are_not_vouched_for() -> None:
    with pytest.raises(SpiffeIDError):
        vouch("default", "../x")
