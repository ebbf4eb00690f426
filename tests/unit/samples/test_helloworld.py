"""The helloworld sample."""

from typing import Any

from argosy.samples.helloworld import build_app


async def test_hello_names_version_and_instance(open_client: Any) -> None:
    async with open_client(build_app({"SERVICE_VERSION": "v2", "HOSTNAME": "pod-7"})) as client:
        assert (await client.get("/hello")).text == "Hello version: v2, instance: pod-7\n"
        assert (await client.get("/health")).status_code == 200
