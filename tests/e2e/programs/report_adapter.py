"""An adapter out of process that takes reports of a template `look`, and prints the key of each instance; of a template
`metric`, and prints value and dimensions; of a template `cost` it grants each key two, and no more until the program
ends; of a template `team` it says that everybody is of the team `<user>s`.

python report_adapter.py PORT
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from argosy.samples.messages import build_messages

SCHEMA = {"Instance": (("key", 1, "string"),), "Request": (("instances", 1, "Instance[]"),)}
METRIC = {
    "Value": (("text", 1, "string"), ("number", 2, "int64")),
    "Dimension": (("key", 1, "string"), ("value", 2, "Value")),
    "Instance": (("value", 1, "Value"), ("dimensions", 2, "Dimension[]")),
    "Request": (("instances", 1, "Instance[]"),),
}
COST = {
    "Instance": (("key", 1, "string"),),
    "Params": (("amount", 1, "int64"), ("best_effort", 2, "bool")),
    "Asked": (("key", 1, "string"), ("value", 2, "Params")),
    "QuotaRequest": (("quotas", 1, "Asked[]"),),
    "Request": (("instance", 1, "Instance"), ("quota_request", 4, "QuotaRequest")),
    "Granted": (("granted_amount", 3, "int64"),),
    "Answered": (("key", 1, "string"), ("value", 2, "Granted")),
    "Answer": (("quotas", 1, "Answered[]"),),
}
TEAM = {
    "Instance": (("user", 1, "string"),),
    "Request": (("instance", 1, "Instance"),),
    "Answer": (("team", 2, "string"),),
}
"""Maps are declared as the repeated entries that they are on the wire."""
BUDGET = 2


async def main(port: str) -> None:
    """Serve until killed."""
    messages = build_messages("report_adapter", SCHEMA)

    async def take(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
        request: Any = messages["Request"].FromString(data)
        for one in request.instances:
            print(f"told {one.key}", flush=True)
        return b""

    metrics = build_messages("metric_adapter", METRIC)

    async def count(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
        request: Any = metrics["Request"].FromString(data)
        for one in request.instances:
            dimensions = {each.key: each.value.text or each.value.number for each in one.dimensions}
            print("counted", json.dumps({"value": one.value.number, **dimensions}), flush=True)
        return b""

    costs, used = build_messages("cost_adapter", COST), Counter[str]()

    async def grant(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
        request: Any = costs["Request"].FromString(data)
        answer: Any = costs["Answer"]()
        for one in request.quota_request.quotas:
            fits = used[request.instance.key] + one.value.amount <= BUDGET
            used[request.instance.key] += one.value.amount if fits else 0
            answer.quotas.add(key=one.key).value.granted_amount = one.value.amount if fits else 0
        return bytes(answer.SerializeToString())

    teams = build_messages("team_adapter", TEAM)

    async def team(data: bytes, _: grpc.aio.ServicerContext) -> bytes:
        request: Any = teams["Request"].FromString(data)
        return bytes(teams["Answer"](team=f"{request.instance.user}s").SerializeToString())

    server = grpc.aio.server()
    method = {"HandleLook": grpc.unary_unary_rpc_method_handler(take)}
    counting = {"HandleLook": grpc.unary_unary_rpc_method_handler(count)}
    granting = {"HandleLook": grpc.unary_unary_rpc_method_handler(grant)}
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("look.HandleLookService", method),
            grpc.method_handlers_generic_handler("metric.HandleLookService", counting),
            grpc.method_handlers_generic_handler("cost.HandleLookService", granting),
            grpc.method_handlers_generic_handler(
                "team.HandleLookService", {"HandleLook": grpc.unary_unary_rpc_method_handler(team)}
            ),
        )
    )
    server.add_insecure_port(f"0.0.0.0:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
