"""The rate limit service as a program: gRPC, a page for health, pages about limits and counts; files are watched.

Run: `python -m argosy.samples.ratelimit`; the environment says the rest (`settings`). Limits that cannot be read keep
it from starting; later they leave those in force that were, and say so.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import grpc
import uvicorn
from google.protobuf.message import DecodeError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from watchfiles import awatch

from argosy.samples.ratelimit.config import ConfigError, Domains, parse_config
from argosy.samples.ratelimit.service import METHOD, SERVICE, BadRequest, Service
from argosy.samples.ratelimit.settings import Settings, SettingsError, parse_settings
from argosy.samples.ratelimit.store import MemoryStore, RedisStore, Store

REDIS_TIMEOUT_S = 2.0


def read_limits(folder: Path) -> Domains:
    """All files of the folder. Errors: `ConfigError`."""
    try:
        files = sorted(one for one in folder.iterdir() if one.is_file() and not one.name.startswith("."))
        return parse_config((str(one), one.read_text(encoding="utf-8")) for one in files)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{folder}: {error}") from error


def open_store(settings: Settings) -> Store:
    """Redis where one is named, else memory."""
    if not settings.redis_url:
        return MemoryStore(time.time)
    from redis.asyncio import Redis

    client: Redis = Redis.from_url(
        settings.redis_url,
        password=settings.redis_password or None,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )
    return RedisStore(client)


def grpc_handler(service: Service) -> grpc.GenericRpcHandler:
    """The one method of the service. What goes wrong is an error of the call: the proxy's filter says what it means."""

    async def limit(data: bytes, context: grpc.aio.ServicerContext) -> bytes:
        try:
            return await service.should_rate_limit(data)
        except (BadRequest, DecodeError) as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except OSError as error:
            _say(str(error))
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(error))
        raise AssertionError("abort raises")

    return grpc.method_handlers_generic_handler(SERVICE, {METHOD: grpc.unary_unary_rpc_method_handler(limit)})


def build_health() -> Starlette:
    """The page that says that it lives."""

    async def health(_: Request) -> Response:
        return PlainTextResponse("OK")

    return Starlette(routes=[Route("/healthcheck", health)])


def build_debug(service: Service) -> Starlette:
    """The pages about limits and counts."""

    async def limits(_: Request) -> Response:
        return PlainTextResponse(service.limits_page())

    async def stats(_: Request) -> Response:
        return PlainTextResponse(service.stats_page())

    return Starlette(routes=[Route("/rlconfig", limits), Route("/stats", stats)])


async def watch_limits(service: Service, folder: Path) -> None:
    """Take over changed limits; bad ones leave those in force."""
    async for _ in awatch(folder, recursive=False):
        try:
            service.domains = read_limits(folder)
            _say("limits read again")
        except ConfigError as error:
            _say(f"limits not changed: {error}")


async def serve(settings: Settings, service: Service) -> None:
    """Serve until told to stop."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc_handler(service),))
    bound = server.add_insecure_port(f"{settings.grpc_host}:{settings.grpc_port}")
    await server.start()
    health = _http(build_health(), settings.host, settings.port)
    debug = _http(build_debug(service), settings.debug_host, settings.debug_port)
    watching = asyncio.create_task(watch_limits(service, Path(settings.config)))
    debugging = asyncio.create_task(debug.serve())
    _say(f"listening on {settings.grpc_host}:{bound} (gRPC)")
    try:
        await health.serve()
    finally:
        watching.cancel()
        debug.should_exit = True
        await asyncio.gather(watching, debugging, return_exceptions=True)
        await server.stop(grace=1.0)


def _http(app: Starlette, host: str, port: int) -> uvicorn.Server:
    return uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False))


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    """Read settings and limits, then serve."""
    try:
        settings = parse_settings(os.environ)
        service = Service(settings, open_store(settings), time.time)
        service.domains = read_limits(Path(settings.config))
    except (SettingsError, ConfigError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    asyncio.run(serve(settings, service))


if __name__ == "__main__":
    main()
