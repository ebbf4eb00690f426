"""Leftovers are what was not there before."""

import os
from pathlib import Path

import pytest

from argosy.app.leftovers import Traces, find_leftovers, look_around
from argosy.app.supervisor import mesh_file


def test_nothing_is_left_where_nothing_happened(tmp_path: Path) -> None:
    assert find_leftovers(tmp_path, look_around()) == []


def test_a_forgotten_file_an_interface_and_a_process_are_named(tmp_path: Path) -> None:
    mesh_file(tmp_path).parent.mkdir()
    mesh_file(tmp_path).touch()
    now = look_around()
    before = Traces({kind: names - {"lo:"} for kind, names in now.kinds.items()})
    before.namespaces.add(os.readlink("/proc/self/ns/pid"))
    left = find_leftovers(tmp_path, before)
    assert {"network interface lo:", f"process {os.getpid()}", str(mesh_file(tmp_path))} <= set(left)


def test_a_process_that_made_no_namespace_is_not_followed() -> None:
    traces = look_around()
    traces.remember_node(os.getpid())
    assert traces.namespaces == set()


@pytest.mark.parametrize("kind", ["network interface", "mount"])
def test_what_is_looked_at_is_there(kind: str) -> None:
    assert look_around().kinds[kind]
