"""Changes as text."""

from argosy.api import parse_documents
from argosy.galley.diff import diff_change
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Galley

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: r}
spec: {host: %s}
"""
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: %s}\n"


def test_a_change_shows_the_lines_that_differ() -> None:
    galley = Galley(MemoryStore())
    galley.apply(parse_documents(RULE % "a"), now=0, who="t")
    (change,) = galley.apply(parse_documents(RULE % "b"), now=0, who="t", dry_run=True).changes
    lines = diff_change(change).splitlines()
    assert lines[:2] == ["--- DestinationRule default/r (now)", "+++ DestinationRule default/r (then)"]
    assert [line for line in lines[2:] if line[0] in "+-"] == ["-  host: a", "+  host: b"]


def test_secrets_are_masked() -> None:
    galley = Galley(MemoryStore())
    (added,) = galley.apply(parse_documents(SECRET % "hunter2"), now=0, who="t").changes
    (changed,) = galley.apply(parse_documents(SECRET % "hunter3"), now=0, who="t").changes
    assert "+  password: '***'" in diff_change(added)
    assert "hunter" not in diff_change(added) + diff_change(changed)
