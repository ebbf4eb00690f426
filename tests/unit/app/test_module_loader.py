"""Modules are loaded for who names them, and no longer."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from argosy.api import decode_object, parse_documents
from argosy.api.meta import Object
from argosy.app import module_loader
from argosy.app.module_loader import ModuleLoader
from argosy.core.names import ObjectKey
from argosy.pilot.modules import ModuleSource

from ..citadel.meshca import HandClock

BODY = b"\0asm\x01\0\0\0"
KEY = ObjectKey("shop", "it")


def plugin(url: str, *, kind: str = "WasmPlugin") -> Object[object]:
    spec = f"{{url: '{url}'}}" if kind == "WasmPlugin" else f"{{wasm: {{url: '{url}'}}}}"
    text = (
        f"apiVersion: extensions.istio.io/v1alpha1\nkind: {kind}\nmetadata: {{name: it, namespace: shop}}\nspec: {spec}"
    )
    (one,) = parse_documents(text)
    return decode_object(one)


@asynccontextmanager
async def running(loader: ModuleLoader) -> AsyncIterator[None]:
    task = asyncio.create_task(loader.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def loader(monkeypatch: pytest.MonkeyPatch) -> ModuleLoader:
    monkeypatch.setattr(module_loader, "LOOK_S", 0.01)
    return ModuleLoader(HandClock())


async def changed(loader: ModuleLoader) -> None:
    """Until there is something to take."""
    event = asyncio.Event()
    loader.changed = event.set
    async with asyncio.timeout(60):
        await event.wait()


async def test_a_module_is_loaded_once_for_all_and_dropped_with_the_last(loader: ModuleLoader, tmp_path: Path) -> None:
    path = tmp_path / "m.wasm"
    path.write_bytes(BODY)
    source = ModuleSource(path.as_uri())
    one, two = plugin(source.url), plugin(source.url, kind="TrafficExtension")
    async with running(loader):
        loader.on_change("WasmPlugin", KEY, one)
        loader.on_change("TrafficExtension", KEY, two)
        loader.on_change("Service", KEY, one)
        await loader.wait_tried(60)
        found = loader.take_changes()[source]
        assert found is not None
        assert found.sha256 == hashlib.sha256(BODY).hexdigest()
        assert loader.take_changes() == {}
        loader.on_change("WasmPlugin", KEY, None)
        assert loader.take_changes() == {}
        loader.on_change("TrafficExtension", KEY, None)
        assert loader.take_changes() == {source: None}


async def test_nobody_waits_for_a_module_that_nobody_wants_any_more(loader: ModuleLoader, tmp_path: Path) -> None:
    loader.on_change("WasmPlugin", KEY, plugin((tmp_path / "m.wasm").as_uri()))
    waiting = asyncio.create_task(loader.wait_tried(600))
    await asyncio.sleep(0)
    assert not waiting.done()
    loader.on_change("WasmPlugin", KEY, None)
    await waiting


async def test_a_file_that_changes_is_read_again(loader: ModuleLoader, tmp_path: Path) -> None:
    path = tmp_path / "m.wasm"
    source = ModuleSource(path.as_uri())
    async with running(loader):
        loader.on_change("WasmPlugin", KEY, plugin(source.url))
        await loader.wait_tried(60)
        (finding,) = loader.findings()
        assert (finding.code, finding.kind, finding.name, finding.field) == ("ARG0511", "WasmPlugin", "it", "spec.url")
        assert "failStrategy" in finding.message
        path.write_bytes(BODY)
        await changed(loader)
        assert loader.findings() == []
        first = loader.take_changes()[source]
        path.write_bytes(BODY + b"\0")
        await changed(loader)
        second = loader.take_changes()[source]
        assert first != second
        # What cannot be read any more stays.
        path.write_bytes(b"broken!")
        async with asyncio.timeout(60):
            while not loader.findings():  # noqa: ASYNC110 - nothing is told, for nothing is to be taken
                await asyncio.sleep(0.01)
        assert "the module of before goes on" in loader.findings()[0].message
        assert loader.take_changes() == {}


async def test_another_source_takes_the_place_of_the_first(loader: ModuleLoader, tmp_path: Path) -> None:
    sources = []
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(BODY + name.encode())
        sources.append(ModuleSource((tmp_path / name).as_uri()))
    async with running(loader):
        for source in sources:
            loader.on_change("WasmPlugin", KEY, plugin(source.url))
            await loader.wait_tried(60)
        taken = loader.take_changes()
        assert taken[sources[0]] is None
        assert taken[sources[1]] is not None


async def test_what_is_held_and_what_is_missing_is_counted(loader: ModuleLoader, tmp_path: Path) -> None:
    def counted() -> dict[str, float]:
        return {name.removeprefix("pilot_wasm_"): value for name, _kind, _text, value in loader.metrics()}

    path = tmp_path / "m.wasm"
    async with running(loader):
        loader.on_change("WasmPlugin", KEY, plugin(path.as_uri()))
        await loader.wait_tried(60)
        before = counted()
        assert (before["modules"], before["modules_missing"], before["fetch_success_total"]) == (0, 1, 0)
        assert before["fetch_fail_total"] >= 1
        path.write_bytes(BODY)
        await changed(loader)
        after = counted()
        assert (after["modules"], after["modules_missing"], after["fetch_success_total"]) == (1, 0, 1)
        loader.on_change("WasmPlugin", KEY, None)
        assert counted()["modules"] == 0


async def test_a_fault_that_nobody_thought_of_ends_nothing(
    loader: ModuleLoader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_arguments: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(module_loader, "read_module", broken)
    async with running(loader):
        loader.on_change("WasmPlugin", KEY, plugin("https://x/m.wasm"))
        await loader.wait_tried(60)
        assert "RuntimeError" in loader.findings()[0].message


async def test_waiting_has_an_end(loader: ModuleLoader) -> None:
    """Nobody reads the module here, so only the time that is given can end it."""
    loader.on_change("WasmPlugin", KEY, plugin("https://x/m.wasm"))
    longer = asyncio.create_task(loader.wait_tried(3600))
    async with asyncio.timeout(60):
        await loader.wait_tried(0.01)
    assert not longer.done(), "what is not tried is waited for"
    assert (loader.take_changes(), loader.findings()) == ({}, [])
    longer.cancel()
