"""What a proxy refuses by itself: a plain value between who decides it and who configures proxies."""

from __future__ import annotations

from dataclasses import dataclass

from argosy.envoy.cel import TRUE, Term

BODY_CHARS_MAX = 4096
"""Of an answer that Envoy gives by itself."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Requests (or connections) for which `condition` holds are answered with `status` and `body`.

    `networks`: only those from these addresses; with `outside`, only those from others. `formatted`: the body is a
    format string of Envoy's. `rule` is who says so, as `namespace/name`.
    """

    rule: str
    status: int
    body: str
    condition: Term = TRUE
    networks: tuple[str, ...] = ()
    outside: bool = False
    formatted: bool = False
