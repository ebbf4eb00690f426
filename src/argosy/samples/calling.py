"""How a sample calls another service: one GET, one connection, one timeout, JSON back or nothing.

Given a target, a path, headers and a timeout; gives the answer, or None when there was none (refused, timed out).
A fresh connection per call: no idle connection can go stale under a request, and every change of the mesh is seen by
the next call. Blocking by intent (callers use a thread): a call took a fifth of httpcore's CPU and an eighth of
httpx's.
"""

import http.client
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# What an application must hand on so that the proxies' spans form one trace, and what identifies the caller's user.
TRACE_HEADERS = (
    "x-request-id",
    "traceparent",
    "tracestate",
    "b3",
    "x-b3-traceid",
    "x-b3-spanid",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-flags",
    "x-ot-span-context",
    "x-cloud-trace-context",
    "grpc-trace-bin",
    "x-datadog-trace-id",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "sw8",
)
CALLER_HEADERS = ("user-agent", "cookie", "authorization", "jwt")
DEFAULT_PORT = 9080


@dataclass(frozen=True)
class Target:
    """Where a service is reached."""

    host: str
    port: int


@dataclass(frozen=True)
class Answer:
    """What a service said: the HTTP status and the decoded JSON body."""

    status: int
    body: object


def target_from(env: Mapping[str, str], service: str) -> Target:
    """Find a service in the environment: `<SERVICE>_HOSTNAME`, `SERVICES_DOMAIN`, `<SERVICE>_SERVICE_PORT`.

    Errors: ValueError when the port is not a number.
    """
    host = env.get(f"{service.upper()}_HOSTNAME") or service
    domain = env.get("SERVICES_DOMAIN", "")
    port = env.get(f"{service.upper()}_SERVICE_PORT") or DEFAULT_PORT
    return Target(host=f"{host}.{domain}" if domain else host, port=int(port))


def pick_headers(headers: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """Copy the named headers that are present (`headers` looks names up without regard to case)."""
    return {name: headers[name] for name in names if name in headers}


def get_json(target: Target, path: str, headers: Mapping[str, str], *, timeout_s: float) -> Answer | None:
    """GET `path` and decode the JSON body; None when no whole answer came.

    `timeout_s` bounds the connect and each wait for data, which for these small answers is the whole call.
    """
    connection = http.client.HTTPConnection(target.host, target.port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers={**headers, "connection": "close"})
        response = connection.getresponse()
        return Answer(status=response.status, body=_decode(response.read()))
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _decode(body: bytes) -> object:
    """A proxy's own error pages are plain text: their status matters, their body does not."""
    try:
        decoded: object = json.loads(body)
    except ValueError:
        return None
    return decoded
