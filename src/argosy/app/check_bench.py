"""What the checks of `argosy demo --check` work with: a running mesh, and short words for what one does with it.

Talks to the control API, the agent's socket, the gateway and `/metrics`, as a user's tools do; knows nothing of how the
mesh works inside.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from argosy.app import bookinfo
from argosy.app.supervisor import Supervisor
from argosy.core.errors import ArgosyError
from argosy.core.names import DEFAULT_TRUST_DOMAIN
from argosy.core.spiffe import SpiffeID
from argosy.edge.async_control import control_client
from argosy.edge.control_client import parse_finding
from argosy.edge.exec_api import AgentClient, Request
from argosy.samples.bundle import manifest_path

WAIT_S = 60.0
PODS_S = 180.0
POLL_S = 0.2
CALL_S = 20
PLAIN = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "plain", "labels": {"istio-injection": "disabled"}},
}


class CheckFailed(Exception):
    """A check saw something else than it should have."""


@dataclass(frozen=True)
class Certificate:
    """What a sidecar shows: its identity and the one it should have, and which certificate it is."""

    identity: str
    expected: str
    serial: str


@dataclass
class Bench:
    """A running mesh under check."""

    control: httpx.AsyncClient
    web: httpx.AsyncClient
    agent: AgentClient
    console: str
    first_certificates: dict[str, Certificate] = field(default_factory=dict)
    certificates_since: float = 0.0

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, one: Supervisor) -> AsyncIterator[Bench]:
        """Clients of a mesh that is ready; closed at the end."""
        agent = AgentClient(str(one.home / "run" / "agent.sock"))
        gateway = one.mesh.gateways[8080]
        async with (
            control_client(one.home) as control,
            httpx.AsyncClient(base_url=gateway, timeout=WAIT_S, trust_env=False) as web,
        ):
            yield cls(control, web, agent, one.mesh.console)

    # -- configuration ------------------------------------------------------------------------------------------

    async def apply(self, *names: str, example: str = "bookinfo", namespace: str = "default") -> None:
        """Apply an example's files one after the other: later ones replace routes of earlier ones."""
        for name in names:
            file = manifest_path(example, name)
            await self._change("apply", {"files": [{"file": str(file), "text": file.read_text()}]}, namespace)

    async def delete(self, name: str) -> None:
        """Delete what stands in one of Bookinfo's files."""
        file = manifest_path("bookinfo", name)
        await self._change("delete", {"files": [{"file": str(file), "text": file.read_text()}]}, "default")

    async def apply_plain_client(self) -> None:
        """A pod to call from in a namespace without sidecars."""
        await self._change("apply", {"documents": [{"data": PLAIN}]}, "default")
        await self.apply("sleep.yaml", example="sleep", namespace="plain")

    async def _change(self, verb: str, body: Mapping[str, Any], namespace: str) -> None:
        change = {**body, "namespace": namespace, "wait_s": WAIT_S, "who": "demo --check"}
        answer = await self.control.post(f"/v1/{verb}", content=msgspec.json.encode(change))
        told = answer.json()
        if answer.status_code != 200:
            raise ArgosyError([parse_finding(one) for one in told["findings"]])
        if told["laggards"]:
            raise CheckFailed(f"not everywhere after {WAIT_S:.0f} s: {', '.join(p['pod'] for p in told['laggards'])}")

    async def _objects(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.control.get(f"/v1/objects/{kind}")).json()["objects"]
        return found

    async def wait_for_pods(self) -> int:
        """Wait until every pod that a Deployment asks for is ready; how many there are."""

        async def settled() -> int:
            wanted = sum(one["spec"].get("replicas", 1) for one in await self._objects("Deployment"))
            rows = (await self._ask(Request("list")))["pods"]
            return wanted if [row["ready"] for row in rows] == [True] * wanted else 0

        count: int = await self._until(settled, "all pods ready", within_s=PODS_S)
        self.first_certificates, self.certificates_since = await self.certificates(), time.monotonic()
        return count

    async def proxies_in_sync(self) -> int:
        """Wait until every proxy runs what it should; how many there are."""

        async def settled() -> int:
            rows = (await self.control.get("/v1/proxies")).json()["proxies"]
            return len(rows) if all(row["state"] == "SYNCED" for row in rows) else 0

        count: int = await self._until(settled, "all proxies in sync")
        return count

    async def _until(self, condition: Callable[[], Any], what: str, *, within_s: float = WAIT_S) -> Any:
        deadline = time.monotonic() + within_s
        while True:
            with contextlib.suppress(OSError):
                if found := await condition():
                    return found
            if time.monotonic() > deadline:
                raise CheckFailed(f"not {what} after {within_s:.0f} s")
            await asyncio.sleep(POLL_S)

    # -- traffic ------------------------------------------------------------------------------------------------

    async def page(self) -> str:
        """One page for a reader without a name: which face it shows."""
        return bookinfo.read_page(await self.web.get(bookinfo.PAGE))

    async def jasons_page(self) -> str:
        """One page for the user jason."""
        return bookinfo.read_page(await self.web.get(bookinfo.PAGE, headers=bookinfo.signed_in("jason")))

    async def call(self, namespace: str, deployment: str, url: str) -> str:
        """Call `url` from a pod; the status code, 000 if there was no answer."""
        argv = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(CALL_S), url)
        rows = (await self._ask(Request("list")))["pods"]
        pod = next(row["name"] for row in rows if (row["namespace"], row.get("owner")) == (namespace, deployment))
        return await asyncio.to_thread(self._exec, Request("exec", namespace, pod, argv=argv))

    def _exec(self, request: Request) -> str:
        read, write = os.pipe()
        with open(os.devnull, "r+b") as null, os.fdopen(read) as output:
            with os.fdopen(write, "wb") as into:
                self.agent.ask(request, (null.fileno(), into.fileno(), null.fileno()))
            return output.read()

    async def _ask(self, request: Request) -> dict[str, Any]:
        return await asyncio.to_thread(self.agent.ask, request)

    # -- what the mesh knows ------------------------------------------------------------------------------------

    async def count(self, **labels: str) -> float:
        """The sum of `istio_requests_total` over the series with these labels, now."""
        text = (await self.web.get(f"{self.console}metrics")).text
        return sum(value for found, value in _requests(text) if labels.items() <= found.items())

    async def counted(self, **labels: str) -> float:
        """As `count`, once it is not 0."""

        async def some() -> float:
            return await self.count(**labels)

        total: float = await self._until(some, f"counted: {labels}")
        return total

    async def settle_counters(self, labels: Mapping[str, str]) -> None:
        """Wait until what was sent before has arrived from both sides."""
        old: float | None = None

        async def quiet() -> bool:
            nonlocal old
            # Proxies report every second: unchanged over several reports of each is quiet, on a busy machine too.
            await asyncio.sleep(4.0)
            old, before = await self.count(**labels), old
            return old == before

        await self._until(quiet, "quiet")

    async def certificates(self) -> dict[str, Certificate]:
        """What every sidecar and gateway shows now, by pod."""
        accounts = {
            (pod["metadata"]["namespace"], pod["metadata"]["name"]): pod["spec"].get("serviceAccountName", "default")
            for pod in await self._objects("Pod")
        }
        found = {}
        for row in (await self._ask(Request("list")))["pods"]:
            if not row.get("sidecar"):
                continue
            namespace, name = row["namespace"], row["name"]
            answer = await self._ask(Request("admin", namespace, name, path="/certs"))
            expected = SpiffeID(DEFAULT_TRUST_DOMAIN, f"/ns/{namespace}/sa/{accounts[namespace, name]}")
            found[name] = _certificate(msgspec.json.decode(answer["body"]), str(expected))
        return found


def _certificate(page: Mapping[str, Any], expected: str) -> Certificate:
    """The workload's own certificate on Envoy's page of certificates."""
    chains = [one for entry in page["certificates"] for one in entry.get("cert_chain", ())]
    for one in chains:
        names = [name["uri"] for name in one.get("subject_alt_names", ()) if "uri" in name]
        if names:
            return Certificate(", ".join(names), expected, one["serial_number"])
    return Certificate("no certificate", expected, "")


def _requests(text: str) -> Iterator[tuple[dict[str, str], float]]:
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "istio_requests_total":
                yield sample.labels, sample.value
