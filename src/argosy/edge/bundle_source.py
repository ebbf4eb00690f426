"""Fetches another trust domain's bundle from its endpoint: over TLS with the machine's authorities, or not at all.

Source: rule S23 (SPIFFE federation, https_web profile): the address is bound to one trust domain by who gives it here.
"""

from __future__ import annotations

import http.client
import ssl
from urllib.parse import urlsplit

from argosy.citadel.errors import BundleError, Code

BUNDLE_BYTES_MAX = 1 << 20
TIMEOUT_S = 10.0


def fetch_bundle(url: str, *, context: ssl.SSLContext | None = None) -> str:
    """The text behind an https address; redirects are not followed. Raises `BundleError`."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.password or parts.fragment:
        message = f"{url!r} is no address of a bundle"
        raise BundleError.of(Code.BUNDLE_SOURCE, message, hint="https://host[:port]/path, without user information")
    try:
        connection = http.client.HTTPSConnection(
            parts.hostname, parts.port or 443, timeout=TIMEOUT_S, context=context or ssl.create_default_context()
        )
        try:
            connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
            answer = connection.getresponse()
            data = answer.read(BUNDLE_BYTES_MAX + 1)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise BundleError.of(Code.BUNDLE_SOURCE, f"the bundle cannot be fetched: {error}") from error
    if answer.status != http.client.OK or len(data) > BUNDLE_BYTES_MAX:
        raise BundleError.of(Code.BUNDLE_SOURCE, f"{url} gives no bundle (status {answer.status}, {len(data)} bytes)")
    return data.decode(errors="replace")
