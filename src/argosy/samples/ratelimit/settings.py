"""What the service is told by its environment, in the variables of the image that it plays.

Given the environment; gives `Settings`, or an error that names the variable. Variables that would change what is
counted, and that this service does not have, are refused; those about logs and statistics' transport are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_ANY = ("", "::", "[::]", "0.0.0.0")
_TRUE, _FALSE = ("1", "t", "true"), ("", "0", "f", "false")
_NOT_HERE: Mapping[str, tuple[str, ...]] = {
    "BACKEND_TYPE": ("", "redis"),
    "CONFIG_TYPE": ("", "file"),
    "REDIS_TYPE": ("", "single"),
    "REDIS_PERSECOND": _FALSE,
    "REDIS_TLS": _FALSE,
    "STOP_CACHE_KEY_INCREMENT_WHEN_OVERLIMIT": _FALSE,
    "GRPC_SERVER_USE_TLS": _FALSE,
}
"""Variable -> the values that mean what this service does."""


class SettingsError(ValueError):
    """A variable says what this service cannot do."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to serve, where the limits are, and where is counted (`redis_url` empty: in memory)."""

    host: str = "0.0.0.0"
    port: int = 8080
    grpc_host: str = "0.0.0.0"
    grpc_port: int = 8081
    debug_host: str = "0.0.0.0"
    debug_port: int = 6070
    config: str = "/srv/runtime_data/current/config"
    redis_url: str = ""
    redis_password: str = field(default="", repr=False)
    shadow: bool = False
    headers: Mapping[str, str] | None = None
    """Names of the headers that tell clients how they stand; None: they are not told."""


def parse_settings(env: Mapping[str, str]) -> Settings:
    """Read the environment. Errors: `SettingsError`."""
    for name, fine in _NOT_HERE.items():
        if env.get(name, "").lower() not in fine:
            raise SettingsError(f"{name}={env[name]} is not supported: leave it out")
    root = PurePosixPath(env.get("RUNTIME_ROOT", "/srv/runtime_data/current"))
    return Settings(
        host=_host(env, "HOST"),
        port=_port(env, "PORT", 8080),
        grpc_host=_host(env, "GRPC_HOST"),
        grpc_port=_port(env, "GRPC_PORT", 8081),
        debug_host=_host(env, "DEBUG_HOST"),
        debug_port=_port(env, "DEBUG_PORT", 6070),
        config=str(root / env.get("RUNTIME_SUBDIRECTORY", "") / "config"),
        redis_url=_redis_url(env),
        redis_password=env.get("REDIS_AUTH", ""),
        shadow=_flag(env, "SHADOW_MODE"),
        headers=_headers(env) if _flag(env, "LIMIT_RESPONSE_HEADERS_ENABLED") else None,
    )


def _host(env: Mapping[str, str], name: str) -> str:
    host = env.get(name, "")
    return "0.0.0.0" if host in _ANY else host


def _port(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name, "") or str(default)
    if not (text.isascii() and text.isdecimal() and int(text) <= 65535):
        raise SettingsError(f"{name}={text} is not a port")
    return int(text)


def _flag(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").lower()
    if text not in (*_TRUE, *_FALSE):
        raise SettingsError(f"{name}={text} is neither true nor false")
    return text in _TRUE


def _redis_url(env: Mapping[str, str]) -> str:
    url, kind = env.get("REDIS_URL", ""), env.get("REDIS_SOCKET_TYPE", "") or "unix"
    if not url or "://" in url:
        return url
    if kind not in ("tcp", "unix"):
        raise SettingsError(f"REDIS_SOCKET_TYPE={kind} is neither tcp nor unix")
    return f"redis://{url}" if kind == "tcp" else f"unix://{url}"


def _headers(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "limit": env.get("LIMIT_LIMIT_HEADER", "RateLimit-Limit"),
        "remaining": env.get("LIMIT_REMAINING_HEADER", "RateLimit-Remaining"),
        "reset": env.get("LIMIT_RESET_HEADER", "RateLimit-Reset"),
    }
