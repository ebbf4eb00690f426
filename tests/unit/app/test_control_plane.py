"""The control plane's programs, served for real on loopback and unix sockets: readiness, metrics, status, settings."""

import asyncio
import socket
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from argosy.app.control_plane import ControlPlane, main
from argosy.app.control_settings import ALL, Settings
from argosy.citadel.authority import create_root
from argosy.citadel.pem import encode_certificate, encode_private_key
from argosy.edge.ca_files import CERTIFICATE_FILE, CHAIN_FILE, KEY_FILE, ROOT_FILE, own_folder, place_ca
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.ca_offline import renew_folder
from argosy.edge.clock import SystemClock

from .shop import CART

pytestmark = pytest.mark.timeout(300)


def settings(home: Path, name: str = "argosy", **changes: Any) -> Settings:
    given: dict[str, Any] = {
        "listen": "127.0.0.1:0",
        "citadel_listen": "127.0.0.1:0",
        "galley": f"127.0.0.1:{free_port()}",
        "citadel": f"127.0.0.1:{free_port()}",
    }
    return Settings(name=name, home=str(home), **(given | changes))


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@asynccontextmanager
async def running(one: Settings, program: type[ControlPlane] = ControlPlane) -> AsyncIterator[httpx.AsyncClient]:
    """The program, and a client of its control API."""
    serving = asyncio.create_task(program(one).serve())
    name = "control" if "galley" in one.components else one.name
    transport = httpx.AsyncHTTPTransport(uds=str(Path(one.home) / "run" / f"{name}.sock"))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
            yield client
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


async def until(client: httpx.AsyncClient, wanted: str) -> httpx.Response:
    """The first answer of `/readyz` that says so."""
    while True:
        with suppress(httpx.TransportError):
            answer = await client.get("/readyz")
            if wanted in answer.text:
                return answer
        await asyncio.sleep(0.02)


def samples(text: str) -> dict[str, float]:
    lines = [line.split(" ") for line in text.splitlines() if not line.startswith("#") and "{" not in line]
    return {name: float(value) for name, value in lines}


async def test_all_in_one_becomes_ready_and_tells_of_itself(tmp_path: Path) -> None:
    async with running(settings(tmp_path, platform="local")) as client:
        assert (await until(client, "ok")).status_code == 200
        found = samples((await client.get("/metrics")).text)
        status = (await client.get("/v1/status")).json()
    expected = {"argosy_ready": 1, "pilot_xds": 0, "pilot_total_xds_rejects": 0, "pilot_failing_keys": 0}
    assert expected.items() <= found.items()
    assert {"pilot_commits_total", "mixer_checks_total", "mixer_denials_total"} < set(found)
    assert (status["name"], status["ready"], status["revision"], status["proxies"]) == ("argosy", "ok", 1, 0)
    assert status["gateway_ports"] == [80, 443, 15021]
    assert status["wished_pods"] == 1
    assert status["certificate"]["spiffe_id"] == "spiffe://cluster.local/ns/istio-system/sa/argosy"


async def test_only_its_user_may_open_its_socket_and_keys(tmp_path: Path) -> None:
    async with running(settings(tmp_path)) as client:
        await until(client, "ok")
        assert stat.S_IMODE((tmp_path / "run" / "control.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700
        kept = [*(tmp_path / "ca").iterdir(), *(tmp_path / "identity").iterdir()]
        keys = [path for path in kept if b"PRIVATE KEY" in path.read_bytes()]
        assert len(keys) == 2
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}


async def test_it_is_not_ready_before_its_directories_were_read(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "cart.yaml").write_text(CART)
    async with running(settings(tmp_path / "home", sources=(str(folder),))) as client:
        await until(client, "ok")
        found = (await client.get("/v1/objects/Service")).json()["objects"]
        assert [one["metadata"]["name"] for one in found] == ["cart"]


async def test_what_cannot_be_read_does_not_keep_it_from_being_ready(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "cart.yaml").write_text("kind: [")
    async with running(settings(tmp_path / "home", sources=(str(folder),))) as client:
        await until(client, "ok")
    assert f"{folder} is not applied" in caplog.text


async def test_a_program_without_its_certificate_says_so(tmp_path: Path) -> None:
    async with running(settings(tmp_path, "pilot")) as client:
        answer = await until(client, "no certificate yet")
        assert answer.status_code == 503
        assert samples((await client.get("/metrics")).text) == {"argosy_denied_calls_total": 0, "argosy_ready": 0}


async def test_a_pilot_that_has_not_heard_galley_is_not_ready_until_it_has(tmp_path: Path) -> None:
    citadel, galley = (f"127.0.0.1:{free_port()}" for _ in range(2))
    addresses = {"citadel": citadel, "galley": galley}
    async with running(settings(tmp_path, "citadel", citadel_listen=citadel, **addresses)) as client:
        await until(client, "ok")
        async with running(settings(tmp_path, "pilot", **addresses)) as pilot:
            answer = await until(pilot, "pilot is still reading the configuration")
            assert answer.status_code == 503
            async with running(settings(tmp_path, "galley", listen=galley, **addresses)):
                await until(pilot, "ok")
                assert (await pilot.get("/v1/status")).json()["revision"] is None


def test_settings_go_there_and_back_and_know_no_others(tmp_path: Path) -> None:
    one = settings(tmp_path, "pilot", sources=("a", "b"), socket_mark=7)
    assert msgspec.json.decode(msgspec.json.encode(one), type=Settings) == one
    with pytest.raises(msgspec.ValidationError, match="novelty"):
        msgspec.json.decode(b'{"novelty": 1, ' + msgspec.json.encode(one)[1:], type=Settings)


@pytest.mark.parametrize("name", ["galley", "pilot", "citadel", "mixer"])
def test_a_program_of_one_part_runs_that_part(tmp_path: Path, name: str) -> None:
    assert settings(tmp_path, name).components == (name,)


def test_all_in_one_runs_every_part(tmp_path: Path) -> None:
    assert settings(tmp_path).components == ALL


def test_an_authority_that_is_not_there_ends_the_program_with_its_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "settings.json"
    path.write_bytes(msgspec.json.encode(settings(tmp_path, ca_dir=str(tmp_path / "nowhere"))))
    assert main([str(path)]) == 1
    said = capsys.readouterr().err
    assert "error CIT0040" in said
    assert "nowhere" in said


class MovedClock(SystemClock):
    """The wall clock, set ahead by some seconds."""

    ahead_s = 0.0

    def now(self) -> float:
        return super().now() + self.ahead_s


class EndsWhileStarting(ControlPlane):
    """Its authority is good when it is read, and has ended before it signs."""

    def _keeper(self) -> CAKeeper:
        self.clock = clock = MovedClock()
        keeper = super()._keeper()
        clock.ahead_s = ENDS_S
        return keeper


ENDS_S = 600.0


async def test_an_authority_that_ends_while_it_starts_is_mended_by_renewed_files(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    root = create_root("cluster.local", key, now=time.time(), serial=7, ttl_s=ENDS_S)
    certificate = encode_certificate(root.certificate).encode()
    files = dict.fromkeys((CERTIFICATE_FILE, CHAIN_FILE, ROOT_FILE), certificate)
    place_ca(own_folder(tmp_path, "cluster.local"), {KEY_FILE: encode_private_key(key), **files})
    async with running(settings(tmp_path), EndsWhileStarting) as client:
        await until(client, "the signing certificate is not valid now")
        renew_folder(tmp_path, "", None)
        assert (await until(client, "ok")).status_code == 200
