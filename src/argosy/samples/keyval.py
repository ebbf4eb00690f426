"""Plays the image `istio-testing/keyval`: an out-of-process adapter that looks a key up in a table.

gRPC: `keyval.HandleKeyvalService/HandleKeyval`. The table comes with each request, as the handler's parameters; a key
that is not in it is NOT_FOUND. Answers hold for five seconds.
Run: `python -m argosy.samples.keyval [port]`, default 9070.
"""

import asyncio
import sys

import grpc

from argosy.samples.messages import Schema, build_messages
from argosy.samples.serving import port_argument

SERVICE, METHOD = "keyval.HandleKeyvalService", "HandleKeyval"
PORT = 9070
VALID_S = 5
NOT_FOUND = 5  # google.rpc.Code
_SCHEMA: Schema = {
    "Instance": (("key", 1, "string"),),
    "Any": (("type_url", 1, "string"), ("value", 2, "bytes")),
    "Entry": (("key", 1, "string"), ("value", 2, "string")),
    "Params": (("table", 1, "Entry[]"),),
    "Request": (("instance", 1, "Instance"), ("adapter_config", 2, "Any")),
    "Status": (("code", 1, "int32"), ("message", 2, "string")),
    "Duration": (("seconds", 1, "int64"),),
    "Result": (("status", 1, "Status"), ("valid_duration", 2, "Duration")),
    "Output": (("value", 2, "string"),),
    "Response": (("result", 1, "Result"), ("output", 2, "Output")),
}


class Keyval:
    """The adapter: bytes of a request in, bytes of a response out."""

    def __init__(self) -> None:
        """Build the message classes once."""
        self._messages = build_messages("keyval_sample", _SCHEMA)

    def look_up(self, data: bytes) -> bytes:
        """Answer one request. Errors: google.protobuf.message.DecodeError when the bytes are none."""
        # The fields of a class made at run time are known to protobuf, not to the type checker.
        request: object = self._messages["Request"].FromString(data)
        params: object = self._messages["Params"].FromString(request.adapter_config.value)  # type: ignore[attr-defined]
        table = {entry.key: entry.value for entry in params.table}  # type: ignore[attr-defined]
        key = request.instance.key  # type: ignore[attr-defined]
        result: dict[str, object] = {"valid_duration": {"seconds": VALID_S}}
        build = self._messages["Response"]
        if key not in table:
            result["status"] = {"code": NOT_FOUND, "message": f"{key} is not in the table"}
            return build(result=result).SerializeToString()
        return build(result=result, output={"value": table[key]}).SerializeToString()

    def handler(self) -> grpc.GenericRpcHandler:
        """The service as gRPC wants it."""

        async def handle(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
            return self.look_up(data)

        return grpc.method_handlers_generic_handler(SERVICE, {METHOD: grpc.unary_unary_rpc_method_handler(handle)})


async def serve(port: int) -> None:
    """Serve until told to stop."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Keyval().handler(),))
    bound = server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    print(f"listening on 0.0.0.0:{bound} (gRPC)", flush=True)
    await server.wait_for_termination()


def main() -> None:
    """Serve until told to stop."""
    asyncio.run(serve(port_argument(sys.argv[1:], PORT)))


if __name__ == "__main__":
    main()
