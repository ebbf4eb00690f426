"""`argosy demo`: the Bookinfo mesh with gentle traffic and the live graph; `--check` verifies a mesh end to end.

Given the state folder and two ways to speak: `tell` for what stays on the screen, `show` for the step being done.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from itertools import cycle
from pathlib import Path

import httpx

from argosy.app import bookinfo
from argosy.app.load import open_loop
from argosy.app.supervisor import Supervisor, Tell, UpOptions
from argosy.app.up import apply_files, wait_for_pods

PAGES_PER_S = 6.0
ANSWER_S = 30.0
# One reader in five has signed in.
READERS = ("", "", "jason", "", "")


def demo(home: Path, *, check: bool = False, tell: Tell = print, show: Tell = print) -> int:
    """Run the example until a signal, or check a mesh of its own and stop it. Gives the exit code."""
    if check:
        # Only here: the checks are not needed to run the demo.
        from argosy.app.selfcheck import run_check

        return run_check(home, tell, show)
    options = UpOptions(home=str(home), files=bookinfo.files(), rootless=os.geteuid() != 0)

    async def present(one: Supervisor) -> None:
        await apply_files(one)
        await wait_for_pods(one, show)
        tell_addresses(one, tell)
        show("running: Ctrl-C stops it")
        await browse(one.mesh.gateways[8080])

    return asyncio.run(Supervisor(options, show).run(present))


def tell_addresses(one: Supervisor, tell: Tell) -> None:
    """Say where things are and what to try."""
    tell(f"live graph    {one.mesh.console}")
    tell(f"product page  {one.mesh.gateways[8080]}{bookinfo.PAGE}")
    tell(f"traffic       {PAGES_PER_S:.0f} pages a second, one in {len(READERS)} for the user jason")
    tell("try, in another terminal:")
    program, folder = _short(_program()), Path(bookinfo.files()[0]).parent
    tell(f"  {program} graph")
    for name in ("all-v1.yaml", "reviews-90-10.yaml"):
        tell(f"  {program} apply --wait -f {_short(folder / name)}")


def _program() -> Path:
    """How the person can call the command: by its name if that is found, else by its path."""
    return Path("argosy") if shutil.which("argosy") else Path(sys.prefix) / "bin" / "argosy"


def _short(path: Path) -> Path:
    """From the current folder, if that is a way down."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


async def browse(gateway: str) -> None:
    """Open pages until cancelled. What does not answer is for the graph to show, not for this to report."""
    readers = cycle(READERS)
    async with httpx.AsyncClient(base_url=gateway, timeout=ANSWER_S, trust_env=False) as client:

        async def one_page() -> str:
            reader = next(readers)
            headers = bookinfo.signed_in(reader) if reader else {}
            return bookinfo.read_page(await client.get(bookinfo.PAGE, headers=headers))

        await open_loop(one_page, rate=PAGES_PER_S, until=asyncio.get_running_loop().create_future())
