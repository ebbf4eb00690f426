"""What a program in a pod gets from the control plane with a certificate, its own or a stolen one: run in the pod.

    python thief.py '{"address": "10.88.0.1:15012", "server_name": ..., "roots": PEM, "chain": PEM, "key": PEM,
                      "calls": [{"method": ..., "node": ID, "type": URL, "names": [...], "more": 0}]}'

`chain` empty: no client certificate. `more`: so many made-up names besides. Prints JSON, one answer for each call:
`status` (how the call ended; `SERVED` when there was an answer), `names` of the resources of that type that came (they
have none in the state of the world), `text` of the status. Listeners are asked for besides: they come after what was
asked for, so that their answer ends the waiting.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import grpc
import grpc.aio

from argosy.edge.grpc_server import CHANNEL_OPTIONS
from argosy.edge.xds_server import ADS
from argosy.envoy import api
from argosy.pilot.build.resource import LISTENER
from argosy.xds import wire
from argosy.xds.messages import DeltaRequest, SotwRequest


def _requests(call: dict[str, Any]) -> list[bytes]:
    """What is asked for, and of Pilot the listeners after it."""
    first = _request(call, call["type"])
    # What is written to a call that has been refused meanwhile would hide its status.
    only = call["type"] == LISTENER or ADS not in call["method"]
    return [first] if only else [first, _request({**call, "names": [], "more": 0}, LISTENER)]


def _request(call: dict[str, Any], type_url: str) -> bytes:
    node = api.encode(api.message("envoy.config.core.v3.Node")(id=call["node"]))
    names = (*call.get("names", ()), *(f"made-up-{number}" for number in range(call.get("more", 0))))
    if "/Stream" in call["method"]:
        return wire.encode_sotw_request(SotwRequest(type_url, resource_names=names, node=node))
    return wire.encode_delta_request(DeltaRequest(type_url, names, node=node))


async def _ask(channel: Any, call: dict[str, Any]) -> dict[str, Any]:
    sotw = "/Stream" in call["method"]
    stream = channel.stream_stream(call["method"])(timeout=60)
    names: list[str] = []
    try:
        for request in _requests(call):
            await stream.write(request)
        while True:
            answer = await stream.read()
            if answer is grpc.aio.EOF:
                return {"status": (await stream.code()).name, "names": names, "text": await stream.details()}
            response: Any = (wire.decode_sotw_response if sotw else wire.decode_delta_response)(answer)
            if response.type_url == call["type"]:
                names += [one.name for one in response.resources]
            if response.type_url == LISTENER or ADS not in call["method"]:
                return {"status": "SERVED", "names": names, "text": ""}
    except grpc.aio.AioRpcError as error:
        return {"status": error.code().name, "names": names, "text": error.details()}
    except asyncio.InvalidStateError:  # the call ended before it was written
        return {"status": (await stream.code()).name, "names": [], "text": await stream.details()}
    finally:
        stream.cancel()


async def main(asked: dict[str, Any]) -> None:
    """Make all calls, one after another."""
    roots, chain, key = (asked[name].encode() or None for name in ("roots", "chain", "key"))
    credentials = grpc.ssl_channel_credentials(roots, key, chain)
    options = [*CHANNEL_OPTIONS, ("grpc.ssl_target_name_override", asked["server_name"])]
    async with grpc.aio.secure_channel(asked["address"], credentials, options=options) as channel:
        print(json.dumps([await _ask(channel, call) for call in asked["calls"]]))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
