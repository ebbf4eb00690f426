"""Asking a workload that is no pod whether it can serve: by HTTP, by connecting, or by gRPC's health protocol.

From the node's network, as Kubernetes' node asks a pod. An answer is an answer, not an error: a workload that cannot be
reached is not healthy, and the text says why. Source: Kubernetes' HTTP probes (200 to 399 is good, a certificate is not
verified, redirects are not followed); grpc.health.v1.
"""

from __future__ import annotations

import asyncio
import ssl

import grpc
import grpc.aio
import httpx

from argosy.agent.health import HealthCheck, Way
from argosy.xds.protowire import encode_string

_CHECK_METHOD = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"
"""A HealthCheckResponse with status SERVING: field 1, the number 1."""


async def ask_workload(check: HealthCheck) -> str:
    """Ask once, at most `check.timeout_s` long. Empty if the workload is well, else what is wrong."""
    ask = {Way.HTTP: _ask_http, Way.TCP: _ask_tcp, Way.GRPC: _ask_grpc}[check.way]
    try:
        async with asyncio.timeout(check.timeout_s):
            return await ask(check)
    except TimeoutError:
        return f"{_where(check)}: no answer within {check.timeout_s} s"
    except (OSError, ValueError) as error:  # ValueError: an address that is none
        return f"{_where(check)}: {getattr(error, 'strerror', None) or error}"


def _where(check: HealthCheck) -> str:
    host = f"[{check.host}]" if ":" in check.host else check.host
    if check.way is Way.HTTP:
        return f"GET {'https' if check.tls else 'http'}://{host}:{check.port}{check.path}"
    return f"{check.way} {host}:{check.port}"


async def _ask_tcp(check: HealthCheck) -> str:
    _reader, writer = await asyncio.open_connection(check.host, check.port)
    writer.close()
    return ""


async def _ask_http(check: HealthCheck) -> str:
    url = _where(check).removeprefix("GET ")
    own = [("User-Agent", "argosy-probe"), ("Connection", "close")]
    given = {name.lower() for name, _value in check.headers}
    headers = [*(one for one in own if one[0].lower() not in given), *check.headers]
    # A context is made for TLS alone: it costs far more than the question.
    transport = httpx.AsyncHTTPTransport(verify=_unverified() if check.tls else False, trust_env=False)
    try:
        async with httpx.AsyncClient(transport=transport, timeout=None) as client:
            async with client.stream("GET", url, headers=headers) as answer:
                return "" if 200 <= answer.status_code < 400 else f"{_where(check)}: answered {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{_where(check)}: {error or type(error).__name__}"


def _unverified() -> ssl.SSLContext:
    """Who answers is not the question, whether it answers is; as for Kubernetes' probes."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _ask_grpc(check: HealthCheck) -> str:
    host = f"[{check.host}]" if ":" in check.host else check.host
    try:
        async with grpc.aio.insecure_channel(
            f"{host}:{check.port}", options=[("grpc.enable_http_proxy", 0)]
        ) as channel:
            method = channel.unary_unary(_CHECK_METHOD)
            answer = await method(encode_string(1, check.service), timeout=check.timeout_s)
    except grpc.aio.AioRpcError as error:
        return f"{_where(check)}: {error.code().name}: {error.details()}"
    return "" if answer[:2] == _SERVING else f"{_where(check)}: not serving"
