"""Names of a token's claims, as conditions of policies and routes write them.

`request.auth.claims[a][b]` and `@request.auth.claims.a.b` both mean claim `b` within claim `a`; the bracketed form is
for names with a dot. Pure. Source: istio.io, authorization policy conditions; routing based on JWT claims.
"""

from __future__ import annotations

CONDITION = "request.auth.claims"
ROUTE_HEADER = "@request.auth.claims"


def claim_path(text: str) -> tuple[str, ...] | None:
    """The names of `[a][b]` or `.a.b`, from the outer claim to the inner one; None if it is neither."""
    if text.startswith("."):
        parts = text[1:].split(".")
        return None if any(not part or set(part) & set("[]") for part in parts) else tuple(parts)
    if not (text.startswith("[") and text.endswith("]")):
        return None
    parts = text[1:-1].split("][")
    return None if any(not part or set(part) & set("[]") for part in parts) else tuple(parts)


def condition_claim(key: str) -> tuple[str, ...] | None:
    """The claim that a policy's condition is about; None if it is about something else, or not well written."""
    return claim_path(key.removeprefix(CONDITION)) if key.startswith(f"{CONDITION}[") else None


def route_claim(name: str) -> tuple[str, ...] | None:
    """The claim that a route's header match is about; None if it is about something else, or not well written."""
    return claim_path(name.removeprefix(ROUTE_HEADER)) if name.startswith(ROUTE_HEADER) else None
