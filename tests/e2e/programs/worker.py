"""Programs whose life is what a test is about, run in pods. Standard library only.

python worker.py early URL           calls a server in its first line, tells it how that went, then serves on 8080
python worker.py job URL CODE        calls a server, ends with CODE
python worker.py flush URL SECONDS   after SIGTERM calls a server for so long on one connection, then ends
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit


def fetch(url: str) -> str:
    """The status of one request, or what went wrong."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError as error:
        return type(error).__name__


def until_told(url: str) -> None:
    """Tell a server something until it has heard it."""
    while fetch(url) != "200":
        time.sleep(0.2)


def early(url: str) -> None:
    """The very first call is the one that counts."""
    until_told(f"{url}/once?id=first-{fetch(url)}-{os.environ['HOSTNAME']}")
    import http.server

    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()


def job(url: str, code: str) -> None:
    """Some work, and an end."""
    until_told(f"{url}/once?id=job-{code}-{os.environ['HOSTNAME']}")
    sys.exit(int(code))


def flush(url: str, seconds: str) -> None:
    """Work that is left when the end is asked for."""
    stopped: list[float] = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(time.monotonic()))
    while not stopped:
        signal.pause()
    at, name, parts = time.time(), os.environ["HOSTNAME"], urlsplit(url)
    until_told(f"{url}/once?id=term-{name.partition('-')[0]}-{at:.3f}")
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    number = opened = 0
    while time.monotonic() < stopped[0] + float(seconds):
        result = "failed"
        with contextlib.suppress(OSError, http.client.HTTPException):
            opened += connection.sock is None
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            result = str(answer.status)
        until_told(f"{url}/once?id=flush-{result}-{opened}-{name}")
        number += 1
        time.sleep(0.1)


if __name__ == "__main__":
    {"early": early, "job": job, "flush": flush}[sys.argv[1]](*sys.argv[2:])
