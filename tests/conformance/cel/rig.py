"""One Envoy that answers a request by itself, with a log of its own for each expression: which log has the request?"""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.conformance.authz_envoy.rig import free_ports

from argosy.envoy.api import encode, envoy_binary, message, pack

_HEADERS = {"x-age": "5", "user-agent": "till"}


def logged(folder: Path, expressions: Sequence[str]) -> set[str]:
    """The expressions that are true of one request: a POST of five bytes, answered with 503."""
    (port,) = free_ports(1)
    file = folder / "log"
    config = folder / "envoy.pb"
    config.write_bytes(encode(_bootstrap(port, [_logger(number, one, file) for number, one in enumerate(expressions)])))
    with (folder / "envoy.log").open("w") as log:
        argv = [str(envoy_binary()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "error"]
        process = subprocess.Popen(argv, stdout=log, stderr=log)
        try:
            _ask(process, port, folder)
        finally:
            # Logs are written out when it ends.
            process.terminate()
            process.wait()
    return {expressions[int(line)] for line in file.read_text().splitlines()}


def refusal(folder: Path, expression: str) -> str:
    """Why Envoy does not take a configuration with the expression as filter; empty if it does."""
    return _refusal(folder, _logger(0, expression, Path("/dev/null")))


def format_refusal(folder: Path, text: str) -> str:
    """Why Envoy does not take a configuration with a format of access logs; empty if it does."""
    without_query = message("envoy.extensions.formatter.req_without_query.v3.ReqWithoutQuery")()
    formatters = [{"name": "envoy.formatter.req_without_query", "typed_config": pack(without_query)}]
    line = {"text_format_source": {"inline_string": text}, "formatters": formatters}
    config = message("envoy.extensions.access_loggers.file.v3.FileAccessLog")(path="/dev/null", log_format=line)
    return _refusal(folder, {"name": "file", "typed_config": pack(config)})


def _refusal(folder: Path, logger: Any) -> str:
    config = folder / "one.pb"
    config.write_bytes(encode(_bootstrap(1, [logger])))
    argv = [str(envoy_binary()), "--mode", "validate", "-c", str(config), "-l", "error"]
    found = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (found.stdout + found.stderr).strip() if found.returncode else ""


def _ask(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("POST", "/a/b?q=1", body="12345", headers=_HEADERS)
            assert connection.getresponse().read() == b"closed"
            connection.close()
            return
        assert process.poll() is None, (folder / "envoy.log").read_text()[-3000:]
        assert time.monotonic() < deadline, "Envoy does not listen"
        time.sleep(0.05)


def _logger(number: int, expression: str, file: Path) -> Any:
    condition = message("envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter")(expression=expression)
    line = {"text_format_source": {"inline_string": f"{number}\n"}}
    config = message("envoy.extensions.access_loggers.file.v3.FileAccessLog")(path=str(file), log_format=line)
    return {
        "name": "file",
        "typed_config": pack(config),
        "filter": {
            "extension_filter": {"name": "envoy.access_loggers.extension_filters.cel", "typed_config": pack(condition)}
        },
    }


def _bootstrap(port: int, loggers: list[Any]) -> Any:
    router = message("envoy.extensions.filters.http.router.v3.Router")()
    route = {
        "match": {"prefix": "/"},
        "name": "closed",
        "direct_response": {"status": 503, "body": {"inline_string": "closed"}},
    }
    manager = message("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")(
        stat_prefix="x",
        access_log=loggers,
        route_config={"name": "r", "virtual_hosts": [{"name": "shop", "domains": ["*"], "routes": [route]}]},
        http_filters=[{"name": "router", "typed_config": pack(router)}],
    )
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    chain = {"filters": [{"name": "http", "typed_config": pack(manager)}]}
    listener = {"name": "l", "address": address, "filter_chains": [chain]}
    return message("envoy.config.bootstrap.v3.Bootstrap")(static_resources={"listeners": [listener]})
