"""An adapter out of process that takes reports of a template `look`, and prints the key of each instance.

python report_adapter.py PORT
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import grpc.aio

from argosy.samples.messages import build_messages

SCHEMA = {"Instance": (("key", 1, "string"),), "Request": (("instances", 1, "Instance[]"),)}


async def main(port: str) -> None:
    """Serve until killed."""
    messages = build_messages("report_adapter", SCHEMA)

    async def take(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
        request: Any = messages["Request"].FromString(data)
        for one in request.instances:
            print(f"told {one.key}", flush=True)
        return b""

    server = grpc.aio.server()
    method = {"HandleLook": grpc.unary_unary_rpc_method_handler(take)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("look.HandleLookService", method),))
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
