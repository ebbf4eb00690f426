"""Waits that pods' annotations say."""

from argosy.api.policy_annotations import wait_s


def test_waits_are_durations() -> None:
    assert [wait_s(text, 1.5) for text in ("", "80ms", "2s", "soon")] == [1.5, 0.08, 2.0, 1.5]
