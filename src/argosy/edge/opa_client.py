"""`opa`: Rego policies, evaluated by a server of Open Policy Agent that is given to Mixer.

Given the handler's parameters and where the server is now; puts the policies to the server and asks it about each
instance of `authorization` (OPA's REST API: `PUT /v1/policies/...`, `POST /v1/data/...`). A server that has lost the
policies gets them again. Where the server cannot tell, `failClose` says what holds. Source: Istio 1.4's opa adapter.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import httpx

from argosy.api.mixer_adapters import OpaParams
from argosy.mixer.port import NOT_ASKED, Call, Verdict
from argosy.mixer.status import OK, PERMISSION_DENIED

_log = logging.getLogger("argosy.mixer")
REJECTED = "opa: request was rejected"
TIMEOUT_S = 1.5
"""For all of a check, whatever it takes (the policies may have to be put there again)."""
ANSWER_BYTES_MAX = 1 << 20
DEFAULT_PORTS = {"http": 80, "https": 443}


class OpaError(Exception):
    """The server cannot tell."""


class OpaClient:
    """One handler. `scope` names it among all that use the server."""

    def __init__(self, params: OpaParams, place: Callable[[str], tuple[str, int]], scope: str) -> None:
        self._params = params
        self._place = place
        self._names = [_policy_name(scope, n, text) for n, text in enumerate(params.policy)]
        self._method = "/v1/data/" + "/".join(quote(part, safe="") for part in params.check_method.split(".")[1:])
        self._client = httpx.AsyncClient(timeout=TIMEOUT_S, trust_env=False)
        self._loaded = False
        self.problem = ""
        """Why it could not be asked last; empty if it could."""

    async def check(self, call: Call, left_s: float) -> Verdict:
        """Ask whether the subject may do the action."""
        if left_s <= 0:
            return self._as_configured(NOT_ASKED)
        try:
            async with asyncio.timeout(min(TIMEOUT_S, left_s)):
                allowed = await self._evaluate({"input": question(call.values)})
        except TimeoutError:
            self._tell(f"the OPA server {self._params.server_url} did not answer in time")
            return self._as_configured("no answer in time")
        except (OpaError, httpx.HTTPError, OSError) as error:
            self._tell(f"{type(error).__name__}: {error}")
            return self._as_configured(str(error))
        self._tell("")
        return Verdict(OK if allowed else PERMISSION_DENIED, "" if allowed else REJECTED, 0.0, 0)

    def _as_configured(self, reason: str) -> Verdict:
        """What holds where the server cannot tell."""
        message = f"{REJECTED}. err: {reason}" if self._params.fail_close else f"opa: {reason}"
        return Verdict(PERMISSION_DENIED if self._params.fail_close else OK, message, 0.0, 0)

    async def close(self) -> None:
        """Give up connections. Policies stay with the server: another handler may have put the same ones there."""
        await self._client.aclose()

    async def _evaluate(self, body: Mapping[str, Any]) -> bool:
        if not self._loaded:
            await self._load()
        answer = await self._send("POST", self._method, content=json.dumps(body), kind="application/json")
        if "result" not in answer and not await self._has_policies():
            await self._load()
            answer = await self._send("POST", self._method, content=json.dumps(body), kind="application/json")
        if "result" not in answer:
            raise OpaError(f"{self._params.check_method} has no value")
        if not isinstance(answer["result"], bool):
            raise OpaError(f"{self._params.check_method} is not true or false")
        return bool(answer["result"])

    async def _load(self) -> None:
        for name, text in zip(self._names, self._params.policy, strict=True):
            await self._send("PUT", name, content=text, kind="text/plain")
        self._loaded = True

    async def _has_policies(self) -> bool:
        for name in self._names:
            if await self._send("GET", name, missing_ok=True) is None:
                return False
        return True

    async def _send(
        self, method: str, path: str, *, content: str = "", kind: str = "", missing_ok: bool = False
    ) -> Any:
        base = urlsplit(self._params.server_url)
        host = base.hostname or ""
        address, port = self._place(f"{host}:{base.port or DEFAULT_PORTS[base.scheme]}")
        at = f"[{address}]" if ":" in address else address
        headers = {"host": base.netloc.rpartition("@")[2], **({"content-type": kind} if kind else {})}
        request = self._client.build_request(
            method,
            f"{base.scheme}://{at}:{port}{base.path.rstrip('/')}{path}",
            content=content.encode(),
            headers=headers,
            extensions={**self._timeouts, "sni_hostname": host},
        )
        answer = await self._client.send(request, stream=True)
        try:
            body = await _bounded(answer)
        finally:
            await answer.aclose()
        if missing_ok and answer.status_code == 404:
            return None
        return _json(method, path, answer.status_code, body)

    @property
    def _timeouts(self) -> dict[str, Any]:
        return {"timeout": self._client.timeout.as_dict()}

    def _tell(self, problem: str) -> None:
        """One line for each change, not for each request."""
        if bool(problem) != bool(self.problem):
            url = self._params.server_url
            _log.log(logging.WARNING if problem else logging.INFO, "%s", problem or f"the OPA server {url} answers")
        self.problem = problem


async def _bounded(answer: httpx.Response) -> bytes:
    body = b""
    async for chunk in answer.aiter_bytes():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise OpaError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return body


def _json(method: str, path: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body or b"{}")
    except ValueError:
        answer = None
    if not isinstance(answer, dict):
        raise OpaError(f"{method} {path}: status {status}, and no JSON object")
    if status >= 300:
        raise OpaError(f"{method} {path}: status {status}: {_reasons(answer)}")
    return answer


def _reasons(answer: Mapping[str, Any]) -> str:
    found = [str(answer.get("message", ""))]
    errors = answer.get("errors")
    found += (
        [str(one.get("message", "")) for one in errors if isinstance(one, dict)] if isinstance(errors, list) else []
    )
    return "; ".join(one for one in found if one)[:300] or "no reason"


def _policy_name(scope: str, number: int, text: str) -> str:
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    return f"/v1/policies/{quote(f'argosy/{scope}/{number}-{digest}')}"


def question(values: Mapping[str, Any]) -> dict[str, Any]:
    """The `input` of policies: without texts that are empty, and with `groups` as a list, as Istio has it."""
    found: dict[str, Any] = {"subject": {}, "action": {}}
    for part, fields in values.items():
        found[part] = {name: value for name, one in fields.items() if (value := _input(one)) not in ("", {})}
    groups = found["subject"].get("groups")
    if isinstance(groups, str):
        found["subject"]["groups"] = [groups]
    return found


def _input(value: Any) -> Any:
    """Values of attributes as JSON; what JSON does not know is text."""
    if isinstance(value, Mapping):
        return {key: _input(one) for key, one in value.items()}
    return value if isinstance(value, str | int | float | bool) else str(value)
