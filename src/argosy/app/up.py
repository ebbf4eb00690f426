"""`argosy up`: start a mesh, apply the files, say what is happening; in the foreground or behind a pipe.

`python -m argosy.app.up OPTIONS` is the background form: one JSON argument; it prints progress, then `ready`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from argosy.api import Document
from argosy.app import supervisor
from argosy.app.supervisor import READY_LINE, Supervisor, Tell, UpOptions
from argosy.core.errors import ArgosyError
from argosy.edge.async_control import control_client
from argosy.edge.directory_source import read_source
from argosy.galley.memory import MemoryStore
from argosy.galley.state import Analyzer, Galley
from argosy.mixer.analyze import ANALYZED_KINDS, analyze_rules
from argosy.mixer.validate import validate_expressions

PODS_S = 120.0


def up(options: UpOptions, tell: Tell = print) -> int:
    """Bring up a mesh. Foreground: until a signal. Detached: until it is ready. Raises `ArgosyError`."""
    check_files(options)
    if options.detach:
        return supervisor.detach(options, tell)
    return asyncio.run(Supervisor(options, tell).run(lambda one: announce(one, tell)))


def check_files(options: UpOptions) -> None:
    """Refuse bad files before anything is started. Raises `ArgosyError` with every finding."""
    documents = [document for file in options.files for document in read_source(Path(file))]
    Galley(MemoryStore(), validators=[validate_expressions], analyzers=[Analyzer(ANALYZED_KINDS, analyze_rules)]).apply(
        documents, now=0.0, who="", dry_run=True
    )


def single_files(options: UpOptions) -> list[Document]:
    """All documents of the files that are not directories."""
    files = [path for file in options.files if not (path := Path(file)).is_dir()]
    return [document for file in files for document in read_source(file)]


async def announce(one: Supervisor, tell: Tell) -> None:
    """Apply the files, wait for the pods, and say where things are."""
    await apply_files(one)
    await wait_for_pods(one, tell)
    await wait_for_proxies(one)
    async with control_client(one.home) as client:
        await one.open_gateway_ports(client)
    tell(f"console  {one.mesh.console}")
    for port, address in sorted(one.mesh.gateways.items()):
        tell(f"gateway  {address}  (port {port})")


async def apply_files(one: Supervisor) -> None:
    """Apply the files that are not directories (those are watched), in one transaction."""
    documents = single_files(one.options)
    if not documents:
        return
    body = {"documents": [{"data": d.data, "file": d.origin.file, "line": d.origin.line} for d in documents]}
    async with control_client(one.home) as client:
        answer = await client.post("/v1/apply", content=msgspec.json.encode(body))
        if answer.status_code != 200:
            raise ArgosyError.of("ARG0625", f"the files were not applied: {answer.text}")


_ENDED = ("Succeeded", "Failed")


async def wait_for_pods(one: Supervisor, tell: Tell) -> None:
    """Wait until every pod that is wished for is ready, telling how many are."""
    last = ""
    try:
        async with asyncio.timeout(PODS_S):
            while True:
                ready, total = await count_pods(one.home)
                line = f"pods ready: {ready}/{total}"
                if line != last:
                    tell(line)
                    last = line
                if total and ready == total:
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise ArgosyError.of(
            "ARG0626", f"not all pods are ready ({last})", hint="`argosy ps` and `argosy logs` tell more"
        ) from None


async def wait_for_proxies(one: Supervisor) -> None:
    """Wait until every proxy knows of every pod: a mesh that says it is ready answers its first request."""
    for program in ("control", "pilot") if one.options.split else ("control",):
        async with control_client(one.home, program) as client:
            answer = await client.post("/v1/wait", content=msgspec.json.encode({"wait_s": PODS_S}))
        told = answer.json()
        # What is only worth knowing keeps no mesh from being ready.
        if answer.status_code != 200 or told["laggards"] or any(one["level"] == "error" for one in told["findings"]):
            raise ArgosyError.of("ARG0628", f"not all proxies run the configuration: {answer.text}")


async def count_pods(home: Path) -> tuple[int, int]:
    """(ready, wished for) pods; those that are not made yet count too, those that have finished do not."""
    async with control_client(home) as client:
        pods = [one for one in await _objects(client, "Pod") if one.get("status", {}).get("phase") not in _ENDED]
        wished = int((await client.get("/v1/status")).json()["wished_pods"])
    return sum(_is_ready(pod) for pod in pods), max(wished, len(pods))


async def _objects(client: Any, kind: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/v1/objects/{kind}")
    if answer.status_code != 200:
        raise ArgosyError.of("ARG0627", f"the control plane does not answer as it should: {answer.text}")
    found: list[dict[str, Any]] = answer.json()["objects"]
    return found


def _is_ready(pod: dict[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def main(arguments: list[str], run: Callable[[UpOptions, Tell], int] | None = None) -> int:
    """The background form."""
    options = msgspec.json.decode(arguments[0], type=UpOptions)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(asctime)s supervisor %(message)s")

    def tell(text: str) -> None:
        # Whoever started us may be gone; that must not keep us from stopping in order.
        with contextlib.suppress(OSError, ValueError):
            print(text, flush=True)

    async def announced(one: Supervisor) -> None:
        await announce(one, tell)
        tell(READY_LINE)
        sys.stdout.close()
        sys.stdout = sys.stderr

    try:
        return asyncio.run(Supervisor(options, tell).run(announced))
    except ArgosyError as error:
        for finding in error.findings:
            print(finding, *([f"  hint: {finding.hint}"] if finding.hint else []), sep="\n", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
