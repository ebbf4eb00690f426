"""The keyval adapter, by the messages that Mixer makes of Istio's own template."""

import grpc
from tests.unit.mixer.adapters.sets import template

from argosy.mixer.adapters.templates import read_template
from argosy.samples.keyval import METHOD, SERVICE, Keyval

TEMPLATE = read_template(
    template((("key", 1, "string"),), variety=4, output=(("value", 2, "string"),), package="keyval")
)
CONFIG = ("type.googleapis.com/keyval.Params", b"\x0a\x0e\x0a\x05jason\x12\x05admin")


async def test_a_key_is_looked_up_over_grpc() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Keyval().handler(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(f"/{SERVICE}/{METHOD}")
            verdicts = []
            for key in ("jason", "ann"):
                asked = TEMPLATE.ask("i.instance.ns", {"key": key}, CONFIG, dedup_id="", quota=None)
                verdicts.append(TEMPLATE.answer(await call(asked), "i.instance.ns"))
    finally:
        await server.stop(None)
    found, missing = verdicts
    assert (found.code, found.valid_duration_s, dict(found.output)) == (0, 5.0, {"value": "admin"})
    assert (missing.code, missing.message, dict(missing.output)) == (5, "ann is not in the table", {"value": ""})
