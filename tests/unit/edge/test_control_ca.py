"""The authority over the control API."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from argosy.citadel.bundle import decode_bundle
from argosy.citadel.errors import Code
from argosy.core.errors import ArgosyError
from argosy.edge.ca_files import CAFolders, load_or_create_ca
from argosy.edge.ca_keeper import CAKeeper
from argosy.edge.control_api import _on_error
from argosy.edge.control_ca import ca_routes

from ..citadel.meshca import START, HandClock
from .test_ca_keeper import foreign_files, holder, obey


@pytest.fixture
def keeper(tmp_path: Path) -> CAKeeper:
    load_or_create_ca(tmp_path / "ca", "td", now=START)
    return CAKeeper(CAFolders(tmp_path / "ca", tmp_path / "citadel", "td"), HandClock())


@pytest.fixture
async def client(keeper: CAKeeper) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=ca_routes(lambda: keeper), exception_handlers={ArgosyError: _on_error})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://c") as made:
        yield made


async def post(client: httpx.AsyncClient, path: str, **body: Any) -> dict[str, Any]:
    answer = await client.post(f"/v1/ca/{path}", content=json.dumps(body))
    found: dict[str, Any] = answer.json()
    return found


def code(answer: dict[str, Any]) -> str:
    return str(answer["findings"][0]["code"])


async def test_a_rotation_is_walked_step_by_step(client: httpx.AsyncClient, keeper: CAKeeper) -> None:
    obey(keeper)
    assert (await post(client, "step"))["phase"] == "adding"
    refused = await post(client, "step")
    assert (code(refused), "default/a" in refused["findings"][0]["message"]) == (Code.LAGGARDS, True)
    assert (await post(client, "wait"))["laggards"] == ["default/a"]
    for phase in ("signing", "settled"):
        obey(keeper)
        assert (await post(client, "step"))["phase"] == phase
    assert (await client.get("/v1/ca")).json()["phase"] == "settled"


async def test_a_root_is_dropped_and_a_life_renewed(
    client: httpx.AsyncClient, keeper: CAKeeper, tmp_path: Path
) -> None:
    signer = keeper.trust.signer
    assert (await post(client, "renew"))["signer"]["fingerprint"] != signer
    files = foreign_files(tmp_path / "theirs")
    assert (await post(client, "drop", files=files))["signer"]["subject"] == "CN=Mesh CA"
    assert code(await post(client, "renew")) == Code.NOT_OUR_ROOT
    keeper.report("agent", (holder(keeper),))
    assert (await post(client, "renew", files=files))["signer"]["subject"] == "CN=Mesh CA"


async def test_bundles_go_out_and_come_in(client: httpx.AsyncClient, keeper: CAKeeper, tmp_path: Path) -> None:
    own = (await client.get("/v1/ca/bundle")).content
    assert decode_bundle("td", own).roots == keeper.authority.roots
    load_or_create_ca(tmp_path / "b", "partner", now=START)
    other = CAKeeper(CAFolders(tmp_path / "b", tmp_path / "b-state", "partner"), HandClock())
    added = await post(client, "bundles", trust_domain="partner", bundle=other.exported().decode())
    assert added["federated"] == [{"trust_domain": "partner", "roots": 1}]
    assert (await post(client, "bundles", trust_domain="partner", remove=True))["federated"] == []
    assert code(await post(client, "bundles", trust_domain="partner", remove=True)) == Code.BUNDLE_SOURCE
    assert code(await post(client, "bundles", trust_domain="../x", bundle="{}")) == Code.BUNDLE_SOURCE
    assert code(await post(client, "bundles", trust_domain="partner", bundle='{"keys": []}')) == Code.BUNDLE_EMPTY


async def test_a_body_is_never_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/ca/step", content=b'{"files": {"ca-key.pem": SECRET}}')
    assert answer.status_code == 400
    assert "SECRET" not in answer.text
    big = await client.post("/v1/ca/step", content=b" " * (5 << 20))
    assert big.status_code == 400


async def test_a_program_without_citadel_says_so() -> None:
    app = Starlette(routes=ca_routes(lambda: None), exception_handlers={ArgosyError: _on_error})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://c") as client:
        assert (await client.get("/v1/ca")).json()["findings"][0]["message"] == "this program has no Citadel"
