"""S23: a bundle comes over TLS from an address that names it, or not at all."""

import http.server
import ssl
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from argosy.citadel.errors import BundleError
from argosy.edge import bundle_source
from argosy.edge.bundle_source import fetch_bundle

from ..citadel.meshca import AUTHORITY, component_source, roots_of


@pytest.mark.parametrize(
    "url",
    [
        "http://partner.example/bundle",
        "ftp://partner.example/bundle",
        "https:///bundle",
        "https://user:password@partner.example/bundle",
        "https://partner.example/bundle#x",
    ],
)
def test_s23_other_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(BundleError, match="no address of a bundle"):
        fetch_bundle(url)


class Handler(http.server.BaseHTTPRequestHandler):
    """Gives the path back; `/moved` is elsewhere."""

    def do_GET(self) -> None:
        body = b"x" * 100 if self.path == "/big" else self.path.encode()
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
async def port(tmp_path: Path) -> AsyncIterator[int]:
    source = component_source()
    material = await source.renew()
    (tmp_path / "server.pem").write_bytes(material.key + material.chain)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join(5)


def trusting(*, name: bool = False) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=roots_of(AUTHORITY).decode())
    context.check_hostname = name
    return context


async def test_what_the_endpoint_says_is_given(port: int) -> None:
    assert fetch_bundle(f"https://127.0.0.1:{port}/bundle?x=1", context=trusting()) == "/bundle?x=1"


async def test_an_unknown_authority_or_another_name_is_not_believed(port: int) -> None:
    for context in (None, trusting(name=True)):
        with pytest.raises(BundleError, match="cannot be fetched"):
            fetch_bundle(f"https://127.0.0.1:{port}/bundle", context=context)


async def test_redirects_and_floods_are_not_followed(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BundleError, match="status 302"):
        fetch_bundle(f"https://127.0.0.1:{port}/moved", context=trusting())
    monkeypatch.setattr(bundle_source, "BUNDLE_BYTES_MAX", 10)
    with pytest.raises(BundleError, match="gives no bundle"):
        fetch_bundle(f"https://127.0.0.1:{port}/big", context=trusting())
