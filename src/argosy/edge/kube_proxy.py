"""Writes the node's rules for service addresses, whenever their text has changed. The text is `local.service_rules`'.

Given rule texts, at any rate; runs `iptables-restore` in the node's network, one at a time, always with the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

_log = logging.getLogger("argosy.services")
RETRY_S = 1.0


class ServiceRules:
    """Holds the wished text and makes it so."""

    def __init__(self) -> None:
        self._wished = ""
        self._applied = ""
        self._changed = asyncio.Event()

    def wish(self, text: str) -> None:
        """Have these rules from now on. Equal text does nothing."""
        if text != self._wished:
            self._wished = text
            self._changed.set()

    async def serve(self) -> None:
        """Apply whatever is wished, until cancelled. What the kernel refuses is logged and tried again."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._wished != self._applied and not await self._apply(self._wished):
                await asyncio.sleep(RETRY_S)
                self._changed.set()

    async def _apply(self, text: str) -> bool:
        process = await asyncio.create_subprocess_exec(
            "iptables-restore",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            _, errors = await process.communicate(text.encode())
        finally:
            # Cancelled: nobody will look after it any more.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        if process.returncode != 0:
            _log.error("iptables-restore: %s", errors.decode(errors="replace").strip()[:500])
            return False
        self._applied = text
        return True
