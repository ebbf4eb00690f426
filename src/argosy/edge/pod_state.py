"""What runs of a pod, as a file in its directory: a restarted agent finds its pods by it."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from argosy.agent.pod import PodPlan
from argosy.edge.processes import ProcessId

_log = logging.getLogger("argosy.pod")
STATE_FILE = "state.json"


class Processes(msgspec.Struct):
    """What runs of a pod; the content of its state file."""

    plan: PodPlan
    holder: ProcessId | None = None
    envoy: ProcessId | None = None
    apps: dict[str, ProcessId] = {}
    exit_codes: dict[str, int] = {}
    """Of applications that have ended for good."""
    stopping: bool = False
    kept_at: float | None = None
    """The proxy was given kept configuration, of that time (seconds since 1970), and Pilot is not back yet."""

    @property
    def finished(self) -> bool:
        """True if the pod's work is done: all of its applications have ended for good."""
        return self.plan.ends and all(one.name in self.exit_codes for one in self.plan.containers)

    @property
    def exit_code(self) -> int:
        """What a finished pod ended with: the first code that is not 0, in the order of its containers."""
        return next((code for one in self.plan.containers if (code := self.exit_codes.get(one.name, 0))), 0)


def save_state(directory: Path, running: Processes) -> None:
    """Replace the file. Errors: OSError."""
    file = directory / STATE_FILE
    temporary = file.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(running))
    temporary.rename(file)


def read_state_files(pods: str) -> list[Processes]:
    """What an earlier agent left running. A file that cannot be read belongs to a pod that cannot be adopted."""
    found = []
    for file in Path(pods).glob(f"*/{STATE_FILE}"):
        try:
            found.append(msgspec.json.decode(file.read_bytes(), type=Processes))
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s is not readable: %s", file, error)
    return found
