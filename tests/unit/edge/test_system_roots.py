"""The authorities that the machine trusts."""

from __future__ import annotations

from argosy.edge.system_roots import system_roots


def test_there_are_some_and_they_can_be_read() -> None:
    assert system_roots().count("-----BEGIN CERTIFICATE-----") > 10
