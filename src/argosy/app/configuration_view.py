"""What the console shows of the configuration, wherever Galley and Pilot run.

`ConfigurationView` describes and analyses what Galley has, once for each revision, in a thread that shares nothing.
`ConsoleFindings` puts that together with what Pilot and Mixer find, from this process or over their sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec

from argosy.core.clock import Clock
from argosy.core.errors import Finding
from argosy.edge.async_control import control_client
from argosy.edge.control_client import parse_finding
from argosy.galley.state import Galley
from argosy.graph.configuration import Configuration, describe_configuration

# A page asks every two seconds; several pages ask no more often.
FRESH_S = 2.0
ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class Described:
    """What is in force, and what is found wrong with it."""

    configuration: Configuration
    findings: tuple[Finding, ...]

    def dump(self) -> dict[str, Any]:
        """For another program."""
        return {
            "configuration": msgspec.to_builtins(self.configuration),
            "findings": [one.dump() for one in self.findings],
        }

    @classmethod
    def parse(cls, data: dict[str, Any]) -> Described:
        """The inverse of `dump`. Errors: KeyError, ValueError."""
        configuration = msgspec.convert(data["configuration"], Configuration)
        return cls(configuration, tuple(parse_finding(one) for one in data["findings"]))


NOTHING = Described(Configuration(), ())


class ConfigurationView:
    """Galley's configuration, described once for each revision."""

    def __init__(self, galley: Galley) -> None:
        self._galley = galley
        self._known = NOTHING
        self._lock = asyncio.Lock()

    async def read(self) -> Described:
        """What is in force now."""
        async with self._lock:
            revision = self._galley.revision
            if self._known.configuration.revision != revision:
                objects = self._galley.objects()
                self._known = await asyncio.to_thread(self._describe, objects, revision)
            return self._known

    def placed(self, finding: Finding) -> Finding:
        """The finding with where its object was written."""
        return self._galley.placed(finding)

    def _describe(self, objects: Sequence[Any], revision: int) -> Described:
        return Described(describe_configuration(objects, revision), tuple(self._galley.analyze(objects)))


class ConsoleFindings:
    """The configuration and every program's findings, for the console; not older than two seconds."""

    def __init__(
        self,
        home: Path,
        clock: Clock,
        *,
        view: Callable[[], ConfigurationView | None],
        findings: Callable[[], Sequence[Finding]],
        others: Sequence[str],
    ) -> None:
        """view: where Galley is in this process. findings: of this process's other parts. others: what runs apart."""
        self._home = home
        self._clock = clock
        self._view = view
        self._findings = findings
        self._others = others
        self._read_at = float("-inf")
        self._known = NOTHING
        self._lock = asyncio.Lock()

    async def read(self) -> Described:
        """What is in force now. Raises OSError where Galley does not answer."""
        async with self._lock:
            if self._clock.monotonic() - self._read_at >= FRESH_S:
                view = self._view()
                base = await view.read() if view is not None else await self._from_galley()
                more = [*await self._from_pilot(), *self._findings()]
                more = more if view is None else [view.placed(one) for one in more]
                self._known = Described(base.configuration, tuple(dict.fromkeys((*base.findings, *more))))
                self._read_at = self._clock.monotonic()
            return self._known

    async def _from_galley(self) -> Described:
        try:
            return Described.parse(await self._ask("control", "/v1/configuration"))
        except (httpx.HTTPError, KeyError, ValueError) as error:
            raise OSError(f"Galley does not answer: {error or type(error).__name__}") from error

    async def _from_pilot(self) -> list[Finding]:
        """Without Pilot there is nothing to add: its absence shows elsewhere."""
        if "pilot" not in self._others:
            return []
        try:
            return [parse_finding(one) for one in (await self._ask("pilot", "/v1/analyze"))["findings"]]
        except (httpx.HTTPError, KeyError, ValueError):
            return []

    async def _ask(self, program: str, path: str) -> dict[str, Any]:
        async with control_client(self._home, program) as client:
            answer = await client.get(path, timeout=ASK_S)
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=dict[str, Any])
