"""Field paths as text and back."""

import pytest

from argosy.api.paths import FieldPath, format_path, parse_path


@pytest.mark.parametrize(
    "path, text",
    [
        (("spec", "http", 0, "match"), "spec.http[0].match"),
        (("metadata", "labels", "app.kubernetes.io/name"), 'metadata.labels["app.kubernetes.io/name"]'),
        (("a", 'q"\\b', 12, "c_d-e"), 'a["q\\"\\\\b"][12].c_d-e'),
        (("a", ""), 'a[""]'),
        ((), ""),
    ],
)
def test_paths_round_trip(path: FieldPath, text: str) -> None:
    assert format_path(path) == text
    assert parse_path(text) == path
