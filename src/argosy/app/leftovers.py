"""What a mesh could leave on its machine: processes, network interfaces, routes, rules, mounts; before and after.

Reads `/proc` and lists rules; changes nothing. An ordinary user sees no rules, and needs none: theirs are in namespaces
of their own.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from argosy.app.supervisor import mesh_file
from argosy.edge.processes import tool_path

_PROC = Path("/proc")


@dataclass
class Traces:
    """How the machine was before: sets of names by kind, and the process namespaces of the mesh."""

    kinds: dict[str, frozenset[str]]
    namespaces: set[str] = field(default_factory=set)

    def remember_node(self, pid: int) -> None:
        """Note the process namespaces that were made below process `pid`."""
        own = os.readlink("/proc/self/ns/pid")
        queue = [pid]
        while queue:
            one = queue.pop()
            with contextlib.suppress(OSError):
                namespace = os.readlink(f"/proc/{one}/ns/pid")
                if namespace != own:
                    self.namespaces.add(namespace)
            with contextlib.suppress(OSError):
                queue += map(int, Path(f"/proc/{one}/task/{one}/children").read_text().split())


def look_around() -> Traces:
    """How the machine is now."""
    return Traces(
        {
            "network interface": _first_words("net/dev", skip=2),
            "route": frozenset(_lines("net/route")),
            "mount": frozenset(line.split()[4] for line in _lines("self/mountinfo")),
            "iptables rule": _rules(),
        }
    )


def find_leftovers(home: Path, before: Traces) -> list[str]:
    """What is there now and was not before, in words; empty if nothing."""
    now = look_around()
    left = [f"{kind} {one}" for kind, names in now.kinds.items() for one in sorted(names - before.kinds[kind])]
    left += [f"process {pid}" for pid in _processes_in(before.namespaces)]
    if mesh_file(home).exists():
        left.append(str(mesh_file(home)))
    return left


def _processes_in(namespaces: set[str]) -> list[int]:
    found = []
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if os.readlink(entry / "ns" / "pid") in namespaces:
                    found.append(int(entry.name))
    return sorted(found)


def _lines(name: str) -> list[str]:
    return (_PROC / name).read_text().splitlines()


def _first_words(name: str, *, skip: int) -> frozenset[str]:
    return frozenset(line.split()[0] for line in _lines(name)[skip:])


def _rules() -> frozenset[str]:
    """Rules without their counters; nothing where they cannot be listed."""
    try:
        done = subprocess.run(
            ["iptables-save"], env={"PATH": tool_path()}, capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return frozenset()
    return frozenset(line for line in done.stdout.splitlines() if line.startswith("-A"))
