"""Ends open TCP connections that a change of policies forbids, where the mesh's settings ask for it.

Given what the configuration says and the pods of this machine, looks through the proxies' connections after each such
change: at once, and again when the proxies have certainly heard of it, for what came in between under the old policies.
Every closed connection is told in the agent's log, with the rule that forbids it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from argosy.agent.pod import PodPlan
from argosy.api.mesh_config import mesh_config_of, own_config_of
from argosy.api.meta import Object
from argosy.core.names import DEFAULT_TRUST_DOMAIN, INBOUND_PORT, ObjectKey
from argosy.core.spiffe import SpiffeIDError, workload_id
from argosy.edge.connections import Accepted, close_connections
from argosy.local import roles
from argosy.local.forbidden import Connection, Server, mesh_rules, policies_of, refusing_rule, request_ports

_log = logging.getLogger("argosy.agent")
KINDS = frozenset({"AuthorizationPolicy", "ConfigMap", *roles.KINDS})
"""Kinds whose changes may forbid what was allowed."""
AGAIN_S = 1.0
_PORTS = frozenset({INBOUND_PORT})

Objects = Mapping[str, Mapping[ObjectKey, Object[Any]]]
Proxies = Callable[[], Iterable[tuple[PodPlan, int]]]


class ConnectionGuard:
    """Looks after every change. `objects`: the configuration by kind; `pods`: all plans; `proxies`: plans and pids."""

    def __init__(self, objects: Objects, pods: Callable[[], Iterable[PodPlan]], proxies: Proxies) -> None:
        self._objects = objects
        self._pods = pods
        self._proxies = proxies
        self._changed = asyncio.Event()
        self.closed = 0

    def on_change(self, kind: str) -> None:
        """Something of that kind has changed."""
        if kind in KINDS:
            self._changed.set()

    async def run(self) -> None:
        """Look after each change, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._look()
            await asyncio.sleep(AGAIN_S)
            self._look()

    def _look(self) -> None:
        own = own_config_of(self._objects["ConfigMap"])
        if not own.authorization.close_forbidden_connections:
            return
        mesh = mesh_rules(DEFAULT_TRUST_DOMAIN, mesh_config_of(self._objects["ConfigMap"]), own)
        of_roles = {kind: self._objects[kind].values() for kind in (*roles.KINDS, "Service")}
        peers = {plan.ip: _identity(plan) for plan in self._pods()}
        for plan, pid in self._proxies():
            server = Server(plan.namespace, dict(plan.labels), plan.ip)
            policies = policies_of(self._objects["AuthorizationPolicy"].values(), server)
            requests = request_ports(self._objects["Service"].values(), server)
            pod = roles.Pod(plan.namespace, server.labels, plan.service_account)

            def rule(
                found: Accepted,
                server: Server = server,
                policies: Any = policies,
                requests: Any = requests,
                pod: roles.Pod = pod,
            ) -> str:
                if found.port in requests:
                    return ""
                connection = Connection(found.source, found.port, peers.get(found.source, ""))
                granted = roles.policies_of_pod(of_roles, pod, policies, found.port)
                return refusing_rule(connection, server, [*policies, *granted], mesh)

            try:
                closed = close_connections(pid, _PORTS, lambda found, rule=rule: bool(rule(found)))  # type: ignore[misc]
            except ProcessLookupError:  # the proxy has just ended
                continue
            except OSError as error:
                _log.error("connections of %s/%s cannot be looked at: %s", plan.namespace, plan.name, error)
                continue
            self.closed += len(closed)
            for one in closed:
                where = f"{plan.namespace}/{plan.name} port {one.port}"
                _log.warning("closed a connection from %s to %s: rule %s forbids it now", one.source, where, rule(one))


def _identity(plan: PodPlan) -> str:
    """Who a pod is to others; a pod without a proxy is nobody."""
    if not plan.has_envoy:
        return ""
    try:
        return str(workload_id(DEFAULT_TRUST_DOMAIN, plan.namespace, plan.service_account))
    except SpiffeIDError:
        return ""
