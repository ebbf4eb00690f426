"""Secrets of gateways: both spellings of Kubernetes, and what is missing."""

from __future__ import annotations

from base64 import b64encode

import pytest

from argosy.api import Object, decode_object, parse_documents
from argosy.pilot.build.secrets import build_secret
from argosy.testing.worlds import as_json


def secret(**entries: str) -> Object[object]:
    data = ", ".join(f"{name}: {b64encode(value.encode()).decode()}" for name, value in entries.items())
    text = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata: {{{data}}}".replace("_", ".")
    return decode_object(parse_documents(text)[0])


@pytest.mark.parametrize("chain,key", [("tls_crt", "tls_key"), ("cert", "key")])
def test_a_certificate_and_its_key(chain: str, key: str) -> None:
    made = build_secret("s", secret(**{chain: "CHAIN", key: "KEY"}))
    assert made is not None
    shown = as_json(made)["tls_certificate"]
    assert shown["certificate_chain"]["inline_bytes"] == b64encode(b"CHAIN").decode()
    assert "KEY" not in repr(made)


def test_roots_for_mutual_tls_have_a_name_of_their_own() -> None:
    made = build_secret("s-cacert", secret(ca_crt="ROOTS"))
    assert made is not None
    assert as_json(made)["validation_context"]["trusted_ca"]["inline_bytes"] == b64encode(b"ROOTS").decode()


@pytest.mark.parametrize("name,entries", [("s", {"tls_crt": "CHAIN"}), ("s", {}), ("s-cacert", {"tls_crt": "CHAIN"})])
def test_half_a_secret_is_none(name: str, entries: dict[str, str]) -> None:
    assert build_secret(name, secret(**entries)) is None
