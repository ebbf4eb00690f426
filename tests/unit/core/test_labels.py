"""Label selectors."""

import pytest

from argosy.core.labels import selects


@pytest.mark.parametrize(
    "selector, labels, answer",
    [
        ({}, {}, True),
        ({}, {"app": "a"}, True),
        ({"app": "a"}, {"app": "a", "version": "v1"}, True),
        ({"app": "a", "version": "v1"}, {"app": "a", "version": "v1"}, True),
        ({"app": "a", "version": "v2"}, {"app": "a", "version": "v1"}, False),
        ({"app": "a"}, {}, False),
        ({"app": ""}, {}, False),
    ],
)
def test_every_pair_of_the_selector_must_stand_in_the_labels(
    selector: dict[str, str], labels: dict[str, str], answer: bool
) -> None:
    assert selects(selector, labels) is answer
