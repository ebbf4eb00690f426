"""The certificate authorities that this machine trusts, as one PEM text."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import certifi


@cache
def system_roots() -> str:
    """The machine's own bundle, or Mozilla's where it has none. Read once for each process."""
    places = ssl.get_default_verify_paths()
    for place in (places.cafile, places.openssl_cafile, "/etc/ssl/certs/ca-certificates.crt"):
        if place and Path(place).is_file():
            return Path(place).read_text()
    return Path(certifi.where()).read_text()
