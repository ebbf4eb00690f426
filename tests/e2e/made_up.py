"""Requests of which each has a path, a host, a user agent and a header of its own: what somebody sends who wants to
fill a mesh's memory. Used by tests, and by `python -m bench.made_up` at full size."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

THREADS = 4
TAGGED = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: made-up, namespace: istio-system}
spec:
  metrics:
  - providers: [{name: prometheus}]
    overrides:
    - match: {metric: REQUEST_COUNT}
      tagOverrides:
        request_user: {value: "request.headers['x-user']"}
        request_host: {value: request.host}
"""
"""The worst that an operator may have done: tags whose values clients choose."""


def send_made_up(port: int, count: int, *, begin: int = 0) -> dict[int, int]:
    """Send so many to a port of this host, over a few connections; gives how many were answered with which status.
    `begin`: how many names are used already."""

    def part(first: int) -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        found = []
        for number in range(begin + first, begin + count, THREADS):
            word = f"{number:x}-made-up"
            headers = {"host": f"{word}.example.com", "user-agent": word, "x-user": word}
            connection.request("GET", f"/{word}?q={word}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            found.append(answer.status)
        connection.close()
        return found

    with ThreadPoolExecutor(THREADS) as pool:
        statuses = [status for part_ in pool.map(part, range(THREADS)) for status in part_]
    return {status: statuses.count(status) for status in set(statuses)}
