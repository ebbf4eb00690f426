"""What a proxy does by itself for Mixer: plain values between who decides it and who configures proxies."""

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


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """One value for a header: in the place of all that are there, or (`append`) beside them; None removes it."""

    name: str
    value: str | None
    append: bool = False


@dataclass(frozen=True, slots=True)
class HeaderVariant:
    """What is done to headers of requests for which `condition` holds, and to those of their answers."""

    request: tuple[HeaderChange, ...]
    response: tuple[HeaderChange, ...] = ()
    condition: Term = TRUE
