"""The tutorial is true: every command in it is run, in order, and does what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.e2e.harness import ROOT, require_root

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
TUTORIAL = ROOT / "docs" / "tutorial.md"
# Start-up of the environment, and an endless loop for the person to look at.
NOT_RUN = ("make setup", "while sleep")


def blocks() -> list[str]:
    """The page's blocks of commands that a test can run."""
    found = re.findall(r"^```\n(.*?)^```$", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL)
    return [block for block in found if not block.startswith("while")]


def commands(block: str) -> list[str]:
    """Single commands; a here-document stays with the command that reads it."""
    texts = re.findall(r"^(?:cat > .*?^END|[^\n]+)$", block, re.MULTILINE | re.DOTALL)
    return [text for text in texts if not text.startswith(NOT_RUN)]


def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    require_root()
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {**os.environ, "ARGOSY_HOME": str(tmp_path / "home"), "PATH": search, "NO_COLOR": "1"}
    ran = 0
    try:
        for command in (one for block in blocks() for one in commands(block)):
            done = subprocess.run(
                ["bash", "-c", command], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
            )
            refused = "# refused" in command
            assert (done.returncode != 0) == refused, f"{command}\n{done.stdout}{done.stderr}"
            assert not refused or "reset" in done.stderr, done.stderr
            ran += 1
    finally:
        subprocess.run(["argosy", "down"], env=env, capture_output=True, timeout=90)
    assert ran >= 12
