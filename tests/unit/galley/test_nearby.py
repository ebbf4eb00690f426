"""Names of objects that are not there."""

import pytest

from argosy.core.names import ObjectKey
from argosy.galley.nearby import hint_of_absent

KNOWN = [ObjectKey("shop", "reviews"), ObjectKey("prod", "ratings"), ObjectKey("test", "ratings")]


@pytest.mark.parametrize(
    ("namespace", "name", "hint"),
    [
        ("shop", "ratings", "there is prod/ratings, test/ratings"),
        ("shop", "review", "did you mean reviews?"),
        ("prod", "review", "`argosy get virtualservices -A` lists what there is"),
        ("shop", "zzz", "`argosy get virtualservices -A` lists what there is"),
    ],
)
def test_what_may_have_been_meant(namespace: str, name: str, hint: str):
    assert hint_of_absent(ObjectKey(namespace, name), KNOWN, "virtualservices") == hint
