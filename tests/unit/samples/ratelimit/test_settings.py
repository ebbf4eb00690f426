"""What the service is told by its environment."""

import pytest

from argosy.samples.ratelimit.settings import Settings, SettingsError, parse_settings


def test_the_variables_of_the_sample_are_understood() -> None:
    env = {
        "LOG_LEVEL": "debug",
        "REDIS_SOCKET_TYPE": "tcp",
        "REDIS_URL": "redis:6379",
        "REDIS_AUTH": "hush",
        "USE_STATSD": "false",
        "RUNTIME_ROOT": "/data",
        "RUNTIME_SUBDIRECTORY": "ratelimit",
        "HOST": "::",
        "GRPC_HOST": "::",
        "GRPC_PORT": "9",
        "LIMIT_RESPONSE_HEADERS_ENABLED": "true",
        "LIMIT_RESET_HEADER": "X-Reset",
        "SHADOW_MODE": "1",
    }
    found = parse_settings(env)
    assert found == Settings(
        grpc_port=9,
        config="/data/ratelimit/config",
        redis_url="redis://redis:6379",
        redis_password="hush",
        shadow=True,
        headers={"limit": "RateLimit-Limit", "remaining": "RateLimit-Remaining", "reset": "X-Reset"},
    )
    assert "hush" not in repr(found)


def test_without_redis_counters_are_in_memory() -> None:
    assert parse_settings({}) == Settings()
    assert parse_settings({"REDIS_URL": "/run/redis.sock"}).redis_url == "unix:///run/redis.sock"
    assert parse_settings({"REDIS_URL": "rediss://r:1"}).redis_url == "rediss://r:1"


@pytest.mark.parametrize(
    "name, value",
    [
        ("BACKEND_TYPE", "memcache"),
        ("REDIS_TYPE", "cluster"),
        ("REDIS_PERSECOND", "true"),
        ("PORT", "x"),
        ("GRPC_PORT", "70000"),
        ("SHADOW_MODE", "maybe"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}={value} "):
        parse_settings({name: value})


def test_a_kind_of_socket_that_there_is_not() -> None:
    with pytest.raises(SettingsError, match="REDIS_SOCKET_TYPE=pigeon"):
        parse_settings({"REDIS_URL": "redis:1", "REDIS_SOCKET_TYPE": "pigeon"})
